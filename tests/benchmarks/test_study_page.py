"""The page of the study of the articles: both languages, the tables it rests on, and one line for a folder that has no claims."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import pytest

from benchmarks import study_page
from convrnn.core.language import catalogue
from convrnn.study import judged, stats
from convrnn.study.claims import claims, planted
from convrnn.study.folder import read_lines as lines
from tests.study.made import CLAIMED, write_articles, write_lines, write_study

BEGIN, END = "<!-- study -->", "<!-- end of study -->"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["study_page.py", *map(str, arguments)])
    return study_page.main()


def test_both_pages_and_what_they_rest_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, out = write_articles(tmp_path / "articles"), tmp_path / "docs" / "articles"
    for name, seconds in (("trial-0", 1800.0), ("seed-9", 5400.0)):
        write_lines(study / "runs" / "digits" / "cnn" / name / "metrics.json", [{"seconds": {"train": seconds}}])
    assert run(monkeypatch, study, out) == 0
    pages = {"README.md", "README.zh-CN.md", "report.html", "report.zh-CN.html"}
    assert {path.name for path in out.iterdir()} == {*pages, *study_page.TABLES, "plots"}
    for name in study_page.TABLES:
        assert (out / name).read_bytes() == (study / name).read_bytes()
    english, chinese = ((out / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
    for claim in (*claims(), *planted()):
        assert f"| {claim.id} | {claim.sentence} |" in english and f"| {claim.id} | {catalogue()[claim.sentence]} |" in chinese
    assert "\n2 trainings, 2.0 hours of one core in all. DIR holds" in english
    assert "\n```\nconvrnn compare articles --data DIR\n```\n" in english and "\n## The claims\n" in english
    assert "\n## 各项论断\n" in chinese and "\n## 排行榜\n" in chinese and "共 2 次训练，单核合计 2.0 小时。DIR" in chinese
    board = english[english.index("## Leaderboard") :]
    assert "\ncrnn " in board and not any(name in board for name in CLAIMED.aside)
    for text, language in ((english, "en"), (chinese, "zh")):
        shown = re.findall(r"!\[.+?\]\((.+?)\)", text)
        assert shown and all((out / picture).exists() for picture in shown), language
        linked = re.findall(r"\]\(([\w.-]+)\)", text)
        assert linked and all((out / each).exists() for each in linked), language
    assert "Leaderboard" in (out / "report.html").read_text(encoding="utf-8")
    assert "排行榜" in (out / "report.zh-CN.html").read_text(encoding="utf-8")


def test_the_figures_of_a_page_are_those_of_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, out = write_articles(tmp_path / "articles"), tmp_path / "out"
    run(monkeypatch, study, out)
    values = [line["value"] for line in lines(out / "results.jsonl") if (line["set"], line["arm"]) == ("digits", "crnn")]
    said = f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"
    row = next(
        line for line in (out / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| digits | ") and "±" in line
    )
    assert said in row and row.count("**") == 2


def test_one_seed_and_a_set_on_which_every_arm_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No deviation, and no figure: neither ends the program."""
    study = write_study(tmp_path / "study", CLAIMED._replace(seeds=1))
    about = json.loads((study / "study.json").read_text(encoding="utf-8"))
    about["sets"].append({**about["sets"][0], "name": "failed"})
    (study / "study.json").write_text(json.dumps(about), encoding="utf-8")
    stats.write(study)
    judged.write(study)
    assert run(monkeypatch, study, tmp_path / "out") == 0
    page = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert re.search(r"\n\| digits \| [*]*0\.\d{3}[*]* \|", page) and "±" not in page and "deviation" not in page
    assert re.search(r"\n\| failed \| series \|.*\| – \| – \|  \|\n", page)


def test_the_table_of_a_readme_stands_between_its_marks(tmp_path: Path) -> None:
    study = write_articles(tmp_path / "articles")
    for name in ("README.md", "README.zh-CN.md"):
        (tmp_path / name).write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n", encoding="utf-8")
    study_page.write_readmes(study, tmp_path)
    made = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert made.startswith(f"before\n{BEGIN}\n| way | model | JapaneseVowels | digits |\n") and made.endswith(f"\n{END}\nafter\n")
    assert "| 3 | `crnn` | " in made and "stale" not in made
    assert "| 方式 | 模型 | JapaneseVowels | digits |" in (tmp_path / "README.zh-CN.md").read_text(encoding="utf-8")


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
