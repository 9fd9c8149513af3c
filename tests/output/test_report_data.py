"""The audit page and the report's data section: whole, offline, and deaf to whatever names try to do to them."""

import dataclasses
import re

import numpy as np
import pytest
from test_report_page import HOSTILE, HOSTILE_CLASS, Page

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.output.report import data_charts, data_findings, data_page, data_sections
from maskwright.output.report.charts import Axes
from maskwright.output.report.data_facts import Album, AuditPage, Look, Strip, Twins, read_audit
from maskwright.output.report.data_page import build_audit_page, render_audit
from maskwright.output.report.data_pictures import hatched, label_pictures, png_bytes, seen_picture, sheet
from maskwright.output.report.page import render

CLASSES = {"binary": ["roof"], "multiclass": ["background", "road", "tree"], "multilabel": ["heart", "left lung"]}


def finding(severity, kind="size_mismatch", word="plain", fix="mend it"):
    return {"kind": kind, "severity": severity, "where": f"masks/{word}.png", "what": f"is odd {word}", "fix": fix}


def set_of(names, word="plain", findings=()):
    kinds = len(names)
    return {
        "items": 9,
        "readable": 8,
        "labelled": 8,
        "findings": list(findings),
        "bands": 3,
        "dtype": "uint8",
        "divide": 255.0,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.2],
        "sizes": [[24, 30, 7], [48, 30, 1]],
        "classes": [
            {"name": name, "pixels": 1000, "images": 8, "objects": 12, "areas": [0, 2, 6, 4]} for name in names
        ],
        "objects_per_image": [1, 3, 4],
        "classes_per_image": [0, 2, 6],
        "coverage": [1, 7] + [0] * 18,
        "cooccurrence": [[8] * kinds for _ in names],
        "positions": {name: [[0.1] * 16 for _ in range(16)] for name in names},
        "overlap": [[0.2] * 16 for _ in range(16)],
        "overlap_pixels": [[40] * kinds for _ in names],
        "mean_image": [[[9, 99, 199]] * 8 for _ in range(8)],
        "similar": [[f"a{word}", f"b{word}", "copy", 0.97]],
    }


def audit_plain(kind="multiclass", word="plain", findings=(), test=True):
    more = {"plain": "", HOSTILE: HOSTILE_CLASS}.get(word, word)
    classes = [f"{name}{more if name != 'background' else ''}" for name in CLASSES[kind]]
    names = ["background", *classes] if kind == "binary" else classes
    sets = {"train": set_of(names, word, findings)}
    if test:
        sets["test"] = set_of(names, word)
    driver = {"name": f"light {word}", "words": f"darker {word}", "score": 0.9, "train": 99.0, "test": 33.0}
    return {
        "version": 1,
        "task": {"kind": kind, "classes": classes, "colours": None},
        "sets": sets,
        "shift": {"score": 0.81, "error": 0.02, "items": [8, 8], "drivers": [driver]} if test else None,
    }


def audit_page(kind="multiclass", word="plain", findings=()):
    picture = np.random.default_rng(1).integers(0, 255, (24, 30, 3), dtype=np.uint8)
    return AuditPage(
        title=f"title {word}",
        audit=read_audit(audit_plain(kind, word, findings), {"size_mismatch": f"sizes differ {word}"}),
        looks=tuple(Look(f"{group} {word}", group, picture, picture, f"note {word}") for group in data_sections.GROUPS),
        twins=(Twins((f"a{word}", f"b{word}"), f"copy {word}", 0.97, (picture, picture)),),
        albums=(Album(f"unet {word}", (f"hflip {word}",), "32 × 32", (Strip(f"k{word}", picture, (picture,) * 5),)),),
    )


@pytest.fixture(params=["binary", "multiclass", "multilabel"])
def kind(request):
    return request.param


