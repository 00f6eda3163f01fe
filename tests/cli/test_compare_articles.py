"""`convrnn compare articles`: what it settles itself is refused, a study to its end over workers that only pretend to train, and again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from convrnn.api import compare as api
from convrnn.cli import main
from convrnn.core.language import catalogue
from convrnn.study.articles import MAIN, every_claim
from convrnn.study.workers import Hire
from tests.cli.conftest import Said
from tests.study import pretend
from tests.study.made import write_vowels

Convrnn = Callable[..., Said]
SETTLED = (
    "--models",
    "--budget",
    "--trials",
    "--folds",
    "--task",
    "--input",
    "--target",
    "--group",
    "--id",
    "--time",
    "--encoding",
    "--valid",
    "--test",
)


@pytest.fixture(scope="module", autouse=True)
def _pretended() -> object:
    """Workers that leave at once what a training leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(pretend.__file__).parent))
        patch.setattr(api, "Hire", lambda module, log, keep: Hire("pretend", log, keep))
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one set, two seeds."""
    folder = write_vowels(tmp_path_factory.mktemp("sets"))
    out = tmp_path_factory.mktemp("studies") / "study"
    typed = ["compare", "articles", "JapaneseVowels", "--data", str(folder), "--seeds", "2", "--epochs", "3", "--set", "batch=8"]
    assert main([*typed, "--out", str(out), "--workers", "1", "--quiet"]) == 0
    return out


@pytest.fixture
def done(study: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, gone on with from here on: its report is drawn, and is not drawn again."""
    assert "<h2>The claims</h2>" in (study / "report.html").read_text(encoding="utf-8")
    monkeypatch.setattr(api, "render_study", lambda folder: folder / "report.html")
    return study


def test_what_was_typed_reaches_the_plan(study: Path) -> None:
    plan = json.loads((study / "study.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in plan["sets"]] == ["JapaneseVowels"]
    assert (plan["seeds"], plan["options"], plan["judged"]) == (2, {"epochs": 3, "batch": 8}, True)
    assert plan["command"].startswith("convrnn compare articles JapaneseVowels --data ") and plan["command"].endswith(" --quiet")


def test_a_study_that_is_done_is_told_claim_by_claim(done: Path, convrnn: Convrnn) -> None:
    """The tables are the same bytes; the leaderboard has the main comparison alone."""
    before = {name: (done / name).read_bytes() for name in ("results.jsonl", "study.json", "claims.json", "statistics.json")}
    said = convrnn("compare", "articles", "--resume", done, "--quiet")
    assert said.code == 0, said
    assert {name: (done / name).read_bytes() for name in before} == before
    lines = said.out.splitlines()
    assert {line.split()[0] for line in lines[2 : 2 + len(MAIN)]} == set(MAIN) and lines[2 + len(MAIN)] == ""
    verdicts = {each["id"]: each["verdict"] for each in json.loads(before["claims.json"])["claims"]}
    assert [line for line in lines if line[:1] in "KP" and line[1:2].isdigit()] == [
        f"{claim.id}  {verdicts[claim.id]}: {claim.sentence}" for claim in every_claim()
    ]


def test_claims_in_chinese_and_as_json(done: Path, convrnn: Convrnn) -> None:
    chinese = convrnn("compare", "articles", "--resume", done, "--quiet", "--lang", "zh").out
    sentence = next(claim.sentence for claim in every_claim() if claim.id == "K1")
    assert f": {catalogue()[sentence]}" in chinese and sentence not in chinese
    found = json.loads(convrnn("compare", "--resume", done, "--json").out)
    assert found["claims"] == json.loads((done / "claims.json").read_text(encoding="utf-8"))["claims"]


@pytest.mark.parametrize("option", SETTLED)
def test_what_the_study_settles_is_refused(option: str, convrnn: Convrnn, tmp_path: Path) -> None:
    said = convrnn("compare", "articles", "digits", option, "1", "--out", tmp_path / "study")
    assert said == Said(2, "", f"convrnn: {option}: is settled by the study `articles`; leave {option} out\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("digits", "--models", "gru", "--data", "."), "--data: belongs to the study `articles`; give what is compared on as DATA"),
        (("articles", "digitz"), "DATA: the study has no set digitz; known: adding, copy, "),
        (("articles", "--data", "lost"), "--data: expected a folder, got lost; give the one that holds the sets by name"),
        (("articles", "PLAID", "--quiet"), "--data: none of the sets is there; give the folder that holds the sets by name"),
        (("articles", "digits", "--seeds", "0"), "--seeds: expected at least 1, got 0"),
        (("articles", "digits", "--set", "width=3"), "--set: the budget decides the width, got width"),
        (("articles", "digits", "--set", "folds=3"), "--folds: is settled by the study `articles`; leave --folds out"),
        (("articles", "digits", "--resume", "lost"), "--resume: goes on with what the study was asked for, got DATA too; leave DATA out"),
        (
            ("articles", "--data", ".", "--resume", "lost"),
            "--resume: goes on with what the study was asked for, got --data too; leave --data out",
        ),
    ],
)
def test_mistakes(typed: tuple[str, ...], said: str, convrnn: Convrnn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = convrnn("compare", *typed)
    assert found.code == 2 and found.err.startswith(f"convrnn: {said}") and found.err.count("\n") == 1, found
    assert list(tmp_path.iterdir()) == []
