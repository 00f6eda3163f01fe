"""`cr.compare` from Python, as far as it goes without a training; `tests/cli/test_compare.py` has the studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import convrnn as cr
from convrnn.api.planning import parameters_with, within
from convrnn.api.prepare import Request, prepare
from convrnn.api.rows import Reading, source_of
from convrnn.study.budget import WITHIN
from convrnn.zoo import get, names


def _silent(line: str) -> None:
    pass


@pytest.mark.parametrize("data", [np.zeros((4, 8)), [np.zeros((8, 2))], 3])
def test_rows_in_memory_are_refused(data: object) -> None:
    with pytest.raises(cr.UsageError, match="write the rows to a file"):
        cr.compare(data, ["gru"])  # pyright: ignore[reportArgumentType]


def test_what_is_no_study_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(cr.DataError, match="expected the folder of a study"):
        cr.resume_study(tmp_path)


@pytest.mark.parametrize("name", names())
def test_every_model_with_a_width_meets_a_budget(name: str) -> None:
    """On rows of its kind; and what is counted is what is trained."""
    draw = np.random.default_rng(0)
    rows = {"text": ["a b c", "b c d"] * 20, "series": list(draw.normal(size=(40, 60, 2)))}
    pictures = draw.integers(0, 255, (40, 28, 28, 1)).astype(np.uint8)
    kind = next(kind for kind in ("series", "text", "image") if kind in get(name).kinds)
    source = source_of(rows.get(kind, pictures), ["x", "y"] * 20, Reading())
    prepared = prepare(source, Request(name), _silent)
    assert parameters_with(prepared, name, {}) == prepared.model.parameters
    budget = 2 * prepared.model.parameters
    try:
        solved, parameters = within(prepared, name, budget)
    except cr.UsageError as error:
        assert "and no width" in str(error) and name == "mnist-cnn"
        return
    assert abs(parameters - budget) <= WITHIN * budget
    assert prepare(source, Request(name, options=solved), _silent).model.parameters == parameters
