"""Run lengths read many at a time give what they give one by one, whatever a row looks like."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.core.errors import InputError
from maskwright.ensembling import votes
from maskwright.ensembling.votes_edge_kernels import FINE, LIMIT, ODD, read_runs
from maskwright.ensembling.votes_table import DIALECTS

EMPTY = np.frombuffer(b"none", np.uint8)
GAPS = ((" ",), (" ", "  ", "\t"))
FAULTS = ("x", "-", " -3 ", ".", "0 0 ", "7 0 ", "99999999999999999999 1 ", " 5")


def one_by_one(text: str, base: int, last: int) -> list[int] | None:
    """Return the edges of a row; None if it is not plain."""
    text = text.strip()
    if text in ("", "-1", "none"):
        return []
    if re.search(r"[^0-9\s]", text):
        return None
    numbers = [int(word) for word in text.split()]
    edges: list[int] = []
    for start, length in zip(numbers[::2], numbers[1::2], strict=False):
        begin = start - base
        if begin < (edges[-1] if edges else 0) or length < 1 or begin + length > last:
            return None
        edges += [begin, begin + length]
    return edges if len(numbers) % 2 == 0 else None


def row(chance: random.Random, large: bool, faults: bool) -> str:
    """Return a row of 0 to 40 runs, some with a fault."""
    words, at = [], 1
    for _ in range(chance.randrange(41)):
        at += chance.randrange(0, 10 ** chance.randint(1, 8 if large else 3))
        length = chance.randrange(1, 10 ** chance.randint(1, 8 if large else 3))
        words += [str(at), str(length)]
        at += length
    gaps = GAPS[chance.random() < 0.2]
    text = "".join(word + chance.choice(gaps) for word in words).rstrip()
    if faults and chance.random() < 0.3:
        place = chance.randrange(len(text) + 1)
        text = text[:place] + chance.choice(FAULTS) + text[place:]
    return text


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans(), st.booleans(), st.booleans(), st.sampled_from((0, 1)))
def test_rows_are_read_as_one_by_one(chance: random.Random, large: bool, faults: bool, alone: bool, base: int) -> None:
    texts = [row(chance, large, faults) for _ in range(chance.randint(1, 12))]
    data = b"ImageId,EncodedPixels\n"[: 0 if alone else None]
    spans = []
    for text in texts:
        spans.append((len(data), len(data) + len(text)))
        data += text.encode() + b"\n"
    last = chance.choice((10**3, 10**6, LIMIT - 1))
    edges = np.full(len(data) // 2 + 2 * len(texts) + 8, -7, np.int64)
    places = np.zeros(len(texts) + 1, np.int64)
    whole = np.frombuffer(data, np.uint8)
    status, done = read_runs(whole, np.array(spans, np.int64), EMPTY, base, last, edges, places)
    for number, text in enumerate(texts):
        wanted = one_by_one(text, base, last)
        if number == done:
            assert status == ODD, text
            assert wanted is None or spans[number][0] < 8, text
            return
        assert edges[places[number] : places[number + 1]].tolist() == [*(wanted or []), LIMIT], text
        assert wanted is not None, text
    assert status == FINE


def test_ids_of_one_hash_are_not_taken_for_the_same(tmp_path: Path) -> None:
    for name, other in (("a.csv", "two"), ("b.csv", "2wo")):
        (tmp_path / name).write_text(f"img_id,mask_rle\none,1 2\n{other},3 4\n")
    order, table = (votes.Table(tmp_path / name, DIALECTS["dacon"]) for name in ("a.csv", "b.csv"))
    ballot = votes.Ballot(order, order.rows, (order, table), (order.rows, table.rows))
    with pytest.raises(InputError, match=r"1 id \('two'\) of a.csv has no row here, and 1 id \('2wo'\)"):
        votes._checked(lambda ballot, first, last: (b"", 0), ballot, 0, 2)
