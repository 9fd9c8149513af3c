"""The report page: whole, offline, and deaf to whatever names try to do to it."""

import base64
import dataclasses
import hashlib
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from maskwright.core.labels import Task
from maskwright.output.report import gallery
from maskwright.output.report.facts import Case, Curve, DataFacts, DecisionFacts, EpochRow, Headline, Provenance
from maskwright.output.report.ground_facts import GroundFacts
from maskwright.output.report.insight_facts import InsightFacts, ItemFacts, SpentFacts
from maskwright.output.report.page import SECTIONS, build_report, render
from maskwright.output.report.rounds_facts import SelfTrainFacts

VOID = {"meta", "img", "link", "br", "hr", "input"}
SELF_CLOSED = {"rect", "line", "circle", "path", "polyline"}
HOSTILE = (
    "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'</style></title>&amp;$style ${main} "
    "javascript:alert(3) \u202e\x00\udce9 -->]]>"
)
HOSTILE_CLASS = "".join(letter for letter in HOSTILE if letter.isprintable())
"""A task refuses class names with control characters."""


class Page(HTMLParser):
    """Reads a page and keeps what the tests ask about; refuses tags that do not nest."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.texts = [], [], []
        self.feed(html)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SELF_CLOSED, tag
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def every(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def inside(self, tag):
        return "".join(data for where, data in self.texts if where == tag)


@pytest.fixture(params=["binary", "multiclass", "multilabel"])
def kind(request):
    return request.param


def test_every_section_is_there_and_linked_from_the_bar(facts_of, kind):
    page = Page(render(facts_of(kind)))
    assert [attrs["id"] for attrs in page.every("section")] == list(SECTIONS)
    assert [a["href"] for a in page.every("a") if a["href"].startswith("#")] == ["#main", *(f"#{k}" for k in SECTIONS)]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["aria-labelledby"] for attrs in page.every("section")} <= set(ids)
    headings = page.inside("h3")
    for heading in (
        "Item by item",
        "Fold by fold",
        "Worst",
        "Best",
        "What was tuned",
        "Thresholds",
        "Folds",
        "Sizes",
        "Least sure",
        "All members",
    ):
        assert heading in headings
    assert ("What is taken for what" in headings) == (kind == "multiclass")


@pytest.mark.parametrize("word", ["plain", HOSTILE])
def test_nothing_points_out_of_the_page(facts_of, kind, word):
    html = render(facts_of(kind, word))
    page = Page(html)
    for tag, attrs in page.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
            link = attrs.get(name, "#")
            allowed = r"data:image/(webp|jpeg);base64,[A-Za-z0-9+/=]+" if tag == "img" else r"(#|\./[^:\\]*$).*"
            assert re.fullmatch(allowed, link) or link == "#", (tag, name, link[:60])
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    assert "@import" not in page.inside("style")
    assert "url(" not in page.inside("style")


def test_hostile_names_are_shown_and_do_nothing(facts_of, kind):
    page = Page(render(facts_of(kind, HOSTILE)))
    plain = Page(render(facts_of(kind)))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert all(not name.startswith("on") and name != "style" for _, attrs in page.tags for name in attrs)
    shown = HOSTILE.replace("\x00", "�").replace("\udce9", "?")
    assert page.inside("h1") == f"title {shown}"
    assert f"low {shown}" in page.inside("bdi")
    assert page.inside("title").startswith(f"title {shown}")
    assert page.inside("script") == plain.inside("script")
    assert page.inside("code") == f"name: {shown}"


def test_hostile_class_names_are_shown_and_do_nothing(facts_of):
    task = Task(kind="multiclass", classes=("background", HOSTILE_CLASS, "x" * 300))
    page = Page(render(facts_of("multiclass", task=task)))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in Page(render(facts_of("multiclass"))).tags]


def test_the_policy_allows_our_style_and_script_by_digest_and_nothing_else(facts_of):
    page = Page(render(facts_of()))
    policy = next(m["content"] for m in page.every("meta") if m.get("http-equiv") == "Content-Security-Policy")
    digests = [
        base64.b64encode(hashlib.sha256(page.inside(tag).encode()).digest()).decode() for tag in ("style", "script")
    ]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert len(page.every("script")) == len(page.every("style")) == 1
    places = [tag for tag, _ in page.tags]
    assert places.index("meta") < places.index("style"), "the policy must come before what it governs"


def test_the_honest_score_comes_first_with_the_others_beside_it(facts_of):
    page = Page(render(facts_of()))
    digits = [data for where, data in page.texts if where == "span" and re.fullmatch(r"0\.\d{3}", data)]
    assert digits[:3] == ["0.812", "0.823", "0.810"]
    said = " ".join(data for where, data in page.texts if where in ("p", "strong"))
    assert "the optimistic number flatters by +0.0111" in said
    assert "tuning is worth +0.0111 of it" in said


@pytest.mark.parametrize(
    ("headline", "sentence"),
    [
        (Headline("iou", 0.8, 0.8, 0.81, 9, 3), "tuning costs −0.0100 on folds it has not seen."),
        (Headline("iou", 0.8, 0.81, 0.8, 9, 3), "tuning adds nothing to it."),
        (Headline("dice", float("nan"), 0.81, 0.8, 9, 3), "Expect about the honest number"),
    ],
)
def test_the_explanation_fits_the_numbers(facts_of, headline, sentence):
    assert sentence in render(dataclasses.replace(facts_of(), headline=headline))


def test_each_picture_has_words_and_a_size(facts_of, kind):
    page = Page(render(facts_of(kind)))
    images = page.every("img")
    assert len(images) == 4 + 4 + 4 + 2 + 2 * 4
    assert images[0]["alt"] == "Image of low plain"
    assert images[3]["alt"] == "Errors of low plain"
    assert all((image["width"], image["height"]) == ("30", "24") for image in images)
    charts = [attrs for attrs in page.every("svg") if attrs.get("class") == "chart"]
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)


def test_a_run_of_which_little_is_known_still_gives_every_section(facts_of):
    nan = float("nan")
    bare = dataclasses.replace(
        facts_of("multiclass"),
        headline=Headline("iou", nan, nan, nan, 0, 0),
        data=DataFacts(0, 3, "uint8", (), (), 0, 0),
        folds=(),
        curves=(),
        classes=(),
        decision=DecisionFacts("argmax", ()),
        worst=(),
        best=(),
        unsure=(),
        previews=(),
        items=(),
        insight=InsightFacts(),
        spent=SpentFacts(),
        ground=GroundFacts(),
        selftrain=SelfTrainFacts(),
        item_scores=(),
        confusion=None,
        made=Provenance(),
    )
    bare = dataclasses.replace(bare, classes=facts_of("multiclass").classes)
    page = Page(render(bare))
    assert [attrs["id"] for attrs in page.every("section")] == [
        key for key in SECTIONS if key not in ("ground", "rounds")
    ]
    assert "No training history was found." in page.inside("p")
    assert "nan" not in "".join(data for where, data in page.texts if where not in ("script", "style"))


def test_rounds_are_told_with_their_verdict_and_whose_answer_is_final(facts_of):
    page = Page(render(facts_of()))
    cells = [data for where, data in page.texts if where in ("td", "b")]
    assert "12 to 16, by fold" in cells
    assert "web 0.25" in cells
    assert cells.count("kept") == cells.count("not kept") == 1
    assert "+0.0200 to +0.0800" in cells
    assert "./selftrain/round1/output/" in [attrs.get("href") for attrs in page.every("a")]
    assert "Test items were among" in page.inside("li")


def test_places_are_drawn_and_told_and_the_worst_scene_comes_first(facts_of):
    page = Page(render(facts_of()))

    def texts(tag):
        return [data for where, data in page.texts if where == tag]

    titles = [text for text in texts("title") if text.startswith("spot")]
    assert titles == ["spot 0 plain: fold 0", "spot 1 plain: fold 1", "spot 2 plain: hold-out"]
    cells = texts("td")
    first = cells.index("1\u202f600 m²")
    assert cells[first : first + 4] == ["1\u202f600 m²", "3.2 km²", "0 m²", "40 m"]
    assert {"other parts of the world", "12 / 9", "4 / 3"} <= set(cells)
    heads = [text for text in texts("bdi") if text in ("field plain", "town plain", "wood plain")]
    assert heads == ["field plain", "town plain", "wood plain"]
    assert "No ground is both trained on and scored." in texts("p")


def test_equal_facts_give_an_equal_file_and_no_partial_is_left(facts_of, tmp_path):
    assert build_report(facts_of(), tmp_path / "a" / "report.html") == tmp_path / "a" / "report.html"
    build_report(facts_of(), tmp_path / "b" / "report.html")
    one, two = ((tmp_path / name / "report.html").read_bytes() for name in "ab")
    assert one == two
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["report.html"]


def test_pictures_share_a_budget_that_keeps_the_page_below_10_mb(facts_of, monkeypatch):
    assert gallery.PICTURE_BUDGET * 4 / 3 < 7_500_000
    monkeypatch.setattr(gallery, "PICTURE_BUDGET", 250_000)
    noise = np.random.default_rng(0).integers(0, 255, (384, 384, 3), dtype=np.uint8)
    cases = tuple(Case(str(index), 0.5, noise, noise, noise, noise) for index in range(5))
    without = len(render(dataclasses.replace(facts_of(), worst=(), best=())))
    assert len(render(dataclasses.replace(facts_of(), worst=cases, best=()))) < without + 250_000 * 4 / 3 + 10_000


def test_many_folds_and_epochs_stay_small(facts_of):
    rows = tuple(EpochRow(epoch, epoch, 1.0, 1e-3, 1.1, 0.5) for epoch in range(1, 1001))
    curves = tuple(Curve("m", fold, rows) for fold in range(100))
    grown = len(render(dataclasses.replace(facts_of(), curves=curves))) - len(render(facts_of()))
    assert grown < 400_000


def test_five_hundred_items_in_pictures_and_in_the_table_stay_below_10_mb(facts_of, tmp_path):
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    noisy = np.clip(smooth.astype(int) + rng.integers(-40, 40, smooth.shape), 0, 255).astype(np.uint8)
    cases = tuple(Case(f"item {index:04d}", 0.5, noisy, smooth, smooth, noisy, "fold 1") for index in range(500))
    items = tuple(ItemFacts(case.key, 1, "oof", index / 500, 0.1, 0.01) for index, case in enumerate(cases))
    page = build_report(dataclasses.replace(facts_of("multiclass"), worst=cases, items=items), tmp_path / "r.html")
    assert 2_000_000 < page.stat().st_size < 10_000_000
    html = page.read_text()
    assert html.count('class="case"') == 505
    assert html.count("item 0499") > 3


def test_of_more_than_five_hundred_items_the_lowest_are_shown_and_that_is_said(facts_of):
    items = tuple(ItemFacts(f"k{index:04d}", 0, "oof", index / 600) for index in range(600))
    page = Page(render(dataclasses.replace(facts_of(), items=items)))
    said = page.inside("p")
    assert "600 items, the worst first. Shown are the 500 with the lowest scores; all are in items.csv." in said
    named = page.inside("bdi")
    assert "k0499" in named
    assert "k0500" not in named


def test_headings_go_down_step_by_step(facts_of, kind):
    page = Page(render(facts_of(kind)))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def luminance(colour):
    """WCAG 2.2, relative luminance of #rrggbb."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, two):
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [":root {", ':root[data-theme="dark"] {'])
def test_words_stand_out_from_what_is_behind_them_as_wcag_aa_asks(facts_of, theme):
    style = Page(render(facts_of())).inside("style")
    block = style.split(theme, 1)[1].split("}", 1)[0]
    tone = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block))
    for ink in ("ink", "muted", "honest", "optimistic", "held", "good", "bad"):
        for paper in ("paper", "card"):
            assert contrast(tone[ink], tone[paper]) >= 4.5, (theme, ink, paper, contrast(tone[ink], tone[paper]))
    assert contrast(tone["muted"], tone["soft"]) >= 4.5, "badges"
    assert contrast(tone["paper"], tone["honest"]) >= 4.5, "chosen buttons"
    assert contrast(tone["warn-ink"], tone["warn"]) >= 4.5
    for line in (f"s{index}" for index in range(8)):
        assert contrast(tone[line], tone["paper"]) >= 3, (theme, line)
