"""Series: scaling against scikit-learn, filling and masks by hand, columns by name, and what is refused."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from convrnn.core.errors import DataError, NotStreamable, SpecError, UsageError
from convrnn.modality import Series, Text

NAN = float("nan")


def ragged(seed: int = 0, channels: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(rng.gamma(2.0, size=(n, channels)) * [1, 10, 1000][:channels] + 7).astype(np.float32) for n in (5, 1, 12, 30)]


@pytest.mark.parametrize(("scale", "oracle"), [("standard", StandardScaler), ("minmax", MinMaxScaler), ("robust", RobustScaler)])
def test_scaling_is_that_of_scikit_learn_over_all_training_frames(part: Any, scale: Any, oracle: Any) -> None:
    rows = ragged()
    rows[2][3, 1] = np.nan  # missing values are left out, as scikit-learn does
    modality = Series.fit(part(rows), Series(scale))
    frames = np.concatenate([modality.encode(row)[:, :3] for row in rows])
    expected = oracle().fit(np.concatenate(rows).astype(np.float64)).transform(np.concatenate(rows).astype(np.float64))
    seen = ~np.isnan(expected)
    np.testing.assert_allclose(frames[seen], expected[seen], rtol=1e-6, atol=1e-6)


def test_none_leaves_values_and_instance_normalises_each_series_by_itself(part: Any) -> None:
    rows = ragged()
    np.testing.assert_array_equal(Series.fit(part(rows), Series("none")).encode(rows[0]), rows[0])
    modality = Series.fit(part(rows), Series("instance"))
    double = rows[3].astype(np.float64)
    np.testing.assert_allclose(modality.encode(rows[3]), (double - double.mean(0)) / double.std(0), rtol=1e-5, atol=1e-6)
    assert not modality.encode(rows[1]).any()  # one frame has no spread


def test_only_the_training_part_is_learned_from(part: Any) -> None:
    modality = Series.fit(part(ragged()))
    before = modality.encode(ragged()[0])
    modality.encode_examples(part([row * 100 for row in ragged(1)]))
    np.testing.assert_array_equal(modality.encode(ragged()[0]), before)


def test_sums_are_taken_in_float64(part: Any) -> None:
    rows = [np.array([[4e6 + 1], [4e6 + 2], [4e6 + 3]], dtype=np.float32)] * 20_000
    modality = Series.fit(part(rows))
    assert modality.offsets == (4e6 + 2,)
    assert modality.spreads[0] == pytest.approx(np.sqrt(2 / 3), rel=1e-12)


@pytest.mark.parametrize("scale", ["standard", "minmax", "robust", "instance", "none"])
def test_constant_and_empty_channels_are_finite(part: Any, scale: Any) -> None:
    rows = [np.array([[0.1, NAN, 1.0], [0.1, NAN, 2.0], [0.1, NAN, 2.0]], dtype=np.float32)] * 3
    modality = Series.fit(part(rows), Series(scale))
    encoded = modality.encode(rows[0])
    assert encoded.shape == (3, 4) and np.isfinite(encoded).all()
    assert modality.masked == (1,)
    if scale != "none":
        assert not encoded[:, :2].any()


def test_a_constant_is_told_by_its_extremes_not_by_a_rounding_error(part: Any) -> None:
    values = np.full(7, 0.1)
    assert values.std() > 0
    assert Series.fit(part([values])).spreads == (1.0,)


def test_robust_scale_of_a_mostly_constant_channel_is_its_deviation(part: Any) -> None:
    values = np.array([[0.0]] * 9 + [[10.0]])
    assert Series.fit(part([values]), Series("robust")).spreads == (3.0,)


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        ("previous", [4.0, 1.0, 1.0, 1.0, 7.0, 7.0]),  # the mean, 4, before the first value
        ("linear", [1.0, 1.0, 3.0, 5.0, 7.0, 7.0]),
        ("mean", [4.0, 1.0, 4.0, 4.0, 7.0, 4.0]),
        ("zero", [0.0, 1.0, 0.0, 0.0, 7.0, 0.0]),
    ],
)
def test_missing_values_become_numbers_and_a_mask(part: Any, fill: Any, expected: list[float]) -> None:
    row = np.array([[NAN, 1], [1, 1], [NAN, 1], [NAN, 1], [7, 1], [NAN, 1]], dtype=np.float32)
    modality = Series.fit(part([row]), Series("none", fill=fill))
    assert modality.shape() == (3,) and modality.masks == 1
    np.testing.assert_array_equal(modality.encode(row)[:, 0], expected)
    np.testing.assert_array_equal(modality.encode(row)[:, 2], [1, 0, 1, 1, 0, 1])


def test_instance_fills_with_the_means_of_the_series_itself(part: Any) -> None:
    modality = Series.fit(part([np.array([[100.0], [NAN]])]), Series("instance", fill="mean"))
    np.testing.assert_array_equal(modality.encode(np.array([[1.0], [NAN], [3.0]])), [[-1, 0], [0, 1], [1, 0]])


def test_a_channel_missing_only_at_prediction_is_filled_without_a_mask_and_said(part: Any) -> None:
    modality = Series.fit(part([np.array([[1.0, 5.0], [3.0, 5.0]])], ("a", "b")))
    later = part([np.array([[NAN, 5.0], [3.0, 5.0]]), np.array([[NAN, 5.0], [NAN, 5.0]])], ("a", "b"))
    np.testing.assert_array_equal(modality.encode(later.inputs[0]), [[0, 0], [1, 0]])
    assert modality.notes(later) == (
        "missing values of channel 'a', filled with the value before: 3; training had none, so no mask tells the model",
    )
    assert modality.notes(part([np.ones((2, 2))], ("a", "b"))) == ()


def test_previous_knows_no_future() -> None:
    """What streams must agree with what is encoded whole."""
    rng = np.random.default_rng(3)
    row = np.where(rng.random((40, 2)) < 0.4, np.nan, rng.normal(size=(40, 2)))
    modality = Series(offsets=(0.5, 0.0), spreads=(2.0, 1.0), means=(0.5, 0.0), masked=(0, 1))
    whole = modality.encode(row)
    for frames in (0, 1, 7, 39):
        np.testing.assert_array_equal(modality.encode(row[:frames]), whole[:frames])


@pytest.mark.parametrize("scale", ["standard", "minmax", "robust", "none"])
@pytest.mark.parametrize("fill", ["previous", "mean", "zero"])
def test_a_live_series_is_encoded_as_the_whole_one(part: Any, scale: Any, fill: Any) -> None:
    """Gaps at the start, at borders of chunks and longer than a chunk; and a chunk that is refused leaves no trace."""
    rng = np.random.default_rng(4)
    row = np.where(rng.random((40, 2)) < 0.5, np.nan, rng.normal(3.0, 2.0, size=(40, 2)))
    modality = Series.fit(part([row]), Series(scale, fill=fill))
    for cuts in (range(1, 40), [0, 3, 3, 20], []):
        live = modality.stream()
        pieces = [live.push(piece) for piece in np.split(row, cuts)]
        with pytest.raises(DataError):
            live.push([[1.0, 1e39]])
        np.testing.assert_array_equal(np.concatenate([*pieces, live.push([[NAN, NAN]])]), modality.encode([*row, [NAN, NAN]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Series("instance"), "series.scale: cannot stream: instance takes mean and deviation from the whole series; train with standard, "),
        (Series(fill="linear"), "series.fill: cannot stream: linear waits for the next value; train with previous, mean or zero"),
    ],
)
def test_what_looks_at_the_whole_series_does_not_stream(part: Any, options: Series, message: str) -> None:
    with pytest.raises(NotStreamable) as caught:
        Series.fit(part(ragged()), options).stream()
    assert str(caught.value).startswith(message)


def test_what_is_no_series_is_not_encoded_piece_by_piece() -> None:
    with pytest.raises(NotStreamable, match=r"^text: cannot stream: only series are encoded piece by piece; give `encode` the whole row"):
        Text().stream()


@pytest.mark.parametrize("raw", [np.arange(4), np.arange(4.0)[:, None], [0, 1, 2, 3], np.arange(4, dtype=np.uint8), [[0], [1], [2], [3]]])
def test_integers_doubles_lists_and_one_dimension_are_taken(part: Any, raw: Any) -> None:
    encoded = Series.fit(part([raw]), Series("minmax")).encode(raw)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded[:, 0], [0, 1 / 3, 2 / 3, 1], rtol=1e-6)


def test_no_frames_are_no_frames(part: Any) -> None:
    modality = Series.fit(part(ragged()))
    assert modality.encode([]).shape == modality.encode(np.zeros((0, 3))).shape == (0, 3)


def test_all_rows_are_stacked_where_they_have_one_length(part: Any) -> None:
    rows = ragged()
    modality = Series.fit(part(rows))
    encoded = modality.encode_all(rows)
    assert isinstance(encoded, list) and all((a == modality.encode(b)).all() for a, b in zip(encoded, rows, strict=True))
    alike = modality.encode_all([rows[0], rows[0] + 1])
    assert isinstance(alike, np.ndarray) and alike.shape == (2, 5, 3)
    assert modality.encode_all([]) == []


def test_columns_are_found_by_name_whatever_their_order(part: Any) -> None:
    rows = ragged()
    modality = Series.fit(part(rows, ("温度", "湿度", "wind")))
    other = [np.stack([row[:, 2], np.zeros(len(row)), row[:, 0], row[:, 1]], axis=1) for row in rows]
    encoded = modality.encode_examples(part(other, ("wind", "extra", "温度", "湿度")))
    assert all((a == modality.encode(b)).all() for a, b in zip(encoded, rows, strict=True))
    with pytest.raises(
        DataError, match=r"^rows\.csv:2: expected the column '湿度', got 温度, wind; name the columns as in training: 温度, 湿度, wind$"
    ):
        modality.encode_examples(part([row[:, :2] for row in rows], ("温度", "wind")))


BAD: list[tuple[Any, str]] = [
    (np.zeros((4, 2)), r"^here: expected 3 channel\(s\), got 2; "),
    (np.zeros(4), r"^here: expected 3 channel\(s\), got 1; "),
    (np.zeros((4, 3, 1)), r"^here: expected \[frames, channels\], got shape \(4, 3, 1\); "),
    ([[1, 2, 3], [4, 5]], r"^here: expected numbers .*, got rows of unequal length; "),
    ([["a", "b", "c"]], r"^here: expected numbers .*, got values of type <U1; "),
    (np.array([[1, 2, 3], [1, np.inf, 3]]), r"^here:2: expected finite numbers, got inf at frame 1; leave it empty"),
    (np.array([[1, 2, 1e39]]), r"^here:3: expected finite numbers, got 1e\+39 at frame 0; "),
]


@pytest.mark.parametrize(("raw", "message"), BAD)
def test_what_cannot_be_used_is_one_line(part: Any, raw: Any, message: str) -> None:
    modality = Series.fit(part(ragged()))
    with pytest.raises(DataError, match=message) as caught:
        modality.encode(raw, "here")
    assert "\n" not in str(caught.value)


def test_a_value_that_scaling_would_make_infinite_is_refused() -> None:
    modality = Series(channels=("v",), offsets=(0.0,), spreads=(1e-30,), means=(0.0,))
    with pytest.raises(DataError, match=r"^input:'v': the value 1e\+20 at frame 1 is too far"):
        modality.encode(np.array([0.0, 1e20]))


def test_training_rows_of_other_widths_and_no_rows_are_refused(part: Any) -> None:
    with pytest.raises(DataError, match=r"^rows\.csv:3: expected 3 channel\(s\) as in rows\.csv:2, got 2"):
        Series.fit(part([np.zeros((4, 3)), np.zeros((4, 2))]))
    for rows in ([], [np.zeros((0, 3))]):
        with pytest.raises(DataError, match="expected at least one frame"):
            Series.fit(part(rows))
    with pytest.raises(UsageError, match=r"series: has learned nothing yet; use Series\.fit"):
        Series().encode(np.zeros(3))


@pytest.mark.parametrize("scale", ["standard", "instance"])
def test_a_fitted_record_is_its_stored_form(part: Any, scale: Literal["standard", "instance"]) -> None:
    rows = ragged()
    rows[0][1, 1] = np.nan
    modality = Series.fit(part(rows, ("甲", "b", "c")), Series(scale, fill="linear"))
    for copy in (Series.from_json(modality.to_json()), Series.from_yaml(modality.to_yaml())):
        assert copy == modality and hash(copy) == hash(modality)
        np.testing.assert_array_equal(copy.encode(rows[0]), modality.encode(rows[0]))
    assert (
        modality.describe()
        == f"series of 3 channel(s) (甲, b, c), 1 of them with a mask of missing values; scale: {scale}; missing values: linear"
    )
    refitted = Series.fit(part(ragged(1)), modality)
    assert refitted.masked == () and refitted.channels == () and refitted.fill == "linear"


def test_a_damaged_record_is_refused() -> None:
    with pytest.raises(SpecError, match=r"^series\.offsets: expected one a channel"):
        Series(offsets=(1.0,), spreads=(1.0, 2.0), means=(1.0,))
    with pytest.raises(SpecError, match=r"^series\.masked: expected channels in 0\.\.0"):
        Series(offsets=(1.0,), spreads=(1.0,), means=(1.0,), masked=(1,))
    with pytest.raises(SpecError, match=r"^series\.spreads: expected numbers above 0"):
        Series(offsets=(1.0,), spreads=(0.0,), means=(1.0,))


def test_series_that_one_scale_cannot_show_are_scaled_one_by_one(part: Any) -> None:
    """Two large rows hide six small ones: the median row has a hundredth of the common deviation."""
    wave = np.sin(np.arange(20.0))[:, None]
    hidden = part([wave * size for size in (0.01, 0.02, 0.01, 0.02, 0.01, 0.02, 1.0, 2.0)])
    modality = Series.fit(hidden, Series())
    assert modality.scale == "instance" and modality.median_size is not None and modality.median_size < 0.05
    assert "scale: instance (recognised: half of the series are smaller than" in modality.describe()
    np.testing.assert_allclose(modality.encode(wave), modality.encode(1000 * wave), atol=1e-6)
    alike = Series.fit(part([wave * size for size in (0.2, 0.3, 1.0, 2.0)] + [np.ones((20, 1))] * 9), Series())
    assert alike.scale == "standard"
    assert Series.fit(hidden, Series("standard")).scale == "standard"
    levels = part([level + 0.01 * wave for level in (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)])
    assert Series.fit(levels, Series()).scale == "standard", "tiny waves, but levels that differ"
    constant = Series.fit(part([np.ones((5, 2)), np.ones((3, 2))]), Series())
    assert (constant.scale, constant.median_size) == ("standard", 1.0)
