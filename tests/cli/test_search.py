"""maskwright search: the budget holds, a rerun goes on, what would fail is refused first, the winner runs."""

import json

import pytest

from maskwright.core.recipe.load import load_recipe
from maskwright.core.stop import Stop
from maskwright.workflows.tuning.board import _row
from maskwright.workflows.tuning.place import Place

pytest.importorskip("optuna", reason="search needs Optuna (extra search)")

LR = "members.a.optimizer.lr"


@pytest.fixture
def searched(folder_set):
    """The tiny recipe with a search block: a planted best rate beside an absurd one."""
    folder_set["members"]["a"]["train"].update(epochs=2, steps_per_epoch=4, ema=None, batch_size=4)
    folder_set["members"]["a"]["optimizer"] = {"lr": 1e-6}
    folder_set["members"]["a"]["schedule"] = {"name": "constant", "warmup": 0}
    folder_set["data"]["normalize"] = "none"
    folder_set["output"] = [{"format": "masks"}]
    folder_set["search"] = {
        "space": {LR: {"choice": [1e-6, 0.01]}},
        "trials": 2,
        "sampler": "random",
        "finalists": 1,
        "seeds": 1,
    }
    return folder_set


def rows(folder):
    import optuna

    place = Place(None, folder, Stop())
    found = {}
    for name in optuna.get_all_study_names(place.storage):
        found[name] = [_row(trial) for trial in optuna.load_study(study_name=name, storage=place.storage).trials]
    return found


def test_planted_rate_wins_budget_holds_and_winner_runs(cli, searched, write_recipe, tmp_path):
    path = write_recipe(searched)
    code, out, err = cli("search", path)
    assert code == 0, err
    found = rows(tmp_path / "runs" / "tiny-search")
    assert [row.state for row in found["tiny"]] == ["done"] * 2
    assert found["tiny"][0].values == {LR: 1e-6}  # the recipe as it is comes first
    assert {(row.facts["finalist"], row.facts["seed"]) for row in found["tiny/finals"]} >= {("base", 1)}
    winner = load_recipe(tmp_path / "runs" / "tiny-search" / "winner.yaml")
    assert winner.members["a"].optimizer.lr == 0.01, out
    assert winner.name == "tiny-winner"
    assert winner.search is None
    told = json.loads((tmp_path / "runs" / "tiny-search" / "search.json").read_text())
    assert (told["winner"], len(told["trials"]), len(told["finalists"])) == ({"trial": 1, "values": {LR: 0.01}}, 2, 2)

    code, out, err = cli("search", path)
    assert code == 0
    assert "search: 2 of 2 trials finished" in out
    assert "search: nothing to do" in out
    code, out, err = cli("search", path, "--trials", "3")
    assert code == 0
    assert "search: 2 of 3 trials finished" in out
    assert len(rows(tmp_path / "runs" / "tiny-search")["tiny"]) == 3

    code, out, err = cli("run", tmp_path / "runs" / "tiny-search" / "winner.yaml")
    assert code == 0, err
    assert (tmp_path / "runs" / "tiny-winner" / "output").is_dir()


REFUSED = {
    "misspelt": (
        {"members.a.optimizer.lrr": {"log": [1e-5, 1e-2]}},
        "error: r.yaml:search.space.members.a.optimizer.lrr: with 1e-05: members.a.optimizer: unknown key 'lrr' "
        "(did you mean 'lr'?); use one of: betas, decay_norms, encoder_lr, freeze, layer_decay, lookahead, lr, "
        "momentum, name, weight_decay\n",
    ),
    "no such member": (
        {"members.b.optimizer.lr": {"log": [1e-5, 1e-2]}},
        "error: r.yaml:search.space.members.b.optimizer.lr: unknown member 'b'; use one of: a\n",
    ),
    "end out of range": (
        {LR: {"log": [1e-5, 100]}},
        f"error: r.yaml:search.space.{LR}: with 100.0: {LR}: input should be less than or equal to 10, got 100.0; "
        "see maskwright schema\n",
    ),
    "seed": (
        {"seed": {"whole": [0, 9]}},
        "error: r.yaml:search.space.seed: seed is luck and no setting (finalists are repeated with other seeds); "
        "leave it out\n",
    ),
    "not seen by validation": (
        {"members.a.predict.tta": {"choice": [[], ["hflip"]]}},
        "error: r.yaml:search.space.members.a.predict.tta: members.a.predict.tta comes after the validation that "
        "trials are judged by; use objective: nested, or leave it out\n",
    ),
    "two ways": (
        {LR: {"log": [1e-5, 1e-2], "choice": [1e-3, 1e-4]}},
        f"error: r.yaml:search.space.{LR}: a key's values are one of log, uniform, whole and choice, got log and "
        "choice; write one\n",
    ),
    "wrong way round": (
        {LR: {"uniform": [1e-2, 1e-5]}},
        f"error: r.yaml:search.space.{LR}: uniform is [low, high], got [0.01, 1e-05]; write the smaller first\n",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_space_is_refused_before_any_trial(case, cli, searched, write_recipe, tmp_path):
    searched["search"]["space"], message = REFUSED[case]
    write_recipe(searched)
    assert cli("search", "r.yaml") == (2, "", message)
    assert not (tmp_path / "runs").exists()


def test_without_a_block_it_says_what_to_write(cli, folder_set, write_recipe):
    write_recipe(folder_set)
    assert cli("search", "r.yaml") == (
        2,
        "",
        "error: r.yaml: the recipe has no block search; write search: {space: {members.NAME.optimizer.lr: "
        "{log: [1e-5, 1e-2]}}}\n",
    )


def test_another_database_is_refused(cli, searched, write_recipe, tmp_path):
    write_recipe(searched)
    code, out, err = cli("search", "r.yaml", "--storage", "mysql://u@h/d")
    assert (code, out) == (2, "")
    assert err == (
        "error: --storage: a database of the kind mysql cannot hold trials; write sqlite:///FILE or "
        "postgresql://USER@HOST/NAME\n"
    )
    assert not (tmp_path / "runs").exists()
