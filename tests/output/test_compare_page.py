"""The page that compares runs: whole, offline, deaf to names, and plain about what may be chance."""

import dataclasses
import math

import pytest
from browser import Browser, find
from test_report_page import HOSTILE, Page

from maskwright.output.report.compare_facts import ClassPair, CompareFacts, Moved, PairedFacts, RunFacts, Setting
from maskwright.output.report.compare_page import MOST_ITEMS, SECTIONS, build_comparison, render_comparison
from maskwright.output.report.facts import Curve, EpochRow


def run(name, honest):
    rows = tuple(EpochRow(epoch, epoch * 10, 1.0, 1e-3, 1.1, honest) for epoch in (1, 2))
    classes = (ClassPair(honest, 0.9), ClassPair(math.nan, math.nan))
    return RunFacts(
        name=name,
        link=f"../{name}/report.html",
        honest=honest,
        low=honest - 0.02,
        high=honest + 0.02,
        optimistic=honest + 0.01,
        own_metric="iou",
        held_out=math.nan,
        items=9,
        folds=3,
        members=(f"m {name}",),
        kept=("thresholds",),
        classes=classes,
        curves=(Curve(f"m {name}", 0, rows),),
        seconds=100.0,
        peak_mb=900,
    )


def facts(word="plain", **pair):
    moved = tuple(Moved(f"{word} {index}", 0.5, 0.5 + index / 1000) for index in range(3))
    given = {"gain": 0.05, "low": 0.01, "high": 0.09, "shared": 9, "remarks": (f"note {word}",)} | pair
    pairs = (PairedFacts(name=f"two {word}", only_first=0, only_this=0, better=2, worse=0, moved=moved, **given),)
    settings = (Setting(f"members.{word}.lr", (f"1 {word}", "")),)
    runs = (run(f"one {word}", 0.7), run(f"two {word}", 0.75))
    return CompareFacts("iou", (f"roof {word}", "road"), runs, pairs, settings, "0.1.0", "2026-01-02")


def test_every_section_is_there_and_hostile_names_do_nothing():
    page, plain = Page(render_comparison(facts(HOSTILE))), Page(render_comparison(facts()))
    assert [attrs["id"] for attrs in page.every("section")] == list(SECTIONS)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert all(not name.startswith("on") and name != "style" for _, attrs in page.tags for name in attrs)
    links = [a["href"] for a in page.every("a") if not a["href"].startswith("#")]
    assert len(links) == 2
    assert all(link.startswith("./../") and ":" not in link for link in links)
    assert "nan" not in "".join(data for where, data in page.texts if where not in ("script", "style"))


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ({}, "is better than one plain by +0.0500, more than redrawing the items explains"),
        ({"gain": -0.05, "low": -0.09, "high": -0.01}, "is worse than one plain by −0.0500, more than redrawing"),
        ({"low": -0.01}, "is better by +0.0500, which may be chance"),
        ({"low": None, "high": None}, "too few groups of items to tell it from chance"),
        ({"gain": 0.0, "low": 0.0, "high": 0.0}, "scores exactly as one plain"),
        ({"gain": math.nan, "low": None, "high": None}, "no score is defined"),
        ({"shared": 0, "gain": math.nan, "low": None, "high": None}, "share no item"),
    ],
)
def test_words_fit_the_difference(pair, said):
    page = Page(render_comparison(facts(**pair)))
    assert said in "".join(data for where, data in page.texts if where in ("p", "bdi"))


def test_of_many_items_those_that_moved_most_are_shown():
    many = tuple(Moved(f"k{index:04d}", 0.0, index / 1000) for index in range(MOST_ITEMS + 5))
    one = facts()
    page = Page(render_comparison(dataclasses.replace(one, pairs=(dataclasses.replace(one.pairs[0], moved=many),))))
    assert "what moved most first; 5 that moved less are left out" in page.inside("small")
    names = page.inside("bdi")
    assert "k0304" in names
    assert "k0004" not in names


@pytest.mark.skipif(find() is None, reason="no Chromium here: apt-get install chromium")
def test_it_opens_in_a_browser_without_request_or_complaint(tmp_path):
    path = build_comparison(facts(HOSTILE), tmp_path / "compare.html")
    browser = Browser()
    try:
        for theme, width in (("light", 1280), ("dark", 390)):
            browser.open(path, width=width, theme=theme)
            assert [url for url in browser.requests if not url.startswith("data:")] == [path.resolve().as_uri()]
            assert browser.complaints == []
            assert browser.ask("document.documentElement.scrollWidth") == width
        browser.ask("document.querySelectorAll('#items thead button')[3].click()")
        assert browser.ask("document.querySelector('#items tbody td:last-child').textContent") == "±0.0000"
    finally:
        browser.close()
