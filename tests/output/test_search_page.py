"""The page of a search: all states of trials, finalists and keys are on it, names from outside are escaped."""

from maskwright.output.report.search_page import render_search
from maskwright.output.report.tuning_facts import FinalFact, KeyFact, SearchFacts, TrialFact

KEYS = (
    KeyFact("members.a.optimizer.lr", "1e-05 to 0.01, log", True, 0.8, "0.001", "0.003"),
    KeyFact("members.a.augment", "2 choices", False, 0.2, "[hflip]", "[hflip]"),
)


def trial(number, state, value, reason=""):
    rate = 10 ** (-5 + number / 2)
    path = ((20.0, 0.2), (60.0, 0.4), (100.0, 0.5)) if state != "failed" else ()
    return TrialFact(number, state, value, (f"{rate:.3g}", "[<b>]"), (rate, None), 3.5, reason, path)


def facts(finals):
    trials = [trial(number, "done", 0.5 + 0.05 * number) for number in range(5)]
    trials += [trial(5, "pruned", None), trial(6, "failed", None, "the loss is nan at step 3")]
    return SearchFacts(
        "tiny", "iou", "judged by validation on 1 fold", "trial 4", KEYS, tuple(trials), finals, "c", "1"
    )


def test_everything_is_on_the_page():
    finals = (
        FinalFact("trial 4", 0.71, 0.01, (0.7, 0.72), 0, True),
        FinalFact("the recipe as it is", None, None, (), 2, False),
    )
    page = render_search(facts(finals))
    for said in ("failed: the loss is nan at step 3", "ended early", "0.7100", "best so far", "80.0 %", "0.003"):
        assert said in page
    assert "<b>]" not in page
    assert "&lt;b&gt;" in page


def test_without_finalists_it_warns():
    assert "luck may have chosen it" in render_search(facts(()))
