"""`cr.compare` from Python, as far as it goes without a training; `tests/cli/test_compare.py` has the studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import convrnn as cr
from convrnn.api.planning import Asked, arms_of, parameters_with, plan_of, within
from convrnn.api.prepare import Request, prepare
from convrnn.api.rows import Reading, source_of
from convrnn.study.budget import WITHIN
from convrnn.study.folder import write_plan
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


def test_a_study_is_not_gone_on_with_on_other_rows(tmp_path: Path) -> None:
    """No run is done yet, so no training is needed to see it: it is said before any."""
    data, study = tmp_path / "rows.csv", tmp_path / "study"
    data.write_text("a,b,c,label\n" + "".join(f"{n},{n * n % 7},{-n},{'xy'[n % 2]}\n" for n in range(40)), encoding="utf-8")
    asked = Asked([str(data)], arms_of(["gru"]), 1, None, 1, Reading(target="label"), {"epochs": 1}, "")
    study.mkdir()
    write_plan(study, plan_of(asked, "study", _silent))
    data.write_text(data.read_text(encoding="utf-8").translate({120: "y", 121: "x"}), encoding="utf-8")
    with pytest.raises(cr.DataError, match=r"rows\.csv: the rows are not those that the study began with; restore them, or begin"):
        cr.resume_study(study)
    assert {path.name for path in study.iterdir()} <= {"study.json", ".lock"}


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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"folds": 3}, "split.fold: is missing: which of how many folds is the test part takes both; for example --set folds=10"),
        ({"fold": 0}, "split.folds: is missing"),
        ({"folds": "3", "fold": 0}, "split.folds: expected a number, got '3'"),
        ({"folds": 3, "fold": 3}, "split.fold: expected 0..2, got 3; count from 0"),
        ({"folds": 3, "fold": 0, "test": 0.3}, "folds: each fold is the test part in its turn, and another is given too"),
    ],
)
def test_a_training_on_a_fold_that_is_none(given: dict[str, object], said: str) -> None:
    rows = list(np.random.default_rng(0).normal(size=(12, 5, 1)))
    with pytest.raises(cr.InputError) as error:
        cr.train(rows, ["x", "y"] * 6, model="gru", epochs=1, **given)  # pyright: ignore[reportArgumentType]  (as someone may)
    assert str(error.value).startswith(said)
