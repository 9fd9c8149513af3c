"""The verb vote: the commands as they are written in the documents, and every refusal in one line."""

from pathlib import Path

import pytest
from cli_helpers import tree

HEADER = "img_id,mask_rle\n"


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    put(
        tmp_path,
        a=f"{HEADER}T1,1 4\nT2,-1\nT3,5 2\n",
        b=f"{HEADER}T1,3 4\nT2,9 1\nT3,\n",
        c=f"{HEADER}T3,5 1 6 1\nT1,4 1\nT2,-1\n",
    )
    return tmp_path


def test_hard_vote(cli, three: Path) -> None:
    done = cli("vote", "--at-least", "2", "a.csv", "b.csv", "c.csv", "--format", "dacon", "--output", "voted.csv")
    assert done == (0, "voted.csv: 3 rows from 3 files, 1 without pixels\n", "")
    assert (three / "voted.csv").read_text() == f"{HEADER}T1,3 2\nT2,-1\nT3,5 2\n"


def test_weights_from_scores_for_a_folder(cli, three: Path) -> None:
    """u = ln(s - 80 + 1) + 1 is 1, 1.6931 and 2.0986: shares .209, .353 and .438."""
    (three / "subs").mkdir()
    for name in "abc":
        (three / f"{name}.csv").rename(three / "subs" / f"{name}.csv")
    put(three, scores="member,score\nc.csv,82\na.csv,80\nb.csv,81\n")
    arguments = ("--weights", "scores.csv", "--threshold", "0.35", "subs", "--format", "dacon", "--output", "voted.csv")
    assert cli("vote", *arguments)[0] == 0
    assert (three / "voted.csv").read_text() == f"{HEADER}T1,3 4\nT2,9 1\nT3,5 2\n"
    (three / "scores.csv").rename(three / "subs" / "scores.csv")
    beside = ("--weights", "subs/scores.csv", *arguments[2:-1], "subs/voted.csv")
    for _ in range(2):  # neither the scores nor the answer are members
        assert cli("vote", *beside)[0] == 0
        assert (three / "subs" / "voted.csv").read_bytes() == (three / "voted.csv").read_bytes()


def test_heaviest_class(cli, tmp_path: Path) -> None:
    head = "image_id,PredictionString\n"
    put(tmp_path, m1=f"{head}x/1.jpg,0 1 2 10\n", m2=f"{head}x/1.jpg,1 1 3 4 \n", m3=f"{head}x/1.jpg,1 0 4 4\n")
    weights = "m1=0.7234,m2=0.7143,m3=0.6961"
    files = ("m1.csv", "m2.csv", "m3.csv", "--format", "class-string", "--output", "voted.csv")
    assert cli("vote", "--rule", "class", "--weights", weights, *files) == (0, "voted.csv: 1 rows from 3 files\n", "")
    assert (tmp_path / "voted.csv").read_text() == f"{head}x/1.jpg,1 1 2 4\n"
    assert cli("vote", "--weights", "m1=1,m2=1,m3=1", *files)[0] == 0
    assert (tmp_path / "voted.csv").read_text() == f"{head}x/1.jpg,1 1 2 4\n"


PLAN = """
format: dacon
output: voted.csv
at_least: 2
members:
  ab: {at_least: all, members: {a: subs/a.csv, b: subs/b.csv}}
  c: subs/c.csv
  again: {threshold: 0.5, members: [subs/a.csv, subs/b.csv]}
"""


def test_groups_from_a_plan(cli, three: Path) -> None:
    (three / "plans" / "subs").mkdir(parents=True)
    for name in "abc":
        (three / f"{name}.csv").rename(three / "plans" / "subs" / f"{name}.csv")
    (three / "plans" / "plan.yaml").write_text(
        PLAN.replace("[subs/a.csv, subs/b.csv]", "{x: subs/a.csv, y: subs/b.csv}")
    )
    code, out, _ = cli("vote", "plans/plan.yaml")
    assert (code, out) == (0, "plans/voted.csv: 3 rows from 3 files in 3 votes, 1 without pixels\n")
    assert (three / "plans" / "voted.csv").read_text() == f"{HEADER}T1,3 2\nT2,-1\nT3,5 2\n"
    assert cli("vote", "plans/plan.yaml", "output=other.csv", "at_least=3")[0] == 0
    assert (three / "plans" / "other.csv").read_text() == f"{HEADER}T1,4 1\nT2,-1\nT3,-1\n"


