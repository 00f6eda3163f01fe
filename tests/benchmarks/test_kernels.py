"""`benchmarks/kernels.py` from its command line to its exit code: whatever needs nothing but torch, on tiny shapes. No speed is judged."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from convrnn.api import machine

WRONG = 4

Called = Callable[..., tuple[int, list[dict[str, Any]]]]
"""Arguments of the command line to the exit code and the lines of its file."""


@pytest.fixture
def program(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The program, its own folder where Python looks first, as when it is called; small limits; the threads are put back."""
    monkeypatch.syspath_prepend(root / "benchmarks")
    monkeypatch.setattr(machine, "PRODUCTS", (32, 64))
    monkeypatch.setattr(machine, "STREAM_FLOATS", 2**12)
    threads = torch.get_num_threads()
    yield import_module("kernels")
    torch.set_num_threads(threads)


@pytest.fixture
def called(program: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Called:
    """A quick call."""

    def call(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        out = tmp_path / "records.jsonl"
        monkeypatch.setattr(sys, "argv", ["kernels.py", "--quick", "--pairs", "1", "--threads", "1", "--json", str(out), *arguments])
        code = program.main()
        return code, [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]

    return call


@pytest.mark.parametrize(
    ("section", "lines"),
    [
        # Three recurrences, full and ragged, in one direction and both, and the loop.
        (["1", "--only", "0"], 13),
        (["2", "--only", "0", "--cells", "lstm"], 8),
        (["4"], 2 + 4 + 2),
        # The rest of these needs Keras.
        (["6", "--rival", "torch"], 4),
        (["7", "--rival", "torch"], 1),
    ],
    ids=["1", "2", "4", "6", "7"],
)
def test_a_section_agrees_with_its_peers_and_ends_with_0(
    section: list[str], lines: int, called: Called, capsys: pytest.CaptureFixture[str]
) -> None:
    code, (about, *records) = called("--section", *section)
    assert code == 0
    assert about["machine"]["threads"] == 1 and about["machine"]["sgemm_gflops"] > 0
    assert len(records) == lines and {record["section"] for record in records} == {int(section[0])}
    for record in records:
        assert record["ours_ms"] > 0 and (record["ratio"] if "ratio" in record else record["share"]) > 0
        # Another layer, or nothing but a limit, has nothing to be compared with.
        if record["rival"] not in ("sgemm", "memory", "our GRU"):
            assert 0 <= record["difference"] <= 1e-4
    shown = capsys.readouterr().out
    assert "geometric mean" in shown and "asked of" not in shown
    assert max(map(len, shown.splitlines()[2:])) <= 80


@pytest.mark.parametrize("wrong", ["an output", "a state", "a gradient", "nan"])
def test_nothing_is_timed_against_a_peer_that_answers_something_else(
    wrong: str,
    program: ModuleType,
    called: Called,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A peer off by a thousandth: exit code 4, one line that says what differs, no record, and no clock."""
    grid, contest = import_module("sections.grid"), import_module("contest")
    name, dense = grid._TORCH[False]

    def mistaken(net: Any) -> Any:
        peer = dense(net)

        def answer(x: torch.Tensor, lengths: torch.Tensor) -> Any:
            y, (state, *others) = peer.answer(x, lengths)
            match wrong:
                case "an output":
                    return y * 1.001, [state, *others]
                case "a state":
                    return y, [state * 1.001, *others]
                case "a gradient":
                    return y + 1e-3 * (y - y.detach()), [state, *others]
                case _:
                    return torch.where(torch.arange(y.shape[1])[:, None] == 3, torch.nan, y), [state, *others]

        return peer._replace(answer=answer)

    def clock(*_: object) -> None:
        raise AssertionError("timed")

    monkeypatch.setitem(grid._TORCH, False, (name, mistaken))
    monkeypatch.setattr(contest, "by_turns", clock)
    code, (_, *records) = called("--section", "1", "--cells", "gru")
    assert code == WRONG == program.WRONG and records == []
    where = {"an output": "output 0", "a state": "output 1", "a gradient": "gradient of the input", "nan": "output 0"}[wrong]
    said = capsys.readouterr().err
    assert said.startswith(f"nothing is timed on a mismatch: gru, train, against torch.nn at (2, 12, 5, 7): {where} differs by ")
    assert said.count("\n") == 1


def test_a_section_that_is_none_is_named(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        called("--section", "1,8")
    assert ended.value.code == 2
    assert "--section: expected 1 to 7, got 8" in capsys.readouterr().err


def test_what_is_missed_is_told_by_the_exit_code(program: ModuleType, called: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged on whole sections only: not where shapes are quick or chosen."""
    tables = import_module("tables")
    monkeypatch.setattr(tables, "missed", lambda records: 1)
    assert called("--section", "7", "--rival", "torch")[0] == 0
    monkeypatch.setattr(program, "_measured", lambda options: iter(()))
    monkeypatch.setattr(sys, "argv", ["kernels.py", "--section", "7"])
    assert program.main() == program.MISSED == 3
    monkeypatch.setattr(sys, "argv", ["kernels.py", "--section", "7", "--only", "0"])
    assert program.main() == 0


def test_operations_are_those_of_valid_frames(program: ModuleType) -> None:
    grid, lengths = import_module("sections.grid"), import_module("contest").lengths_of(3, 40, True)
    once = 2 * 3 * 7 * (5 + 7)
    assert grid.operations("gru", (3, 40, 5, 7), 1, False, False) == once * 3 * 40
    assert grid.operations("gru", (3, 40, 5, 7), 2, True, True) == once * int(lengths.sum()) * 2 * 3
    assert grid.operations("lstm", (3, 40, 5, 7), 1, False, False) == once * 3 * 40 * 4 / 3


def test_a_peer_that_is_not_installed_is_named(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("sections.frameworks", "peers.on_keras"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setattr(sys, "argv", ["kernels.py", "--section", "3", "--quick"])
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 2
    assert "section 3: expected tensorflow, which is not installed" in capsys.readouterr().err
