"""Every planted fault is found under its own kind, all at once, and clean sets are left alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from corpus import CLEAN, Planted, binary, image, mask, read, save
from corpus_files import FILES
from corpus_labels import LABELS
from corpus_more import MORE
from corpus_tables import TABLES, TABLES_CLEAN

from maskwright.core.errors import DataError
from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Data
from maskwright.data.audit import audit
from maskwright.data.findings import KINDS

PLANTED = {**FILES, **LABELS, **TABLES, **MORE}
ALL_CLEAN = {**CLEAN, **TABLES_CLEAN}


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


@pytest.mark.parametrize("name", ALL_CLEAN)
def test_a_clean_set_is_left_alone(name, tmp_path):
    found = examined(ALL_CLEAN[name](tmp_path))
    assert [str(finding) for finding in found.findings if finding.severity != "note"] == []


def test_a_hundred_kinds_are_planted_and_more_than_twenty_sets_are_clean():
    assert len(PLANTED) == len(FILES) + len(LABELS) + len(TABLES) + len(MORE)
    assert len({kind for _, kind in PLANTED.values()}) >= 100
    assert len(ALL_CLEAN) >= 20


def test_five_faults_of_one_set_are_named_in_one_run(tmp_path):
    found = binary(tmp_path)
    data = image(tmp_path, 0).read_bytes()
    image(tmp_path, 0).write_bytes(data[: len(data) // 2])
    mask(tmp_path, 1).unlink()
    save(mask(tmp_path, 2), np.full((48, 64), 7, np.uint8))
    save(mask(tmp_path, 3), read(mask(tmp_path, 3)).T.copy())
    image(tmp_path, 4).unlink()
    faults = examined(found).faults
    assert [fault.kind for fault in faults] == [
        "missing_label", "orphan_label", "damaged_file", "size_transposed", "undeclared_value",
    ]  # fmt: skip
    with pytest.raises(DataError) as caught:
        examined(found).refuse()
    assert list(caught.value.faults) == [str(fault) for fault in faults]
