import json

import discs
import pytest
import torch

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.recipe.keeping import KeepBest
from maskwright.core.recipe.members import Schedule
from maskwright.models.weights import read_weights, save_weights
from maskwright.training.fit import fit_fold
from maskwright.training.soup import Ingredient, _greedy, ingredients_of, make_soup, mixed


def test_a_mixture_is_the_mean_and_integers_are_the_first_s():
    states = [{"w": torch.tensor([number, 1.0]), "n": torch.tensor(number)} for number in (1, 2, 6)]
    made = mixed(states)
    assert made["w"].tolist() == [3.0, 1.0]
    assert (made["n"].item(), made["n"].dtype) == (1, torch.int64)


class Tongue:
    """A kitchen where the score of a mixture is given by its names."""

    def __init__(self, scores):
        self.scores = scores

    def taste(self, parts):
        return self.scores["".join(each.name for each in parts)], {}, 0


def test_greedy_adds_only_what_does_not_harm():
    scores = {"a": 0.5, "b": 0.4, "c": 0.3, "d": 0.2, "ab": 0.45, "ac": 0.5, "acd": 0.51}
    pot = [Ingredient(name, 1, {}) for name in "abcd"]
    went_in, tried = _greedy(Tongue(scores), pot, scores)
    assert [each.name for each in went_in] == ["a", "c", "d"]
    assert tried == [
        {"name": "b", "score": 0.45, "kept": False},
        {"name": "c", "score": 0.5, "kept": True},
        {"name": "d", "score": 0.51, "kept": True},
    ]


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("soup") / "a" / "fold0"
    schedule = Schedule(name="restarts", every=1, warmup=0)
    job = discs.job_on(
        pictures, epochs=3, ema=None, snapshots=True, schedule=schedule, keep_best=KeepBest(count=2), steps_per_epoch=2
    )
    fit_fold(job, folder, discs.Told(), discs.Never())
    return job, folder


def test_what_is_there_twice_counts_once(trained):
    _, folder = trained
    found = ingredients_of(folder)
    assert len({each.step for each in found}) == len(found) == 3  # each epoch's weights, under one of their names
    assert found[0].name == "last"


def test_the_same_soup_comes_out_twice_and_a_stopped_one_leaves_nothing(trained):
    job, folder = trained
    with pytest.raises(Interrupted):
        make_soup(job, folder, "uniform", discs.Told(), discs.After(3))
    assert not (folder / "soup.safetensors").exists()
    told = make_soup(job, folder, "uniform", discs.Told(), discs.Never())
    first = read_weights(folder / "soup.safetensors")[0]
    assert make_soup(job, folder, "uniform", discs.Told(), discs.Never()) == told
    second = read_weights(folder / "soup.safetensors")[0]
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    wanted = mixed([each.state for each in ingredients_of(folder)])
    plain = [name for name in wanted if name.endswith(("weight", "bias"))]
    assert all(torch.allclose(first[name], wanted[name], atol=1e-7) for name in plain)
    statistics = [name for name in wanted if name.endswith("running_mean")]
    assert any(not torch.allclose(first[name], wanted[name], atol=1e-7) for name in statistics)
    assert json.loads((folder / "soup.json").read_text()) == told
    assert told["statistics_from_samples"] == 8
    (folder / "soup.safetensors").unlink()
    (folder / "soup.json").unlink()


def test_greedy_without_held_out_items_is_refused(trained):
    job, folder = trained
    job = type(job)(**{**job.__dict__, "valid_keys": ()})
    with pytest.raises(InputError) as caught:
        make_soup(job, folder, "greedy", discs.Told(), discs.Never())
    assert str(caught.value) == (
        f"{folder}: a greedy soup goes by held-out items, and there are none; use predict.soup: uniform"
    )


def test_a_single_ingredient_stays_as_it_is_to_the_bit(trained, tmp_path):
    job, folder = trained
    state, facts = read_weights(folder / "last.safetensors")
    for name in ("last", "best"):
        save_weights(tmp_path / "a" / "fold0" / f"{name}.safetensors", state, facts)
    told = make_soup(job, tmp_path / "a" / "fold0", "greedy", discs.Told(), discs.Never())
    made = read_weights(tmp_path / "a" / "fold0" / "soup.safetensors")[0]
    assert all(torch.equal(tensor, state[name]) for name, tensor in made.items())
    assert told["statistics_from_samples"] == 0