def test_best_member_of_each_class(cli, tmp_path: Path) -> None:
    head = "image_name,class,rle\n"
    put(tmp_path, a=f"{head}i.png,Ulna,1 2\ni.png,Radius,\n", b=f"{head}i.png,Radius,7 1\ni.png,Ulna,3 3\n")
    put(tmp_path, best="member,class,score\na,Ulna,0.9\nb,Ulna,0.9\na,Radius,0.8\nb,Radius,0.95\n")
    files = ("a.csv", "b.csv", "--format", "hand-bone", "--output", "voted.csv")
    assert cli("vote", "--rule", "best", "--scores", "best.csv", *files)[0] == 0
    assert (tmp_path / "voted.csv").read_text() == f"{head}i.png,Ulna,1 2\ni.png,Radius,7 1\n"


FEW = ("a.csv", "b.csv", "--format", "dacon", "--output", "v.csv")
TWO = ("--at-least", "2", *FEW)
REFUSED = [
    ("no rule", FEW, {}, "vote: neither at_least nor threshold is given; say how many members, or what share of"),
    ("two rules", (*TWO, "--threshold", "0.5"), {}, "vote: both at_least and threshold are given; say how many"),
    (
        "too many",
        ("--at-least", "3", *FEW),
        {},
        "vote: at least 3 of 2 members can never agree; write at most 2, or all",
    ),
    ("no number", ("--at-least", "x", *FEW), {}, "--at-least: 'x' is no number of members; write 1 or more, or all"),
    ("no output", ("a.csv", "--at-least", "1"), {}, "command line: --format and --output are not both given; say how"),
    (
        "format",
        ("a.csv", "--format", "dakon", "--output", "v.csv"),
        {},
        "--format: unknown format 'dakon' (did you mean",
    ),
    ("absent file", (*TWO[:-1], "v.csv", "d.csv"), {}, "d.csv: no such file or folder; check the path"),
    ("empty file", TWO, {"b": ""}, "b.csv: the file is empty; give a submission with a header and rows"),
    ("no rows", TWO, {"b": HEADER}, "b.csv: there are no rows; give a submission with rows below its header"),
    ("header", TWO, {"b": "id,mask\nT1,1 1\n"}, "b.csv:1: the header is 'id,mask', but dacon (row-major run lengths"),
    ("packed", TWO, {"b": "PK\x03\x04..."}, "b.csv: is a zip file, not a table as text; unpack it first"),
    ("index", TWO, {"b": ",img_id,mask_rle\n0,T1,1 1\n"}, "b.csv:1: the header is ',img_id,mask_rle', but dacon (row-"),
    ("missing", TWO, {"b": f"{HEADER}T1,1 1\n"}, "b.csv: 1 id ('T2') of a.csv has no row here; vote on files of the"),
    ("extra", TWO, {"b": f"{HEADER}T1,1 1\nT2,\nT3,\n"}, "b.csv: 1 id ('T3') has no row in a.csv; vote on files of"),
    (
        "other",
        TWO,
        {"b": f"{HEADER}T1,1 1\nt2,\n"},
        "b.csv: 1 id ('T2') of a.csv has no row here, and 1 id ('t2') (did",
    ),
    ("twice", TWO, {"b": f"{HEADER}T1,1 1\nT2,\nT1,\n"}, "b.csv:4: id 'T1' stands in two rows; keep one of them; a"),
    ("twice first", TWO, {"a": f"{HEADER}T1,1 1\nT2,\nT1,\n"}, "a.csv:4: id 'T1' stands in two rows; keep one of them"),
    ("few cells", TWO, {"b": f"{HEADER}T1\nT2,\n"}, "b.csv:2: the row 'T1' has fewer cells than the header (img_id,ma"),
    (
        "odd id",
        TWO,
        {"b": f'{HEADER}"T,1",\nT2,\n'},
        "b.csv:2: the row '\"T,1\",' has fewer cells than the header (img",
    ),
    ("nan", TWO, {"b": f"{HEADER}T1,nan\nT2,\n"}, "b.csv:2 (T1): number 1 of the run lengths is 'nan', not a whole"),
    ("odd count", TWO, {"b": f"{HEADER}T1,1\nT2,\n"}, "b.csv:2 (T1): run lengths hold an odd count of numbers (1); w"),
    ("overlap", TWO, {"b": f"{HEADER}T1,1 4 3 1\nT2,\n"}, "b.csv:2 (T1): run 1 4 overlaps run 3 1; name each pixel"),
    ("from 0", TWO, {"b": f"{HEADER}T1,1 4\nT2,0 3\n"}, "b.csv:3 (T2): run 1 (0 3) starts before the first pixel, wh"),
    ("past", (*TWO, "--size", "2x3"), {"b": f"{HEADER}T1,5 3\nT2,\n"}, "b.csv:2 (T1): run 1 (5 3) "),
    (
        "strange name",
        (*FEW, "--weights", "a=1,d=2", "--threshold", "0.5"),
        {},
        "vote: nothing is given for 'b', and 'd",
    ),
    ("counted", (*TWO, "--weights", "a=1,b=2"), {}, "vote: at_least counts members, but weights are given; give thres"),
    (
        "no weight",
        (*FEW, "--weights", "a=1,b", "--threshold", "0.5"),
        {},
        "--weights: 'b' is no weight; write member=num",
    ),
    (
        "all 0",
        (*FEW, "--weights", "a=0,b=0", "--threshold", "0.5"),
        {},
        "vote: all weights are 0; give some member a wei",
    ),
    ("class", (*TWO, "--rule", "class"), {}, "vote: the format holds masks, which have no rule: class; mend rule, or"),
    ("itself", (*TWO[:-1], "a.csv"), {}, "a.csv: the output is one of the members; write to another file"),
    (
        "same name",
        ("--at-least", "1", "a.csv", "x/a.csv", *FEW[2:]),
        {},
        "command line: two members are called 'a': a.csv",
    ),
]


