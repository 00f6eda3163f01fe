"""Messages: one template in two languages, kept in English where files and JSON hold them."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import threading

import pytest

import convrnn as cr
from convrnn.core.columns import width, wrapped
from convrnn.core.errors import DataError
from convrnn.core.language import (
    Message,
    both,
    declared,
    either,
    english,
    joined,
    of_locale,
    said,
    speaking,
    speaking_everywhere,
    spoken,
    tr,
)


def test_a_message_in_two_languages() -> None:
    assert tr("{count:,} frames", count=1344) == "1,344 frames"
    with cr.speaking("zh"):
        assert tr("{count:,} frames", count=1344) == "1,344 帧"
    assert spoken() == "en"


def test_conversions_and_formats_hold_in_both() -> None:
    with speaking("zh"):
        assert tr("unknown key {key!r}", key="a") == "未知的键 'a'"
        assert tr('write rows as {{"text": ..., "label": ...}}') == '请把每行写成 {"text": ..., "label": ...}'


def test_a_message_is_said_again_with_those_within_it() -> None:
    with speaking("zh"):
        made = tr("{name}: {note}", name="a.csv", note=tr("UTF-8 with a byte order mark"))
        assert made == "a.csv：带字节顺序标记的 UTF-8"
    assert said(made) == "a.csv: UTF-8 with a byte order mark"
    assert english({"notes": [made, 3], "what": (made,)}) == {"notes": [said(made), 3], "what": [said(made)]}
    assert type(english(made)) is str


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda message: pickle.loads(pickle.dumps(message))])
def test_a_copy_can_be_said_again_too(again: object) -> None:
    with speaking("zh"):
        message = again(tr("{name}: {note}", name="x", note=tr("none")))  # pyright: ignore[reportCallIssue]
        assert message == "x：无"
    assert said(message) == "x: none"


def test_a_record_is_read_in_either_language() -> None:
    stored = json.dumps(tr("{name}: {note}", name="x", note=tr("none")).record())
    with speaking("zh"):
        assert Message.from_record(json.loads(stored)) == "x：无"
    assert Message.from_record(json.loads(stored)) == "x: none"


@pytest.mark.parametrize("record", [{}, {"template": "{a}"}, {"template": 3, "parts": {}}, {"template": "{a}", "parts": {"b": "1"}}])
def test_a_damaged_record(record: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Message.from_record(record)


def test_a_key_that_the_catalogue_lacks_is_said_in_english() -> None:
    with speaking("zh"):
        assert Message("of another version: {x}", {"x": "1"}) == "of another version: 1"
        assert declared("a model of somebody else's") == "a model of somebody else's"


def test_an_error_is_said_in_the_language_of_its_reader() -> None:
    error = DataError("a.csv:3", tr("the file is empty"), tr("give a file with data"))
    assert str(error) == "a.csv:3: the file is empty; give a file with data"
    with speaking("zh"):
        assert str(error) == "a.csv:3：文件为空；请给出有数据的文件"
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
        assert str(error.within("b")) == "b.a.csv:3：文件为空；请给出有数据的文件"


def test_lists() -> None:
    assert (both(["a"]), both(["a", "b", "c"]), either(["a", "b"]), joined(["a", "", "b"])) == ("a", "a, b and c", "a or b", "a; b")


def test_another_language_is_refused() -> None:
    with pytest.raises(ValueError, match="expected en or zh, got 'fr'"), speaking("fr"):  # pyright: ignore[reportArgumentType]
        pass


def test_threads_and_processes_follow_a_command_line() -> None:
    heard: list[str] = []
    with speaking_everywhere("zh"):
        thread = threading.Thread(target=lambda: heard.append(spoken()))
        thread.start()
        thread.join()
        child = subprocess.run(
            [sys.executable, "-c", "from convrnn.core.language import spoken; print(spoken())"], capture_output=True, text=True, check=True
        )
    assert (heard, child.stdout) == (["zh"], "zh\n")
    with speaking("zh"):  # for this context alone
        thread = threading.Thread(target=lambda: heard.append(spoken()))
        thread.start()
        thread.join()
    assert heard == ["zh", "en"]


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LC_MESSAGES": "zh_TW"}, "zh"),
        ({"LANG": "de_DE"}, "en"),
        ({"LANG": "zh_CN", "CONVRNN_LANG": "en"}, "en"),
    ],
)
def test_the_locale_says_which(variables: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONVRNN_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert of_locale() == language


def test_lines_are_broken_between_chinese_characters_and_never_before_a_mark() -> None:
    text = "验证损失自第 4 轮起走平（已完成总降幅的 95%，结束时为 0.036）：已收敛。See `convrnn train --help`."
    for columns in range(12, 60):
        lines = wrapped(text, columns, "  ")
        assert all(width(line) <= max(columns, width("  `convrnn")) for line in lines)
        assert not any(line.strip()[0] in "，。；：）" or line[-1] == "（" for line in lines)
        assert "".join("".join(lines).split()) == "".join(text.split())
    assert wrapped("", 10) == []
