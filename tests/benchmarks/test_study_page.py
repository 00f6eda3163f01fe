"""The page of the study of the articles: both languages, the tables it rests on, and one line for a folder that has no claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import study_page
from convrnn.core.language import catalogue
from convrnn.study.claims import claims, planted
from tests.study.made import CLAIMED, write_articles, write_study


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["study_page.py", *map(str, arguments)])
    return study_page.main()


def test_both_pages_and_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, out = write_articles(tmp_path / "articles"), tmp_path / "docs" / "articles"
    assert run(monkeypatch, study, out) == 0
    assert {path.name for path in out.iterdir()} == {"README.md", "README.zh-CN.md", *study_page.TABLES}
    for name in study_page.TABLES:
        assert (out / name).read_bytes() == (study / name).read_bytes()
    english, chinese = ((out / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
    for claim in (*claims(), *planted()):
        assert f"| {claim.id} | {claim.sentence} |" in english and f"| {claim.id} | {catalogue()[claim.sentence]} |" in chinese
    assert english.startswith("# articles\n\n```\nconvrnn compare ") and "\n## The claims\n" in english
    assert "\n## 各项论断\n" in chinese and "\n## 排行榜\n" in chinese
    board = english[english.index("## Leaderboard") :]
    assert "\ncrnn " in board and not any(name in board for name in CLAIMED.aside)


def test_a_folder_without_claims_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tmp_path / "study", CLAIMED._replace(sets={"digits": 20}, seeds=2))
    assert run(monkeypatch, study, tmp_path / "out") == 2
    assert capsys.readouterr().err == (
        f"{study}: has no claims, or no statistics yet; give what `convrnn compare articles` wrote, once it is done\n"
    )
    assert run(monkeypatch, tmp_path, tmp_path / "out") == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"{tmp_path}: expected a study folder") and said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