@pytest.mark.parametrize(("arguments", "files", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refusals_are_one_line_and_write_nothing(cli, tmp_path: Path, arguments, files, said: str) -> None:
    put(tmp_path, **{"a": f"{HEADER}T1,1 4\nT2,-1\n", "b": f"{HEADER}T1,3 4\nT2,9 1\n", **files})
    before = tree(tmp_path)
    code, out, err = cli("vote", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}"), err
    assert err.count("\n") == 1
    assert tree(tmp_path) == before


def test_a_plan_is_refused_by_key(cli, three: Path) -> None:
    (three / "plan.yaml").write_text(PLAN.replace("[subs/a.csv, subs/b.csv]", "[a.csv, x/a.csv]"))
    said = "error: plan.yaml:members.again.members: two members have one file name; write name: file for each\n"
    assert cli("vote", "plan.yaml") == (2, "", said)
    (three / "plan.yaml").write_text("format: dacon\noutput: v.csv\natleast: 2\nmembers: [a.csv, b.csv]\n")
    said = "error: plan.yaml: unknown key 'atleast' (did you mean 'at_least'?); use one of: "
    assert cli("vote", "plan.yaml")[2].startswith(said)
    _, _, err = cli("vote", "plan.yaml", "--at-least", "2")
    assert err == "error: command line: --at-least beside a plan; write it in the plan, or add at_least=VALUE\n"


def test_classes_of_other_sizes_are_refused(cli, tmp_path: Path) -> None:
    head = "image_id,PredictionString\n"
    put(tmp_path, a=f"{head}i,0 1 2\n", b=f"{head}i,0 1\n", c=f"{head}i,0 -1 2\n")
    end = ("--format", "class-string", "--output", "v.csv")
    said = "error: b.csv:2 (i): 2 class ids, but a.csv has 3; write one class id for each pixel\n"
    assert cli("vote", "a.csv", "b.csv", *end) == (2, "", said)
    said = (
        "error: c.csv:2 (i): there is something that is no class id 0..255, near '0 -1 2'; write whole numbers between"
    )
    assert cli("vote", "a.csv", "c.csv", *end)[2].startswith(said)
    said = "error: a.csv:2 (i): 3 class ids, but the size has 65536; write one class id for each pixel\n"
    assert cli("vote", "a.csv", "--size", "256x256", *end)[2] == said
