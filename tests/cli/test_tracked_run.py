"""Trackers through the real command line."""

import pytest


def test_a_recipe_with_trackers_trains_and_one_that_is_not_installed_is_refused_first(
    cli, tmp_path, folder_set, write_recipe, monkeypatch
):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from maskwright.training.trackers import table

    path = write_recipe(folder_set)
    code, _, err = cli("train", path, "--fold", "0", "trackers=[tensorboard]")
    assert (code, "warning" in err) == (0, False), err
    run = tmp_path / "runs" / "tiny"
    assert len(list((run / "tensorboard" / "a" / "fold0").iterdir())) == 1
    assert (run / "members" / "a" / "fold0" / "trackers.json").exists()
    monkeypatch.setattr(table, "find_spec", lambda package: None)
    code, out, err = cli("train", path, "trackers=[wandb]", "--out", "other")
    assert (code, out, err) == (
        2,
        "",
        "error: recipe:trackers: wandb needs the package wandb, which is not installed; "
        "pip install 'maskwright[wandb]', or leave the tracker out\n",
    )
    assert not (tmp_path / "other").exists()
