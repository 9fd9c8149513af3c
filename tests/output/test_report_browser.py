"""The report in a real browser: no request, no complaint, and everything to be had by keyboard."""

import dataclasses

import numpy as np
import pytest
from browser import Browser, find
from test_report_page import HOSTILE

from maskwright.output.report.facts import Case
from maskwright.output.report.page import SECTIONS, build_report

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    chromium = Browser()
    yield chromium
    chromium.close()


@pytest.fixture
def page(facts_of, tmp_path):
    def build(kind="multiclass", word="plain"):
        return build_report(facts_of(kind, word), tmp_path / f"{kind}.html")

    return build


def attribute(browser, selector, name):
    return browser.ask(f"document.querySelector({selector!r}).getAttribute({name!r})")


@pytest.mark.parametrize(("word", "theme", "width"), [("plain", "light", 1280), (HOSTILE, "dark", 390)])
def test_it_opens_from_a_file_asks_for_nothing_and_fits(browser, page, word, theme, width):
    path = page(word=word)
    browser.open(path, width=width, theme=theme)
    assert [url for url in browser.requests if not url.startswith("data:")] == [path.resolve().as_uri()]
    assert browser.complaints == []
    assert browser.ask("document.documentElement.scrollWidth") == width, "nothing hangs over the side"
    dark = browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 24)"
    assert dark == (theme == "dark")
    assert browser.ask("typeof alerted") == "undefined"
    assert browser.ask("[...document.images].every((image) => image.src.startsWith('data:image/'))")


def test_even_a_page_that_wants_to_cannot_reach_out(browser, page):
    path = page()
    html = path.read_text().replace("</main>", '<img src="./beside.png"><script>alerted = 1</script></main>')
    path.write_text(html)
    browser.open(path)
    assert not [url for url in browser.requests if "beside" in url and not browser.complaints]
    assert browser.ask("typeof alerted") == "undefined"
    assert len(browser.complaints) >= 2, "the policy said so"


def test_the_theme_is_switched_by_keyboard_and_says_how_it_is(browser, page):
    browser.open(page())
    assert attribute(browser, "#theme", "aria-pressed") == "false"
    browser.ask("document.getElementById('theme').focus()")
    browser.press("Enter")
    assert attribute(browser, "#theme", "aria-pressed") == "true"
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 24)"
    browser.press(" ")
    assert browser.ask("document.documentElement.dataset.theme") == "light"
    browser.ask("localStorage.clear()")


def test_tab_meets_the_way_past_the_bar_first_and_focus_is_seen(browser, page):
    browser.open(page())
    browser.press("Tab")
    assert browser.ask("document.activeElement.className") == "skip"
    assert browser.ask("document.activeElement.getBoundingClientRect().left") == 0
    browser.press("Enter")
    browser.press("Tab")
    assert browser.ask("document.getElementById('main').contains(document.activeElement)")
    assert browser.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_case_opens_with_a_slider_that_goes_by_keyboard(browser, page):
    browser.open(page())
    browser.ask("document.querySelectorAll('.zoom')[3].focus()")
    browser.press("Enter")
    assert browser.ask("document.getElementById('viewer').open")
    assert browser.ask("document.activeElement.id") == "slide"
    browser.press("ArrowRight", "ArrowRight")
    assert attribute(browser, "#slide", "aria-valuetext") == "52 % image"
    assert browser.ask("getComputedStyle(document.querySelector('.over')).clipPath") == "inset(0px 0px 0px 52%)"
    browser.press("End")
    assert attribute(browser, "#slide", "aria-valuetext") == "100 % image"
    said = [(role, name) for role, name in browser.names() if role in ("dialog", "slider")]
    assert ("slider", "How much of the image shows, from the left") in said
    assert any(role == "dialog" and name.startswith("low plain") for role, name in said)
    pressed = "document.querySelector('.layers [aria-pressed=true]').textContent"
    assert browser.ask(pressed) == "Errors"
    browser.press("1")
    assert browser.ask(pressed) == "Truth"
    first = browser.ask("document.getElementById('viewer-title').textContent")
    browser.press("n")
    assert browser.ask("document.getElementById('viewer-title').textContent") != first
    browser.press("p")
    assert browser.ask("document.getElementById('viewer-title').textContent") == first
    browser.press("Escape")
    assert not browser.ask("document.getElementById('viewer').open")
    assert browser.ask("document.activeElement.className") == "zoom", "focus goes back to where it was"


