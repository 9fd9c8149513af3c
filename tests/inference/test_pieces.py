"""Row bands made in pieces, by processes that know nothing of each other, are those of one pass."""

import numpy as np
import pytest
import scene_helpers as helpers
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError
from maskwright.core.grid import Lattice
from maskwright.core.progress import Silent
from maskwright.core.stop import Stop
from maskwright.data.pixels.windows import opened_windows
from maskwright.inference.cluster import Crew, crew_of
from maskwright.inference.pieces import MOST_BANDS, Carried, cut
from maskwright.inference.scene import predict_scene
from maskwright.inference.spool import Spool


@given(rows=st.integers(1, 300), first=st.integers(0, 299), workers=st.integers(1, 70), overlap=st.floats(0, 0.9))
def test_pieces_are_all_bands_that_are_missing_once(rows, first, workers, overlap):
    lattice = Lattice.over((rows * 8, 40), (16, 16), overlap)
    first = min(first, len(lattice.rows) - 1)
    pieces = cut(lattice, first, workers, 3)
    assert [band for start, end in pieces for band in range(start, end)] == list(range(first, len(lattice.rows)))
    assert max(end - start for start, end in pieces) <= MOST_BANDS


def test_pieces_are_as_large_as_keeps_all_workers_at_work():
    lattice = Lattice.over((130 * 384 + 128, 512), (512, 512), 0.25)
    assert len(lattice.rows) == 130
    assert [end - start for start, end in cut(lattice, 0, 2, 2)] == [22] * 5 + [
        20
    ]  # 3 rounds of 22 + 1 rows of windows
    assert {end - start for start, end in cut(lattice, 0, 130, 2)} == {1}
    wide = Lattice.over((130 * 384 + 128, 100_000), (512, 512), 0.25)
    assert {end - start for start, end in cut(wide, 0, 2, 2)} == {1}  # 77 MB a band


@pytest.mark.parametrize("overlap", [0.25, 0.7])
def test_pieces_poured_into_a_spool_are_the_bytes_of_one_pass(tmp_path, overlap):
    valid = np.ones((130, 70), bool)
    valid[40:100, :35] = False
    pixels = np.random.default_rng(0).integers(1, 255, (130, 70, 3)).astype(np.uint8)
    path = helpers.write_scene(tmp_path / "s.tif", pixels, mask=valid)
    scenery = helpers.scenery(helpers.Plain(), overlap=overlap)
    helpers.predict(path, tmp_path / "twin", scenery)
    with opened_windows(path, 10**6) as raster, Silent().task("", 1) as tick:
        lattice = scenery.lattice(raster.shape)
        pieces = {}
        for start, end in cut(lattice, 0, 3, 2)[::-1]:
            pieces[start] = Carried(start)
            predict_scene(scenery, raster, pieces[start], tick, Stop(), end)
        assert len(pieces) > 2
        with Spool(tmp_path / "bands", lattice, scenery.layers, {"a": 1}) as spool:
            for start in sorted(pieces):
                pieces[start].pour(spool, lattice, scenery.layers)
            assert spool.bands == len(lattice.rows)
    for name in ("journal.jsonl", "probability.bytes", "classes.bytes"):
        assert (tmp_path / "bands" / name).read_bytes() == (tmp_path / "twin" / name).read_bytes()


CREWS = [
    ([{"CPU": 1.0}, {"CPU": 1.0}], None, Crew(2, 1, 0)),
    ([{"CPU": 2.0}], None, Crew(1, 2, 0)),
    ([{"CPU": 2.0}], 2, Crew(2, 1, 0)),
    ([{"CPU": 64.0}, {"CPU": 0.0}], None, Crew(16, 4, 0)),
    ([{"CPU": 8.0}, {"CPU": 6.0}], None, Crew(3, 4, 0)),
    ([{"CPU": 4.0}, {"CPU": 4.0}], 1, Crew(1, 4, 0)),
    ([{"CPU": 4.0}, {"CPU": 4.0}], 100, Crew(100, 1, 0)),
    ([{"CPU": 16.0, "GPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 64.0}], None, Crew(5, 4, 1)),
    ([{"CPU": 16.0, "GPU": 4.0}], 2, Crew(2, 4, 1)),
]


@pytest.mark.parametrize(("machines", "wanted", "crew"), CREWS)
def test_a_crew_is_what_the_machines_have_room_for(machines, wanted, crew):
    assert crew_of(machines, wanted) == crew


def test_a_cluster_without_processors_is_refused():
    with pytest.raises(InputError, match="--cluster ray: no machine of the cluster has a processor; start workers"):
        crew_of([{"memory": 1e9}], None)
