"""A preset's name stands for its entries, alone or in a list; the resolved recipe shows them."""

import pytest
from pydantic import ValidationError

from maskwright.core.recipe.members import Member
from maskwright.core.recipe.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_alone_is_its_entries(name):
    assert Member(augment=name).augment == PRESETS[name]
    assert Member(augment=[name]).augment == PRESETS[name]
    assert Member.model_validate(Member(augment=name).model_dump()).augment == PRESETS[name]


def test_a_preset_in_a_list_is_expanded_where_it_stands():
    found = Member(augment=["vflip", "light", {"rotate": {"limit": 5}}, {"noise": None}]).augment
    assert found == ({"vflip": {}}, *PRESETS["light"], {"rotate": {"limit": 5}}, {"noise": {}})


def test_none_is_nothing_and_one_name_a_list():
    assert Member(augment="none").augment == ()
    assert Member(augment=[]).augment == ()
    assert Member(augment="d4").augment == ({"d4": {}},)


@pytest.mark.parametrize("given", [5, [5], {"d4": {}}, [["d4"]]])
def test_anything_else_is_refused(given):
    with pytest.raises(ValidationError):
        Member(augment=given)


def test_presets_are_told_apart_from_augmentations():
    from maskwright.data.augment.table import TABLE, check

    assert not set(PRESETS) & set(TABLE)
    assert "none" not in {*PRESETS, *TABLE}
    for name, entries in PRESETS.items():
        check(entries, name)
        assert all(len(entry) == 1 for entry in entries)
