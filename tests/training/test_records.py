import json

import pytest

from maskwright.core.errors import StorageError
from maskwright.training.records import HISTORY, LOG, TIMING, Records


def test_files_are_cut_back_to_a_state_and_go_on_as_if_nothing_had_been(tmp_path):
    records = Records(tmp_path, {}, ("a", "b, c"))
    records.step({"step": 1})
    records.epoch(1, 1, 0.5, 1.25, None)
    sizes = records.sync()
    wanted = {name: (tmp_path / name).read_bytes() for name in (HISTORY, LOG)}
    records.step({"step": 2})
    records.epoch(2, 2, 0.25, 0.5, (0.625, 0.75, [0.5, None]))
    records.timing({"epoch": 1})
    records.close()
    twin = {name: (tmp_path / name).read_bytes() for name in (HISTORY, LOG)}
    assert twin[HISTORY].decode() == (
        'epoch,step,lr,loss,valid_loss,score,score:a,"score:b, c"\n1,1,0.5,1.25,,,,\n2,2,0.25,0.5,0.625,0.75,0.5,\n'
    )
    assert twin[LOG].decode() == '{"step": 1}\n{"step": 2}\n'

    again = Records(tmp_path, sizes, ("a", "b, c"))
    assert {name: (tmp_path / name).read_bytes() for name in (HISTORY, LOG)} == wanted
    again.step({"step": 2})
    again.epoch(2, 2, 0.25, 0.5, (0.625, 0.75, [0.5, None]))
    again.close()
    assert {name: (tmp_path / name).read_bytes() for name in (HISTORY, LOG)} == twin
    told = json.loads((tmp_path / TIMING).read_text())
    assert told.pop("peak_mb") > 1
    assert told == {"epoch": 1}


def test_a_new_training_starts_with_empty_files(tmp_path):
    for _ in range(2):
        records = Records(tmp_path, {})
        records.step({"step": 1})
        records.close()
    assert (tmp_path / LOG).read_text() == '{"step": 1}\n'
    assert (tmp_path / HISTORY).read_text() == "epoch,step,lr,loss,valid_loss,score\n"


def test_a_file_that_lost_its_end_is_not_filled_with_zeros(tmp_path):
    (tmp_path / LOG).write_text('{"step": 1}\n')
    records = Records(tmp_path, {LOG: 500, HISTORY: 25})
    records.close()
    assert (tmp_path / LOG).read_text() == '{"step": 1}\n'


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    records = Records(tmp_path, {})

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError) as caught:
        records.sync()
    assert str(caught.value) == f"{tmp_path / TIMING}: No space left on device; free some space and run again"
    records.close()
