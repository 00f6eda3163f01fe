"""A report in Chinese, with a font for it and without: never a box, and what the page says does not depend on the machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

import convrnn as cr
from convrnn.core.errors import DataError
from convrnn.report import figures, findings, read_history, render
from convrnn.report.fonts import CHINESE, Lettering, _installed
from convrnn.report.records import messages

NONE = Lettering.find(())
NOTE = "本机没有中文字体"


def labels(run: Path, lettering: Lettering) -> list[str]:
    """What stands at the axes of the loss of a run."""
    steps, epochs = read_history(run / "history.jsonl")
    with figures.style(lettering), cr.speaking(lettering.language()):
        axes = figures.loss(epochs, steps).figure.axes[0]
        legend = axes.get_legend()
        assert legend is not None
        return [axes.get_xlabel(), axes.get_ylabel(), *(text.get_text() for text in legend.get_texts())]


@pytest.fixture
def run(make: Callable[..., Path]) -> Path:
    return make("series")


def test_without_a_chinese_font_the_figures_are_english_and_the_page_says_so(run: Path) -> None:
    with cr.speaking("zh"):
        assert NONE.language() == "en"
        assert all(NONE.draws(label) for label in labels(run, NONE))
        page = render(run, lettering=NONE).read_text(encoding="utf-8")
    assert NOTE in page and '<html lang="zh-CN">' in page
    # What a screen reader is told is Chinese all the same.
    assert not re.search('aria-label="[A-Z]', page)


@pytest.mark.skipif(_installed().isdisjoint(CHINESE), reason="no Chinese font on this machine")
def test_with_a_chinese_font_the_figures_are_chinese(run: Path) -> None:
    with cr.speaking("zh"):
        lettering = Lettering.find()
        assert lettering.language() == "zh"
        assert labels(run, lettering)[:2] == ["轮次", "损失"]
        assert NOTE not in render(run).read_text(encoding="utf-8")


def test_kind_and_task_are_named(run: Path) -> None:
    with cr.speaking("zh"):
        page = re.sub("<[^>]+>", " ", render(run, lettering=NONE).read_text(encoding="utf-8"))
    assert re.search("类型 +序列（series）", page) and re.search("任务 +分类（classify）", page)


def test_in_english_nothing_is_chinese(run: Path) -> None:
    assert NONE.language() == "en"
    assert labels(run, NONE)[:2] == ["epoch", "loss"]
    assert NOTE not in render(run, lettering=NONE).read_text(encoding="utf-8")


def test_a_finding_is_said_in_chinese(run: Path) -> None:
    epochs = read_history(run / "history.jsonl")[1]
    with cr.speaking("zh"):
        found = findings(epochs)
    assert all(re.search("[\u4e00-\u9fff]", each.sentence) for each in found)


def test_messages_of_a_summary() -> None:
    note = {"template": "{name}: {note}", "parts": {"name": "a.csv", "note": {"template": "none", "parts": {}}}}
    data = {"notes": ["a.csv: none", "of an older version"], "messages": [note, None]}
    assert messages(data) == ["a.csv: none", "of an older version"]
    with cr.speaking("zh"):
        assert messages(data) == ["a.csv：无", "of an older version"]
        assert messages({"notes": ["of an older version"]}) == ["of an older version"]


@pytest.mark.parametrize("wrong", [[], [{"template": "{a}", "parts": {}}], ["text"], [{}, {}]])
def test_damaged_messages(wrong: list[object]) -> None:
    with pytest.raises(DataError, match=r"summary.json: data.messages: expected one for each note"):
        messages({"notes": ["x"], "messages": wrong or [None, None]})


@pytest.mark.parametrize("name", ["reviews", "regression", "diverged", "going_on"])
def test_no_english_sentence_is_left(name: str, make: Callable[..., Path]) -> None:
    with cr.speaking("zh"):
        page = render(make(name), lettering=NONE).read_text(encoding="utf-8")
    # Notes without a record, as of an older version, stay as they were written.
    shown = re.sub(r"(?s)<(style|pre|code|svg|title|blockquote|ul)\b.*?</\1>", "\n", page)
    assert not re.findall(r"\b[A-Za-z]{2,}(?: [A-Za-z]{2,})+\b", unescape(re.sub("<[^>]+>", "\n", shown)))
