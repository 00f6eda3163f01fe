"""The catalogue of messages against the source: no key is missing, none is left over, and the Chinese is written as Chinese is.

Knows no message's place; what is said where is tested in `tests/cli/test_language.py`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import typer

from convrnn import zoo
from convrnn.cli import app
from convrnn.core import errors
from convrnn.core.language import catalogue
from convrnn.data import builtin

PACKAGE = Path(__file__).resolve().parents[2] / "convrnn"
HAN = "[\u4e00-\u9fff]"
MARKS = "[\uff0c\u3002\uff1b\uff1a\uff08\uff09]"
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.ConvrnnError)}
NEUTRAL = {"R\u00b2 {r2:.3f}, {spread}", "{symbol} {low:.2f} to {high:.2f}"}
"""Keys whose Chinese may do without a Chinese character or a name."""


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of `tr` in the package, with where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr":
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def raised() -> Iterator[tuple[str, ast.Call, dict[str, list[ast.expr]]]]:
    """Every error of `core/errors.py` that the package makes: where, its call, and what each name of that function is given."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for scope in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(scope, ast.FunctionDef):
                continue
            given: dict[str, list[ast.expr]] = {}
            for node in ast.walk(scope):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    given.setdefault(node.targets[0].id, []).append(node.value)
            for node in ast.walk(scope):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node, given


def is_raw(text: ast.expr, given: dict[str, list[ast.expr]]) -> bool:
    """Whether a text is a literal, with braces or without, or a name for one."""
    if isinstance(text, ast.Name):
        return any(is_raw(each, {}) for each in given.get(text.id, []))
    if isinstance(text, ast.IfExp):
        return is_raw(text.body, given) or is_raw(text.orelse, given)
    return isinstance(text, ast.JoinedStr) or (isinstance(text, ast.Constant) and bool(text.value))


def names_in(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


@cache
def declared() -> set[str]:
    """The paragraphs of what is declared elsewhere and translated where it is listed: help, models, data."""
    group = typer.main.get_command(app)
    commands: list[Any] = [group, *group.commands.values()]  # pyright: ignore[reportAttributeAccessIssue]  (typer knows it as a command)
    texts = [text for each in commands for text in (each.help, each.epilog, *(getattr(param, "help", None) for param in each.params))]
    entries = [zoo.get(name) for name in zoo.names()]
    texts += [text for entry in entries for text in (entry.line, entry.about, *(option.meaning for option in entry.options.values()))]
    texts += [builtin.describe(name).description for name in builtin.names()]
    return {paragraph for text in texts if text for paragraph in text.split("\n\n")} | {"Show this message and exit."}


def literals() -> dict[str, str]:
    """The template of every `tr`, with where it stands."""
    return {node.args[0].value: where for where, node in calls() if isinstance(node.args[0], ast.Constant)}  # pyright: ignore[reportReturnType]


def test_every_key_is_a_literal() -> None:
    others = [where for where, node in calls() if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant)]
    assert not others, "the first argument of tr is the key: a literal"


def test_what_is_wrong_is_a_message() -> None:
    """An error's place may be a file or a field, but not words; what is wrong with it and what to do are said."""
    raw = [where for where, call, given in raised() if any(is_raw(text, given) for text in call.args[1:])]
    words = [where for where, call, _ in raised() if re.match("[\"'][a-z]+ [a-z]|f[\"']row ", ast.unparse(call.args[0]))]
    assert not raw + words, "say it with tr"


def test_values_are_those_in_the_braces() -> None:
    wrong = []
    for where, node in calls():
        given = {keyword.arg for keyword in node.keywords}
        if None not in given and given != names_in(ast.literal_eval(node.args[0])):
            wrong.append(where)
    assert not wrong


def test_no_key_is_missing() -> None:
    missing = {key: where for key, where in literals().items() if key not in catalogue()}
    assert not missing, "write their Chinese into convrnn/core/zh.json"
    assert not {text for text in declared() if text not in catalogue()}, "a model, a set or an option without its Chinese"


def test_no_key_is_left_over() -> None:
    assert not set(catalogue()) - set(literals()) - declared(), "nobody says these any more: take them out of convrnn/core/zh.json"


def faults(key: str, text: str) -> Iterator[str]:
    """What is wrong with the Chinese of a key."""
    if key not in declared() and names_in(text) != names_in(key):
        yield "other names in braces"
    words = re.sub(r"\{[^}]*\}|`[^`]*`", "", key)
    if key not in NEUTRAL and re.search("[A-Za-z]{3}", words) and not re.search(HAN, text):
        yield "no Chinese in it"
    if text != text.strip():
        yield "a blank at an end"
    # A shape in brackets is written as code is.
    plain = re.sub(r"\[[^]]*\]", "[]", text)
    if re.search(f"{HAN}[,;:?!]|[,;:?!]{HAN}|{HAN}\\.(?![\\w.])", plain):
        yield "half-width punctuation beside Chinese"
    if re.search(f"{HAN} {HAN}|{MARKS} | {MARKS}", plain):
        yield "a blank beside full-width punctuation or between Chinese characters"
    if re.search(r"[A-Za-z}]\.$", key) and key != "no." and not text.endswith("\u3002"):
        yield "a sentence that does not end in its full stop"


def test_chinese_is_written_as_chinese() -> None:
    assert not {key: found for key, text in catalogue().items() if (found := list(faults(key, text)))}


@pytest.mark.parametrize(
    ("key", "text", "fault"),
    [
        ("no {name}", "\u6ca1\u6709 {nom}", "other names in braces"),
        ("nothing", "nothing", "no Chinese in it"),
        ("nothing", "\u6ca1\u6709 ", "a blank at an end"),
        ("a, b and c", "\u7532,\u4e59", "half-width punctuation beside Chinese"),
        ("one; two", "\u4e00\uff1b \u4e8c", "a blank beside full-width punctuation or between Chinese characters"),
        ("It is done.", "\u5b8c\u6210", "a sentence that does not end in its full stop"),
    ],
)
def test_each_fault_is_found(key: str, text: str, fault: str) -> None:
    assert list(faults(key, text)) == [fault]


def test_one_entry_a_line_sorted() -> None:
    """So that branches merge."""
    path = PACKAGE / "core" / "zh.json"
    pairs = [json.loads(f"{{{line.strip().rstrip(',')}}}") for line in path.read_text(encoding="utf-8").splitlines()[1:-1]]
    keys = [key for pair in pairs for key in pair]
    assert keys == sorted(keys)
    assert len(keys) == len(set(keys)) == len(catalogue())
