"""The table of the five articles against the registries: nothing left out, nothing named that is not there, both pages as the data say."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import convrnn.layers
import convrnn.modality.augment
import convrnn.tasks
from convrnn import zoo
from convrnn.cli import app
from convrnn.core.spec import registered
from convrnn.data import builtin
from convrnn.training import Settings
from tests.articles.table import KINDS, PAGES, SPOKEN, Speech, named, rendered, rows, within

ITEMS = [f"{article}{number:02}" for article, count in zip("ABCDE", (27, 21, 24, 12, 18), strict=True) for number in range(1, count + 1)]
"""Every item of the five articles: A has 27, B 21, C 24, D 12, E 18."""


def known(kind: str, root: Path) -> set[str]:
    """The names that there are of a kind; of files, those that exist."""
    assert convrnn.layers and convrnn.modality.augment and convrnn.tasks, "these enter their names"
    match kind:
        case "layer" | "task" | "modality":
            return set(registered(kind))
        case "augment":
            return set(registered("augmentation"))
        case "model":
            return set(zoo.names())
        case "data":
            return set(builtin.names())
        case "command":
            return {str(command.name) for command in app.registered_commands}
        case "setting":
            return {field.name for field in fields(Settings)}
        case "doc":
            return {str(path.relative_to(root / "docs")) for path in (root / "docs").rglob("*.md")}
        case _:
            return {str(path.relative_to(root)) for folder in ("convrnn", "tests") for path in (root / folder).rglob("*.py")}


def test_every_item_is_there_once_and_in_order() -> None:
    assert [row["id"] for row in rows()] == ITEMS and len(ITEMS) == 102


def test_every_item_is_somewhere_or_says_why_not() -> None:
    for row in rows():
        assert set(row) <= {"id", "what", "here", "later", "not", "note"}, row["id"]
        assert ("not" in row) != ("here" in row) and (row.get("here") or row.get("not")), row["id"]
        assert all(len(row[key]) == len(SPOKEN) for key in ("what", "not", "note") if key in row), row["id"]


def test_what_is_named_exists(root: Path) -> None:
    names = {kind: known(kind, root) for kind in KINDS}
    missing = [f"{row['id']}: {one}" for row in rows() for one in row.get("here", []) if named(one)[1] not in names[named(one)[0]]]
    assert missing == []


def test_what_is_to_come_is_not_there_yet(root: Path) -> None:
    """When it is, its row says where."""
    names = {kind: known(kind, root) for kind in KINDS}
    built = [f"{row['id']}: {one}" for row in rows() for one in row.get("later", []) if named(one)[1] in names[named(one)[0]]]
    assert built == []


@pytest.mark.parametrize("speech", SPOKEN)
def test_pages_hold_the_table(speech: Speech) -> None:
    """`python -m tests.articles.table` writes it."""
    assert within(PAGES[speech].read_text(encoding="utf-8")) == rendered(speech)


def test_chinese_links_lead_to_chinese_pages(root: Path) -> None:
    links = re.findall(r"\]\(([\w/-]+)\.md\)", within(PAGES["zh"].read_text(encoding="utf-8")))
    assert links and not [link for link in links if (root / "docs" / f"{link}.zh-CN.md").is_file()]


def test_both_pages_say_the_same() -> None:
    """As many headings, the same code, the same links but for the language."""

    def skeleton(text: str) -> tuple[object, ...]:
        code = [re.sub(r"\s*#.*", "", body) for body in re.findall(r"^```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
        prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        links = sorted(link.replace(".zh-CN", "") for link in re.findall(r"\]\(([^)]+)\)", prose))
        return len(re.findall(r"^#+ ", prose, re.MULTILINE)), code, links, len(re.findall(r"^\|", prose, re.MULTILINE))

    english, chinese = (skeleton(PAGES[speech].read_text(encoding="utf-8")) for speech in SPOKEN)
    assert chinese == english
