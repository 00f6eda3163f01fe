"""What is kept of the study of the articles: READMEs and page say what its tables say, and every claim has its verdict. Knows no study."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from benchmarks import study_page
from benchmarks.pages import filled
from convrnn.core.language import Language, speaking
from convrnn.report.study_claims import markdown, summary
from convrnn.study.articles import every_claim
from convrnn.study.folder import read_lines

KEPT = study_page.ROOT / "docs" / "studies" / "articles"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_table_of_the_readme_is_that_of_the_study(language: Language) -> None:
    prose = study_page.PROSE[language]
    readme = (study_page.ROOT / prose.file).read_text(encoding="utf-8")
    statistics = json.loads((KEPT / "statistics.json").read_text(encoding="utf-8"))
    with speaking(language):
        assert filled(readme, study_page.MARK, study_page.table(statistics, prose)) == readme


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_has_the_verdicts_of_the_claims(language: Language) -> None:
    claims = json.loads((KEPT / "claims.json").read_text(encoding="utf-8"))
    assert [claim["id"] for claim in claims["claims"]] == [claim.id for claim in every_claim()]
    text = (KEPT / study_page.PROSE[language].file).read_text(encoding="utf-8")
    with speaking(language):
        assert summary(claims).rstrip() in text and markdown(claims).rstrip() in text


def test_the_study_is_whole() -> None:
    """Five seeds of every arm on every set, nothing left out."""
    asked = json.loads((KEPT / "study.json").read_text(encoding="utf-8"))
    done = Counter((line["set"], line["arm"]) for line in read_lines(KEPT / "results.jsonl"))
    assert not asked["skipped"] and done == {(pair["set"], pair["arm"]): asked["seeds"] for pair in asked["pairs"]}
