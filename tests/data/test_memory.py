"""Arrays, lists and data frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from convrnn.core.errors import DataError
from convrnn.data.examples import Columns
from convrnn.data.memory import from_arrays, read_frame
from convrnn.data.sources import read_part


@pytest.mark.parametrize(
    ("X", "kind", "shapes"),
    [
        (np.zeros((2, 3, 4)), "series", [(3, 4)] * 2),
        (np.zeros((2, 3), np.int64), "series", [(3, 1)] * 2),
        (torch.zeros(2, 3, 4), "series", [(3, 4)] * 2),
        (np.zeros((2, 3, 4), np.uint8), "image", [(3, 4, 1)] * 2),
        (np.zeros((2, 3, 4, 3)), "image", [(3, 4, 3)] * 2),
        ([np.zeros(3), np.zeros(5)], "series", [(3, 1), (5, 1)]),
        ([[[1, 2]], [[3, 4], [5, 6]]], "series", [(1, 2), (2, 2)]),
        ([[1, 2], [3, 4]], "series", [(2, 1)] * 2),
        (np.array([[1, 2], [3]], object), "series", [(2, 1), (1, 1)]),
    ],
)
def test_numbers(X: Any, kind: str, shapes: list[tuple[int, ...]]) -> None:
    examples = from_arrays(X)
    assert examples.kind == kind and [array.shape for array in examples.inputs] == shapes and examples.targets is None
    if kind == "series":
        assert all(array.dtype == np.float32 for array in examples.inputs) and len(examples.channel_titles) == shapes[0][1]


def test_texts_and_targets() -> None:
    for X in (["好", "bad"], ("好", "bad"), np.array(["好", "bad"]), np.array(["好", "bad"], object)):
        examples = from_arrays(X, np.array([1, 0]))
        assert examples.kind == "text" and examples.inputs == ["好", "bad"] and examples.targets == [1, 0]
        assert examples.names == ["X[0]", "X[1]"]
    assert from_arrays(["a"], [["x"]]).targets == ["x"]


def test_lengths_and_groups() -> None:
    examples = from_arrays(np.arange(8).reshape(2, 4), lengths=[1, 3], groups=[7, 8])
    assert [array[:, 0].tolist() for array in examples.inputs] == [[0], [4, 5, 6]] and examples.groups == ["7", "8"]


def test_kind_decides_where_both_could_be() -> None:
    assert from_arrays(np.zeros((2, 3, 4), np.uint8), kind="series").inputs[0].shape == (3, 4)
    assert from_arrays(np.zeros((2, 3, 4)), kind="image").inputs[0].shape == (3, 4, 1)


def test_frames_of_pandas_and_arrow() -> None:
    columns: dict[str, list[Any]] = {"t0": [1.0, 2.0], "t1": [None, 4.0]}
    for frame in (pd.DataFrame(columns), pa.table(columns)):
        examples = from_arrays(frame, ["a", "b"])
        assert examples.kind == "series" and examples.inputs[1][:, 0].tolist() == [2, 4]
    cells = pd.DataFrame({"x": [np.arange(2.0), pd.Series([1.0, 2.0, 3.0])], "z": [[5, 6], [7, 8, 9]]})
    assert [array.tolist() for array in from_arrays(cells).inputs] == [[[0, 5], [1, 6]], [[1, 7], [2, 8], [3, 9]]]
    texts = pd.DataFrame({"评论": ["很好", "不好", "一般"], "类别": pd.Categorical(["好", "坏", "坏"])}, index=[7, 8, 9])
    labelled = read_frame(texts, columns=Columns(target="类别"), labelled=True)[0]
    assert labelled.inputs == ["很好", "不好", "一般"] and labelled.targets == ["好", "坏", "坏"]


def test_a_frame_is_read_as_its_csv_is(tmp_path: Path) -> None:
    """Cells that are missing at the end shorten a series in both."""
    frame = pd.DataFrame({"t1": [1.0, 4.0], "t2": [np.nan, 5.0], "t3": [3.0, 6.0], "t4": [7.0, np.nan], "label": ["a", "b"]})
    frame.to_csv(tmp_path / "f.csv", index=False)
    told, read = read_frame(frame, labelled=True)[0], read_part(tmp_path / "f.csv", labelled=True)
    assert [len(row) for row in told.inputs] == [4, 3] and told.targets == read.targets
    for one, other in zip(told.inputs, read.inputs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_cells_of_a_frame_that_are_missing() -> None:
    examples = from_arrays(pd.DataFrame({"text": ["good film", None, "bad", pd.NA]}))
    assert examples.inputs == ["good film", "", "bad", ""] and "X: 2 of 4 rows have no text" in examples.notes
    assert from_arrays(pd.DataFrame({"words": ["a", "b"], "label": [float("nan"), "x"]})).targets is None


def test_an_index_that_came_with_the_file_is_no_input() -> None:
    frame = pd.DataFrame({"Unnamed: 0": [4, 7], "a": [1.0, 2.0], "b": [3.0, 4.0]})
    assert from_arrays(frame).inputs[0][:, 0].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([], None, "at least one row"),
        (np.zeros((0, 3)), None, "at least one row"),
        (np.zeros((3, 2)), [0, 1], "X: 3 rows, but 2 in y; give one of y for each row"),
        (np.zeros((3, 2)), np.zeros((3, 2)), "one target a row"),
        (np.zeros((2, 2)), [1.0, float("nan")], r"y\[1\]: expected a label or a number"),
        (np.zeros(3), None, "expected .N, T, C."),
        (["a", 1], None, "expected numbers"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], None, r"X\[1\]: expected 3 channels"),
        ([np.zeros((2, 3)), np.zeros((0, 3))], None, r"X\[1\]: .*at least one frame"),
        (np.zeros((2, 3), complex), None, "an array of complex"),
        (pd.DataFrame({"a": []}), None, "at least one row and column"),
        (pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), None, "X: two columns are called 'a'; rename one of them"),
        (pd.DataFrame({"1": [1.0], 1: [2.0]}), None, "two columns are called '1'"),
        (pa.table([[1.0], [2.0]], ["a", "a"]), None, "two columns are called 'a'"),
    ],
)
def test_mistakes(X: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_arrays(X, y)