def test_every_section_is_there_and_linked(kind):
    page = Page(render_audit(audit_page(kind, findings=[finding("fault")])))
    sections = ["verdict", "findings", "looks", "classes", "images", "twins", "shift", "augmented"]
    assert [attrs["id"] for attrs in page.every("section")] == sections
    links = [a["href"] for a in page.every("a") if a["href"].startswith("#")]
    assert links == ["#main", *(f"#{name}" for name in sections)]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert ("Who occurs with whom" in page.inside("h3")) == (kind == "multiclass")


def test_sections_without_content_are_left_out():
    facts = read_audit(audit_plain(test=False))
    train = facts.train.model_copy(update={"similar": (), "classes": (), "labelled": 0})
    facts = facts.model_copy(update={"sets": {"train": train}})
    page = Page(render_audit(AuditPage("bare", facts)))
    assert [attrs["id"] for attrs in page.every("section")] == ["verdict", "images"]


def test_a_set_that_could_not_be_opened_still_gives_a_page():
    gone = {"items": 0, "labelled": 0, "findings": [finding("fault", "no_folder")], "similar": []}
    plain = {"version": 1, "task": {"kind": "binary", "classes": ["roof"]}, "sets": {"train": gone}, "shift": None}
    page = Page(render_audit(AuditPage("gone", read_audit(plain))))
    assert "This set cannot be trained on yet." in page.inside("strong")
    assert "No image could be read." in page.inside("p")


@pytest.mark.parametrize("word", ["plain", HOSTILE])
def test_nothing_points_out_of_the_audit_page(kind, word):
    page = Page(render_audit(audit_page(kind, word, [finding("fault", word=word)])))
    for tag, attrs in page.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
            link = attrs.get(name, "#")
            allowed = r"data:image/(webp|jpeg);base64,[A-Za-z0-9+/=]+" if tag == "img" else r"#.*"
            assert re.fullmatch(allowed, link) or link == "#", (tag, name, link[:60])
    assert all(not name.startswith("on") and name != "style" for _, attrs in page.tags for name in attrs)


def test_hostile_names_are_shown_and_change_no_tag(kind):
    plain = Page(render_audit(audit_page(kind, findings=[finding("suspicion")])))
    page = Page(render_audit(audit_page(kind, HOSTILE, [finding("suspicion", word=HOSTILE)])))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert page.inside("script") == plain.inside("script")
    assert page.inside("h1") == f"title {HOSTILE}".replace("\x00", "�").replace("\udce9", "?")


@pytest.mark.parametrize(
    ("findings", "sentence", "digits"),
    [
        ([], "The set is clean.", "000"),
        ([finding("note")], "The set is clean.", "001"),
        ([finding("suspicion")], "Nothing forbids training, but look at this first.", "010"),
        (
            [finding("fault"), finding("fault", word="x"), finding("suspicion")],
            "This set cannot be trained on yet.",
            "210",
        ),
    ],
)
def test_the_verdict_counts_and_says_what_it_means(findings, sentence, digits):
    html = data_findings.verdict(AuditPage("t", read_audit(audit_plain(findings=findings, test=False))))
    assert sentence in html
    assert "".join(re.findall(r'class="digits">(\d+)<', html)) == digits


def test_findings_stand_by_severity_and_kind_with_a_common_fix_once():
    many = [finding("fault", word=f"n{number}") for number in range(400)]
    facts = read_audit(audit_plain(findings=[finding("note", "class_rare", fix=""), *many]), {"size_mismatch": "sizes"})
    html = data_findings.findings(facts)
    assert html.index("Faults") < html.index("Notes")
    assert html.count("Mend it.") == 1
    assert html.count("<li>") == data_findings.LISTED + 1
    assert "394 more" in html
    assert "and 100 more in audit.json" in html
    assert ">Class rare " in html


def test_another_version_of_the_audit_is_refused():
    with pytest.raises(InputError) as caught:
        read_audit({**audit_plain(), "version": 2})
    assert str(caught.value) == "audit.json: version: Input should be 1; run maskwright inspect again"


