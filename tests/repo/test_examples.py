"""Every example script and every Python and YAML block of READMEs and docs runs, and shows what it says. Knows no room.

What enters layers or cells of its own in the registries runs in a process of its own, so that no other test meets them.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from convrnn.core.spec import registered
from convrnn.layers.base import Spec

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SHOWS = {
    "classify_series.py": r"test accuracy (0\.[89]\d|1\.00)[\s\S]*a new saw is called saw",
    "classify_text.py": r"text by character[\s\S]*床很干净，服务周到 好评[\s\S]*服务差，房间脏 差评[\s\S]*早餐丰富 好评",
    "own_cell.py": r"ugrnn: 15 laws hold, 0 exempt, broken: none\nugrnn-bidirectional: 11 laws hold, 4 exempt, broken: none",
    "own_spec.py": r"linear: 10[\s\S]*test accuracy 0\.[789][\s\S]*did you mean 'bidirectional'\?",
    "regress.py": r"r2 0\.[6-9]",
    "scikit_learn.py": r"accuracy by fold: \[[\d. ]+\]\nbest: \{'model': '\w+'\}",
    "streaming.py": r"50 frames both ways, largest difference (0\.0e\+00|\d\.\de-0[678])[\s\S]*use bidirectional=False",
}
"""What each example must print, as a pattern."""

REGISTERING = re.compile(r"^@(register|entry)\(", re.MULTILINE)
PAGES = sorted(path for path in [*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")] if "```" in path.read_text(encoding="utf-8"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run(code: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a script prints; warnings are errors."""
    if REGISTERING.search(code.read_text(encoding="utf-8")):
        result = subprocess.run([sys.executable, "-W", "error", str(code)], capture_output=True, encoding="utf-8", env=environment())
        assert result.returncode == 0, result.stderr
        return result.stdout
    runpy.run_path(str(code), run_name="__main__")
    foreign = [name for name, record in registered("layer").items() if not record.__module__.startswith("convrnn.")]
    assert foreign == [], "what registers needs a process of its own"
    return capsys.readouterr().out


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


def test_every_example_is_listed() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(SHOWS)


@pytest.mark.parametrize("name", SHOWS)
def test_example(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run(EXAMPLES / name, capsys)
    assert re.search(SHOWS[name], shown), shown


@pytest.mark.parametrize(
    "page",
    # The code of a Chinese page is that of the English one, which tests below hold it to.
    [page for page in PAGES if blocks(page, "python") and not page.name.endswith(".zh-CN.md")],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_python_of_page(page: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page, one after the other as a reader types them, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    code = tmp_path / "page.py"
    code.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    run(code, capsys)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "yaml")], ids=lambda page: str(page.relative_to(ROOT)))
def test_yaml_of_page(page: Path) -> None:
    """Every spec of a page builds for series of 8 channels and survives being written."""
    for text in blocks(page, "yaml"):
        spec = Spec.from_yaml(text)
        spec.build(8)
        assert Spec.from_yaml(spec.to_yaml()) == spec


def test_links_lead_somewhere() -> None:
    """Every relative link of READMEs, docs and the guides names a file that is there."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]*)?\)", page.read_text(encoding="utf-8"))]
    assert len(links) > 10
    assert [f"{page.relative_to(ROOT)}: {link}" for page, link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name.endswith(".zh-CN.md")], ids=lambda page: page.name)
def test_a_chinese_page_has_the_code_of_the_english_one(page: Path) -> None:
    english = page.with_name(page.name.replace(".zh-CN", ""))

    def code(of: Path) -> list[str]:
        return [re.sub(r"\s*#.*", "", block) for block in blocks(of, "python")]

    assert code(page) == code(english)


def test_both_readmes_say_the_same() -> None:
    """The Chinese README has as many headings, the same code, tables of the same size and the links of the English one, to pages in Chinese
    where there are; links within the page aside, whose names are words."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))

    def skeleton(text: str) -> dict[str, object]:
        fences = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        code = [re.sub(r"\s*#.*", "", body) for language, body in fences if language]
        prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        links = sorted(link.replace(".zh-CN.", ".") for link in re.findall(r"\]\(([^)]+)\)", prose) if not link.startswith(("README", "#")))
        numbers = sorted(re.findall(r"(?<![\w.])\d[\d,.]*\d", prose))
        return {
            "headings": len(re.findall(r"^#+ ", prose, re.MULTILINE)),
            "code": code,
            "rows": len(re.findall(r"^\|", prose, re.MULTILINE)),
            "links": links,
            "numbers": numbers,
        }

    assert skeleton(chinese) == skeleton(english)
