"""Which file a name on the command line stands for."""

from pathlib import Path

import pytest

from maskwright.core.errors import InputError
from maskwright.workflows.session import find_recipe


def test_a_folder_named_like_a_packaged_recipe_is_its_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trash").mkdir()
    found = find_recipe("trash")
    assert (found.parent.name, found.name) == ("recipes", "trash.yaml")
    Path("trash/recipe.yaml").write_text("version: 1\n")  # a run of that name
    assert find_recipe("trash") == Path("trash/recipe.yaml")
    Path("other").mkdir()
    with pytest.raises(InputError, match="no such recipe"):
        find_recipe("other")