def test_the_page_is_a_pure_function_of_what_it_shows(tmp_path):
    page = audit_page()
    first, second = (build_audit_page(page, tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_pictures_share_a_budget(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 255, (160, 160, 3), dtype=np.uint8)
    looks = tuple(Look(str(number), "random", noise, noise) for number in range(10))
    page = AuditPage("t", read_audit(audit_plain(test=False)), looks=looks)
    bare = len(render_audit(AuditPage("t", page.audit)))
    monkeypatch.setattr(data_page, "PICTURE_BUDGET", 100_000)
    assert len(render_audit(page)) - bare < 100_000 * 4 / 3 + 20_000


def test_the_report_tells_the_audit_in_its_data_section(facts_of):
    facts = dataclasses.replace(facts_of("multiclass"), audit=read_audit(audit_plain(findings=[finding("note")])))
    page = Page(render(facts))
    for heading in ("Notes", "Train and test", "How large objects are", "Where classes lie"):
        assert heading in page.inside("h3")
    assert "Where classes lie" not in Page(render(facts_of("multiclass"))).inside("h3")


def test_whole_numbers_are_joined_into_few_columns():
    assert data_charts.whole_bins([1, 2, 0, 4, 0, 0], 8) == data_charts.Bins([1, 2, 0, 4], -0.5, 1)
    joined = data_charts.whole_bins([1] * 101, 32)
    assert (joined.step, len(joined.counts), joined.total) == (5, 21, 101)


def test_a_histogram_beside_another_shows_shares():
    one, two = data_charts.Bins([0, 3, 1]), data_charts.Bins([1, 0, 0, 9])
    alone = data_charts.columns(one, Axes("t", "x", "y"))
    both = data_charts.columns(one, Axes("t", "x", "y"), two)
    assert alone.count('class="column"') == both.count('class="column"') == 2
    assert "1: 3 items (75.0 %)" in alone
    assert "line second" in both
    assert "line second" not in alone


def test_a_position_map_glows_where_the_class_is():
    grid = [[0.0] * 16 for _ in range(16)]
    grid[0][15] = 0.5
    drawn = data_charts.position_map(grid, "#400000")
    assert drawn.shape == (data_charts.MAP_SIDE, data_charts.MAP_SIDE, 3)
    assert drawn[0, -1].tolist() == [235, 0, 0]
    assert drawn[-1, 0].tolist() == list(data_charts.NIGHT)
    assert data_charts.position_map(grid, "#000000")[0, -1].tolist() == [235, 235, 235]


def test_what_does_not_count_is_hatched_and_never_tinted():
    task = Task(kind="multiclass", classes=("road", "tree"))
    image = np.full((40, 40, 3), 150, np.uint8)
    label = np.zeros((40, 40), np.uint8)
    valid = np.ones((40, 40), bool)
    valid[20:] = False
    base, over = label_pictures(image, label, valid, task)
    assert over is not None
    assert (over[25:] == hatched(base, valid)[25:]).all()
    assert (over[:15] != base[:15]).any()
    seen = seen_picture(image, label, valid, task)
    assert (seen[25:] == over[25:]).all()
    assert label_pictures(image, None, valid, task)[1] is None


def test_a_contact_sheet_holds_every_picture_in_its_row():
    small, large = np.zeros((4, 6, 3), np.uint8), np.full((8, 5, 3), 7, np.uint8)
    page = sheet([[small, large], [large]], gap=1)
    assert page.shape == (1 + 8 + 1 + 8 + 1, 1 + 6 + 1 + 5 + 1, 3)
    assert (page[1:5, 1:7] == 0).all()
    assert (page[1:9, 8:13] == 7).all()
    assert (page[10:18, 1:6] == 7).all()
    assert (page[0] == 255).all()
    assert png_bytes(page).startswith(b"\x89PNG")


def test_classes_that_overlap_are_drawn_and_told():
    page = render_audit(audit_page("multilabel"))
    first, second = CLASSES["multilabel"][:2]
    assert f"Pixels in common: 100.0 % of {second} in {first}; 100.0 % of {first} in {second}." in page
    assert page.count('alt="Where two classes or more overlap') == 1
