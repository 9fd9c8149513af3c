"""Every planted fault is found under its own kind, all at once, and clean sets are left alone."""

from __future__ import annotations

import json

import pytest
from corpus import CLEAN, Planted
from corpus_files import FILES
from corpus_labels import LABELS

from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Data
from maskwright.data import audit
from maskwright.data.findings import KINDS

PLANTED = {**FILES, **LABELS}


def examined(planted: Planted) -> audit.Audit:
    data = Data(root=str(planted.root), train=planted.train, test=planted.test, **planted.more)
    return audit.examine(planted.task, data, Silent())


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_under_its_kind(name, tmp_path):
    plant, kind = PLANTED[name]
    found = examined(plant(tmp_path))
    assert kind in {finding.kind for finding in found.findings}, [str(finding) for finding in found.findings]
    for finding in found.findings:
        if finding.kind == kind and KINDS[kind].severity == "fault":
            assert finding.fix, str(finding)
            assert finding.where, str(finding)
    json.dumps(found.to_plain(), allow_nan=False)


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_set_is_left_alone(name, tmp_path):
    found = examined(CLEAN[name](tmp_path))
    assert [str(finding) for finding in found.findings if finding.severity != "note"] == []


def test_at_least_sixty_kinds_are_planted_and_twenty_sets_are_clean():
    assert len({kind for _, kind in PLANTED.values()}) >= 60
    assert len(CLEAN) >= 20
