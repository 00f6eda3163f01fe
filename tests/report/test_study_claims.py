"""The section of the claims in the report of a study of the articles, in English and Chinese: every claim, its numbers, its verdict."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from convrnn.core.language import Language, catalogue, speaking
from convrnn.report import read_study, render_study
from convrnn.report.fonts import Lettering
from convrnn.report.records import Json
from convrnn.report.study_claims import markdown, rows
from convrnn.study.claims import claims, planted
from tests.report.outline import outline
from tests.study.made import CLAIMED, write_articles, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_articles(tmp_path_factory.mktemp("studies") / "articles")


@pytest.mark.parametrize(("language", "heading"), [("en", "The claims"), ("zh", "各项论断")])
def test_the_section_has_every_claim_first_of_all(study: Path, language: Language, heading: str) -> None:
    with speaking(language):
        page = outline(render_study(study, lettering=Lettering.find(())), ("h1", "h2"))
        record = json.loads((study / "claims.json").read_text(encoding="utf-8"))
        said = [cell for row in rows(record) for cell in row if cell]
        sentences = [claim.sentence for claim in (*claims(), *planted())]
    assert page.headings[:2] == ["articles", heading]
    section = page.text[page.text.index(heading) : page.text.index("Leaderboard" if language == "en" else "排行榜")]
    assert all(cell in section for cell in said) and all(sentence in section for sentence in sentences)
    words = ("held", "cannot be told")
    assert all((word if language == "en" else catalogue()[word]) in section for word in words)


def test_what_is_there_for_a_claim_alone_is_not_on_the_leaderboard(study: Path) -> None:
    assert [arm.name for arm in read_study(study).leading().arms] == ["cnn", "crnn"]
    page = outline(render_study(study, lettering=Lettering.find(())))
    after = page.text[page.text.index("Leaderboard") : page.text.index("What was compared")]
    assert "crnn" in after and not any(name in after for name in CLAIMED.aside)


def test_a_study_of_another_kind_has_no_such_section(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "plain", CLAIMED._replace(sets={"digits": 20}, seeds=2))
    assert "The claims" not in outline(render_study(folder, lettering=Lettering.find(()))).headings


def record(**changed: object) -> Json:
    """Of one claim with one comparison."""
    part = {"first": "a", "second": "b", "sets": ["ECG"], "missing": [], "measure": "quality", "metric": "accuracy", "relation": "better"}
    part |= {"effect": {"mean": 0.0312, "low": -0.004, "high": 0.07}, "verdict": "cannot be told", **changed}
    return {"alpha": 0.05, "claims": [{"id": "K0", "sentence": {"en": "So.", "zh": "如此。"}, "verdict": part["verdict"], "parts": [part]}]}


def cost(share: float) -> dict[str, float]:
    return dict.fromkeys(("mean", "low", "high"), share)


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, ["a better than b: accuracy", "ECG", "0.0312", "[\u22120.0040,\xa00.0700]"]),
        (
            {"relation": "no worse", "missing": ["PLAID"]},
            ["a no worse than b: accuracy", "ECG; not on PLAID", "0.0312", "[\u22120.0040,\xa00.0700]"],
        ),
        ({"measure": "parameters", "effect": cost(math.log(2))}, ["a better than b: parameters", "ECG", "+50%", "[+50%,\xa0+50%]"]),
        (
            {"measure": "train_seconds", "effect": cost(-math.log(2))},
            ["a better than b: time of a training", "ECG", "\u2212100%", "[\u2212100%,\xa0\u2212100%]"],
        ),
        ({"effect": None, "sets": [], "missing": ["ECG"]}, ["a better than b: accuracy", "none; not on ECG", "\u2013", "\u2013"]),
    ],
)
def test_a_row(changed: dict[str, object], found: list[str]) -> None:
    """Half the parameters are half saved; twice the time is all of it more."""
    assert rows(record(**changed)) == [["K0", "So.", *found, "cannot be told"]]


def test_a_bar_in_a_name_does_not_break_the_table_of_a_page() -> None:
    lines = markdown(record(first="x|y")).splitlines()
    assert "x\\|y" in lines[2] and {line.replace("\\|", "").count("|") for line in lines[:3]} == {8}