def test_an_unlabelled_case_has_its_answer_alone_to_lay_over(browser, page):
    browser.open(page())
    browser.ask("[...document.querySelectorAll('#cases .zoom')].at(-1).click()")
    assert browser.ask("[...document.querySelectorAll('.layers button')].map((b) => b.textContent)") == ["Answer"]
    assert browser.complaints == []


def test_curves_are_hidden_and_shown_by_their_buttons(browser, page):
    browser.open(page())
    off = "document.querySelectorAll('#training .series.off').length"
    browser.ask("document.querySelectorAll('#training .toggle')[2].focus()")
    browser.press("Enter")
    assert attribute(browser, "#training .toggle[data-group=f0]", "aria-pressed") == "false"
    assert browser.ask(off) == 4, "training loss, validation loss, score and learning rate of one fold"
    browser.press(" ")
    assert browser.ask(off) == 0


def test_the_matrix_changes_its_view_by_arrow_keys_and_without_any_script(browser, page):
    path = page()
    shown = "[...document.querySelectorAll('.view')].filter((v) => v.offsetParent).map((v) => v.classList[1]).join()"
    browser.open(path)
    assert browser.ask(shown) == "truth"
    browser.ask("document.querySelector('.switch input').focus()")
    browser.press("ArrowRight")
    assert browser.ask(shown) == "answer"
    browser.press("ArrowRight")
    assert browser.ask(shown) == "pixels"


def test_without_a_script_the_page_is_whole_and_dead_controls_are_not_shown(browser, page):
    browser.open(page(), script=False)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.ask("document.getElementById('theme').hidden && document.querySelector('.finder').hidden")
    assert browser.ask("document.querySelectorAll('main > section').length") == len(SECTIONS)


def test_items_are_found_and_sorted(browser, page):
    browser.open(page())
    rows = (
        "[...document.querySelectorAll('#items tbody tr')].filter((r) => !r.hidden).map((r) => r.cells[0].textContent)"
    )
    browser.ask("document.getElementById('find').focus()")
    browser.press(*"fold 1")
    assert browser.ask(rows) == [f"item {k} plain" for k in (1, 4, 7, 10)]
    assert browser.ask("document.querySelector('.finder output').textContent") == "4 of 13"
    browser.ask("document.querySelectorAll('#items thead button')[2].focus()")
    browser.press("Enter", "Enter")
    assert attribute(browser, "#items thead th:nth-child(3)", "aria-sort") == "descending"
    assert browser.ask(rows) == [f"item {k} plain" for k in (10, 7, 4, 1)]


def test_a_screen_reader_meets_landmarks_headings_and_named_things(browser, page):
    browser.open(page())
    found = browser.names()
    roles = [role for role, _ in found]
    assert {"banner", "main", "navigation", "contentinfo"} <= set(roles)
    for role in ("button", "link", "image", "slider", "searchbox", "region", "table", "radio", "dialog"):
        assert all(name.strip() for this, name in found if this == role), role
    assert roles.count("table") >= 8
    assert ("heading", "Calibration") in found


def test_a_wide_picture_keeps_its_shape(browser, facts_of, tmp_path):
    wide = np.full((20, 300, 3), 90, np.uint8)
    path = build_report(dataclasses.replace(facts_of(), worst=(Case("k", 0.5, wide, wide),)), tmp_path / "wide.html")
    browser.open(path)
    browser.ask("document.querySelectorAll('.zoom')[1].click()")
    box = "document.querySelector('.stage').getBoundingClientRect()"
    assert browser.ask(f"{box}.width / {box}.height") == pytest.approx(15, rel=0.02)
    assert browser.complaints == []


def test_print_shows_every_view_and_no_controls(browser, page):
    browser.open(page())
    browser.call("Emulation.setEmulatedMedia", media="print")
    seen = "(s) => getComputedStyle(document.querySelector(s)).display"
    assert browser.ask(f"['.bar-nav', '.finder', '.switch'].map({seen})") == ["none"] * 3
    assert browser.ask(f"['.view.truth', '.view.answer', '.view.pixels'].map({seen})") == ["block"] * 3
    browser.call("Emulation.setEmulatedMedia", media="screen")
