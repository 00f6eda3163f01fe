"""The table at the end of docs/articles.md and docs/articles.zh-CN.md, made from docs/articles.yaml: `python -m tests.articles.table`.

Knows no registry; `test_table.py` holds what stands here against them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import yaml

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"en": DOCS / "articles.md", "zh": DOCS / "articles.zh-CN.md"}
BEGIN, END = "<!-- table -->", "<!-- end of table -->"

Speech = Literal["en", "zh"]
SPOKEN: tuple[Speech, ...] = ("en", "zh")
KINDS = {
    "layer": "层",
    "model": "模型",
    "task": "任务",
    "modality": "输入类型",
    "data": "数据",
    "command": "命令",
    "setting": "设置",
    "augment": "增强",
    "code": "代码",
    "doc": "文档",
    "test": "测试",
}
"""What a name may be the name of, and in Chinese."""


def rows() -> list[dict[str, Any]]:
    """The items."""
    return yaml.safe_load((DOCS / "articles.yaml").read_text(encoding="utf-8"))


def named(reference: str) -> tuple[str, str]:
    """Kind and name of `KIND:NAME`."""
    kind, name = reference.split(":", 1)
    return kind, name


def rendered(speech: Speech) -> str:
    """The table in Markdown."""
    heads = {"en": ["", "names", "here", "later, or why not"], "zh": ["", "内容", "在本项目何处", "将来，或为何没有"]}[speech]
    lines = [heads, ["---"] * 4, *(_cells(row, speech) for row in rows())]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace("|  |", "| |")


def _cells(row: dict[str, Any], speech: Speech) -> list[str]:
    which = SPOKEN.index(speech)
    here = _listed(row.get("here", []), speech, lambda kind, name: _linked(kind, name, speech))
    if "note" in row:
        note = row["note"][which]
        here += f"; {note}" if speech == "en" else f"；{note}"
    later = _listed(row.get("later", []), speech, lambda kind, name: f"`{name}`")
    rest = row["not"][which] if "not" in row else later
    return [row["id"], row["what"][which], here, rest]


def _listed(references: list[str], speech: Speech, shown: Callable[[str, str], str]) -> str:
    """`model a, b; layer c`, the names of a kind together."""
    groups: dict[str, list[str]] = {}
    for kind, name in map(named, references):
        groups.setdefault(kind, []).append(shown(kind, name))
    if speech == "zh":
        return "；".join(f"{KINDS[kind]} {'、'.join(names)}" for kind, names in groups.items())
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in groups.items())


def _linked(kind: str, name: str, speech: Speech) -> str:
    """A link to a file, from docs/, to its Chinese twin where there is one; any other name as it is typed."""
    if kind in ("code", "test"):
        return f"[{Path(name).name}](../{name})"
    if kind != "doc":
        return f"`{name}`"
    twin = name.removesuffix(".md") + ".zh-CN.md"
    name = twin if speech == "zh" and (DOCS / twin).is_file() else name
    return f"[{name}]({name})"


def within(page: str) -> str:
    """The table that stands in a page."""
    return page.split(BEGIN)[1].split(END)[0].strip()


def main() -> int:
    """Writes the table into both pages."""
    for speech in SPOKEN:
        page = PAGES[speech]
        text = page.read_text(encoding="utf-8")
        marked = f"{BEGIN}\n\n{rendered(speech)}\n\n{END}"
        page.write_text(re.sub(f"{BEGIN}.*{END}", lambda _, marked=marked: marked, text, flags=re.DOTALL), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
