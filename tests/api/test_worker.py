"""How a worker says a job ended: what can never be done is told from what could not be done now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from convrnn.api import worker
from convrnn.api.rows import Reading, source_of
from convrnn.data import digest
from convrnn.kernels import native


def _silent(message: Mapping[str, Any]) -> None:
    pass


@pytest.fixture
def order(tmp_path: Path) -> dict[str, Any]:
    """A training on twelve rows."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c,label\n" + "".join(f"{n},{n * n % 7},{-n},{'xy'[n % 2]}\n" for n in range(12)), encoding="utf-8")
    options = {"epochs": 1, "width": 2, "seed": 0}
    return {
        "do": "train",
        "data": str(path),
        "model": "rnn",
        "reading": vars(Reading(target="label")),
        "options": options,
        "out": str(tmp_path / "run"),
        "trial": False,
        "digest": None,
        "command": "",
    }


def test_a_loss_that_is_no_number_is_for_ever(order: dict[str, Any]) -> None:
    wild = {"rate": 1e38, "clip": None, "optimizer": "sgd", "schedule": "constant", "epochs": 3}
    ended = worker._done({**order, "options": {**order["options"], **wild}}, _silent)
    assert ended["ended"] == "failed" and "with a lower rate" in ended["why"]


def test_other_rows_than_the_study_began_with_are_not_trained_on(order: dict[str, Any]) -> None:
    data = Path(order["data"])
    given = {**order, "digest": digest(source_of(str(data), None, Reading(target="label")))}
    data.write_text(data.read_text(encoding="utf-8").replace("x", "z"), encoding="utf-8")
    ended = worker._done(given, _silent)
    assert ended["ended"] == "lost" and "rows.csv: the rows are not those that the study began with" in ended["why"]
    assert not Path(order["out"]).exists()


def test_what_the_machine_lacks_is_lost_and_not_failed(order: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In another environment the same job can be done: no `failed.json` may keep it from being tried again."""
    monkeypatch.setenv("CONVRNN_NATIVE", "require")
    monkeypatch.setattr(native, "_load", lambda: "it was not built")
    ended = worker._done(order, _silent)
    assert ended["ended"] == "lost" and "required by CONVRNN_NATIVE but not loaded: it was not built" in ended["why"]
