"""Pictures: orientation, units, resizing against Pillow, colours, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from convrnn.core.errors import DataError, SpecError, UsageError
from convrnn.modality import Image
from convrnn.modality.resample import resize


def pictures(shape: tuple[int, ...] = (6, 5), number: int = 8, seed: int = 0) -> list[np.ndarray]:
    made = np.random.default_rng(seed).integers(0, 256, (number, *shape), dtype=np.uint8)
    made.reshape(-1)[:2] = 0, 255
    return list(made)


def test_time_runs_along_the_width(part: Any) -> None:
    rows = pictures((6, 5, 3))
    modality = Image.fit(part(rows))
    assert modality.shape() == (6, 3)
    encoded = modality.encode(rows[0])
    assert encoded.dtype == np.float32 and encoded.shape == (5, 6, 3) and encoded.flags.c_contiguous
    for x, y in ((0, 0), (4, 2), (1, 5)):
        np.testing.assert_allclose(encoded[x, y], rows[0][y, x] / 255, rtol=1e-6)


def test_grey_pictures_may_leave_the_colour_axis_out(part: Any) -> None:
    rows = pictures()
    modality = Image.fit(part(rows))
    assert modality.shape() == (6, 1)
    np.testing.assert_array_equal(modality.encode(rows[0]), modality.encode(rows[0][:, :, None]))


@pytest.mark.parametrize(
    ("pixels", "low", "spread"),
    [
        (np.array([[0, 255]], dtype=np.uint8), 0, 255),
        (np.array([[3, 200]], dtype=np.uint8), 0, 255),
        (np.array([[0, 16]], dtype=np.uint8), 0, 16),
        (np.array([[0.0, 16.0]]), 0, 16),
        (np.array([[0.1, 0.9]]), 0, 1),
        (np.array([[-1.0, 0.25]]), -1, 1.25),
        (np.array([[0, 65535]], dtype=np.uint16), 0, 65535),
        (np.array([[0.5, 200.25]]), 0, 255),
        (np.array([[False, True]]), 0, 1),
        (np.array([[7, 7]], dtype=np.uint8), 7, 1),
    ],
)
def test_the_range_of_training_is_0_to_1(part: Any, pixels: np.ndarray, low: float, spread: float) -> None:
    modality = Image.fit(part([pixels]))
    assert modality.offsets == (low,) and modality.spreads == (spread,)
    assert modality.encode(pixels).min() >= 0 and modality.encode(pixels).max() <= 1


def test_standard_scale_is_that_of_all_training_pixels_of_a_colour(part: Any) -> None:
    rows = pictures((4, 9, 3), 5)
    for row in rows:
        row[:, :, 2] = 77
    modality = Image.fit(part(rows), Image(scale="standard"))
    pixels = np.stack(rows).reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(modality.offsets, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(modality.spreads, [*pixels.std(0)[:2], 1], rtol=1e-12)
    encoded = modality.encode_all(rows)
    assert isinstance(encoded, np.ndarray) and not encoded[..., 2].any()
    np.testing.assert_allclose(encoded[..., 0].std(), 1, rtol=1e-6)
    np.testing.assert_array_equal(Image.fit(part(rows), Image(scale="none")).encode(rows[0]), rows[0].transpose(1, 0, 2))


@pytest.mark.parametrize("size", [(7, 5), (30, 11), (20, 20), (3, 40), (1, 1)])
@pytest.mark.parametrize("colours", [1, 3])
def test_resizing_is_that_of_pillow(size: tuple[int, int], colours: int) -> None:
    picture = np.random.default_rng(1).random((20, 13, colours), dtype=np.float32)
    height, width = size
    expected = [np.asarray(Pillow.fromarray(picture[:, :, c]).resize((width, height), Pillow.Resampling.BILINEAR)) for c in range(colours)]
    np.testing.assert_allclose(resize(picture, height, width), np.stack(expected, axis=2), atol=2e-6)


def test_a_given_height_keeps_proportions_and_widths_become_lengths(part: Any) -> None:
    rows = [np.full((20, 30), 9, np.uint8), np.full((40, 30), 200, np.uint8), np.full((10, 1), 3, np.uint8), np.zeros((10, 0), np.uint8)]
    modality = Image.fit(part(rows), Image(10))
    encoded = modality.encode_all(rows)
    assert modality.shape() == (10, 1) and [row.shape for row in encoded] == [(15, 10, 1), (8, 10, 1), (1, 10, 1), (0, 10, 1)]
    np.testing.assert_allclose(encoded[1], 200 / 255, rtol=1e-6)
    assert modality.notes(part(rows)) == ("pictures resized to 10 pixels of height: 2",)
    assert (
        modality.describe()
        == "pictures, grey, 10 pixels high, resized with their width in proportion; time runs along the width; pixels: 0..1"
    )


def test_unequal_heights_are_refused_with_the_remedy(part: Any) -> None:
    rows = [np.zeros((28, 20), np.uint8), np.ones((32, 20), np.uint8)]
    with pytest.raises(DataError, match=r"^rows\.csv:3: expected a picture 28 pixels high, as rows\.csv:2 is, got 32; give height=N"):
        Image.fit(part(rows))
    with pytest.raises(DataError, match=r"^x\.png: expected a picture 28 pixels high, got 32; give height=N"):
        Image.fit(part(rows[:1])).encode(rows[1], "x.png")


def test_grey_and_colour_turn_into_each_other(part: Any) -> None:
    grey, colour = pictures((6, 5)), pictures((6, 5, 3))
    modality = Image.fit(part([*grey, *colour]))
    assert modality.shape() == (6, 3)
    np.testing.assert_array_equal(modality.encode(grey[0]), modality.encode(np.stack([grey[0]] * 3, axis=2)))
    to_grey = Image.fit(part(grey))
    expected = np.asarray(Pillow.fromarray(colour[0]).convert("L")).astype(np.float32)
    np.testing.assert_allclose(to_grey.encode(colour[0])[:, :, 0].T * 255, expected, atol=1.001)
    bytes_again = Image.fit(part(grey), Image(scale="none")).encode(colour[0])
    np.testing.assert_array_equal(bytes_again, np.rint(bytes_again))
    assert to_grey.notes(part([*grey, *colour])) == ("pictures turned grey: 8",)
    with pytest.raises(
        DataError, match=r"^input: expected 1 colour\(s\), got 4; save it as grey or as red, green and blue, without transparency"
    ):
        to_grey.encode(np.zeros((6, 5, 4), np.uint8))


@pytest.mark.parametrize("scale", ["unit", "standard"])
@pytest.mark.parametrize("shape", [(28, 28), (20, 9, 3)])
def test_all_at_once_equals_one_by_one(part: Any, scale: Any, shape: tuple[int, ...]) -> None:
    rows = pictures(shape, 2**22 // int(np.prod(shape)) + 3)  # more than one block
    modality = Image.fit(part(rows), Image(scale=scale))
    encoded = modality.encode_all(rows)
    assert isinstance(encoded, np.ndarray)
    np.testing.assert_array_equal(encoded, modality.encode_all(np.stack(rows)))
    for row in (0, 1, len(rows) - 4, len(rows) - 1):
        np.testing.assert_array_equal(encoded[row], modality.encode(rows[row]))


def test_pictures_of_one_shape_that_need_work_are_not_taken_as_they_are(part: Any) -> None:
    small, colour = pictures((3, 3)), pictures((6, 3, 3))
    modality = Image.fit(part(pictures()), Image(6))
    resized, grey = modality.encode_all(np.stack(small)), modality.encode_all(colour)
    assert isinstance(resized, np.ndarray) and resized.shape == (8, 6, 6, 1)
    assert isinstance(grey, np.ndarray) and grey.shape == (8, 3, 6, 1)
    fractions = Image.fit(part([np.array([[0.0, 0.5], [0.75, 1.0]])]))
    with pytest.raises(
        DataError,
        match=r"^input 1: expected fractions up to 1 as in training, got numbers up to 255; give the pixels",
    ):
        fractions.encode_all(pictures((2, 2)))
    assert modality.encode_all([]) == []


def test_units_other_than_those_of_training_are_refused(part: Any) -> None:
    modality = Image.fit(part(pictures()))
    picture = pictures()[0]
    np.testing.assert_array_equal(modality.encode(picture.astype(np.float64)), modality.encode(picture))
    with pytest.raises(
        DataError,
        match=r"^input: expected whole numbers up to 255 as in training, got fractions of 1; give the pixels in the units of training$",
    ):
        modality.encode(picture / 255)
    with pytest.raises(DataError, match=r"^input: expected fractions up to 1 as in training, got numbers up to 200\.5; give the pixels"):
        Image.fit(part([np.array([[0.25, 1.0]])])).encode(np.array([[200.5]]))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros(4), r"^a\.png: expected pixels \[height, width\] or .*, got shape \(4,\); "),
        (np.zeros((0, 4)), r"got shape \(0, 4, 1\)"),
        (np.full((6, 5), np.nan), r"^a\.png: expected finite pixels, got NaN or infinity; mend"),
        (np.full((6, 5), "x"), r"got values of type <U1"),
    ],
)
def test_what_is_no_picture_is_one_line(part: Any, raw: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Image.fit(part(pictures())).encode(raw, "a.png")


def test_nothing_to_learn_from_is_refused(part: Any) -> None:
    for rows in ([], [np.zeros((4, 0), np.uint8)]):
        with pytest.raises(DataError, match="expected at least one pixel"):
            Image.fit(part(rows))
    with pytest.raises(UsageError, match=r"image: has learned nothing yet; use Image\.fit"):
        Image(28).encode_all(pictures())


def test_a_pixel_that_scaling_would_make_infinite_is_refused() -> None:
    modality = Image(high=1, offsets=(0.0,), spreads=(1e-30,), whole=False, largest=2.0)
    with pytest.raises(DataError, match=r"^input: a pixel of 1e\+20 is too far from those of training"):
        modality.encode(np.array([[1e20]]))


def test_a_fitted_record_is_its_stored_form(part: Any) -> None:
    rows = pictures((6, 5, 3))
    modality = Image.fit(part(rows), Image(9, scale="standard"))
    for copy in (Image.from_json(modality.to_json()), Image.from_yaml(modality.to_yaml())):
        assert copy == modality
        np.testing.assert_array_equal(copy.encode(rows[0]), modality.encode(rows[0]))
    with pytest.raises(SpecError, match=r"^image\.spreads: expected numbers above 0"):
        Image(offsets=(0.0,), spreads=(0.0,))
    with pytest.raises(SpecError, match=r"^image\.offsets: expected one a colour, got 2 for 1 spreads"):
        Image(offsets=(0.0, 0.0), spreads=(1.0,))
