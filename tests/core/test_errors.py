"""The error tree is the one its docstring draws, and every message is one line."""

from __future__ import annotations

import pickle
import re

import pytest

from convrnn.core import errors
from convrnn.core.errors import ConvrnnError, InputError, JobError, NotStreamable, ShapeError, SpecError, StateEnded

TREE = {
    "ConvrnnError": Exception,
    "InputError": ConvrnnError,
    "SpecError": InputError,
    "ShapeError": InputError,
    "DataError": InputError,
    "UsageError": InputError,
    "NotStreamable": InputError,
    "StateEnded": InputError,
    "JobError": ConvrnnError,
    "Diverged": JobError,
}


def test_the_tree_is_the_one_that_is_drawn() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"^\s*[│├└─ ]*([A-Z]\w+)", errors.__doc__.split("\n\n")[1], re.MULTILINE)
    found = {name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, BaseException)}
    assert sorted(drawn) == sorted(found) == sorted(TREE)
    for name, parent in TREE.items():
        assert found[name].__bases__[0] is parent


@pytest.mark.parametrize("name", [name for name, parent in TREE.items() if parent is InputError])
def test_what_the_user_gave_is_a_value_error_and_exit_code_2(name: str) -> None:
    error: InputError = getattr(errors, name)("where", "problem")
    assert issubclass(type(error), ValueError)
    assert error.exit_code == 2


def test_a_failed_job_is_a_runtime_error_and_exit_code_1() -> None:
    assert issubclass(JobError, RuntimeError) and not issubclass(JobError, ValueError)
    assert JobError("f", "lost").exit_code == 1


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (("conv.kernel", "expected 3", "use 3"), "conv.kernel: expected 3; use 3"),
        (("conv.kernel", "expected 3"), "conv.kernel: expected 3"),
        (("", "expected 3", "use 3"), "expected 3; use 3"),
        (("数据.csv:3:年龄", "不是数字"), "数据.csv:3:年龄: 不是数字"),
        (("f", "two\nlines\t and  gaps"), "f: two lines and gaps"),
    ],
)
def test_the_message_is_one_line(parts: tuple[str, ...], line: str) -> None:
    assert str(SpecError(*parts)) == line


def test_within_names_the_path_and_keeps_the_rest() -> None:
    error = ShapeError("", "expected channels", "put a Fold first").within("gru").within("2").within("body")
    assert str(error) == "body.2.gru: expected channels; put a Fold first"
    assert type(error) is ShapeError
    assert type(NotStreamable("a", "b").within("c")) is NotStreamable


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(StateEnded("state", "row 1 has ended", "start again")))
    assert (type(error), error.where, error.problem, error.remedy) == (StateEnded, "state", "row 1 has ended", "start again")
