"""Augmentation: nothing at strength 0, the same from the same seed, and each against what it is by definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convrnn.core.errors import SpecError
from convrnn.core.spec import registered
from convrnn.modality import (
    Audio,
    Augmentation,
    Collated,
    Delay,
    Flip,
    Gain,
    Hiss,
    Image,
    Jitter,
    Mixup,
    Modality,
    Noise,
    Rotate,
    Scale,
    Scaling,
    Series,
    Shift,
    SpecAugment,
    Text,
    TimeWarp,
    WindowSlice,
    WordDropout,
    augment,
    augment_batch,
    check_augmentations,
    modality_for,
)
from convrnn.modality.augment import changes_raw
from convrnn.modality.resample import affine, at_times

ROWS: list[tuple[Augmentation, Augmentation]] = [  # at some strength, and at none
    (Jitter(), Jitter(0.0)),
    (Scaling(), Scaling(0.0)),
    (TimeWarp(), TimeWarp(0.0)),
    (WindowSlice(), WindowSlice(1.0)),
    (WindowSlice(0.5, stretch=True), WindowSlice(1.0, stretch=True)),
    (WordDropout(0.3), WordDropout(0.0)),
    (WordDropout(0.3, remove=True), WordDropout(0.0, remove=True)),
    (Shift(0.4, along=0.4), Shift(0.0, along=0.0)),
    (Rotate(), Rotate(0.0)),
    (Flip(1.0), Flip(0.0)),
    (Flip(1.0, axis="vertical"), Flip(0.0, axis="vertical")),
    (Scale(), Scale(0.0)),
    (Noise(), Noise(0.0)),
    (SpecAugment(), SpecAugment(masks=0)),
    (Gain(), Gain(0.0)),
    (Hiss(), Hiss(probability=0.0)),
    (Delay(0.3), Delay(0.0)),
]
SHAPES = {"series": (20, 3), "text": (20,), "image": (12, 9, 3), "audio": (20, 8), "sound": (400,)}


def row_of(kind: str, frames: int | None = None) -> np.ndarray:
    shape = SHAPES[kind] if frames is None else (frames, *SHAPES[kind][1:])
    rng = np.random.default_rng(5)
    return rng.integers(1, 50, shape) if kind == "text" else rng.normal(size=shape).astype(np.float32)


def rows_of(change: Augmentation, frames: int | None = None) -> list[np.ndarray]:
    """A row of each kind that it is for; samples, where it acts on those."""
    return [row_of("sound" if changes_raw(change) else kind, frames) for kind in change.kinds]


def applied(row: np.ndarray, changes: tuple[Augmentation, ...], seed: int, epoch: int, index: int) -> np.ndarray:
    """`augment`, samples standing for their own frames."""
    return augment(row, changes, seed, epoch, index, again=lambda change: change(row))


def names(pair: Any) -> str:
    return repr(pair) if isinstance(pair, Augmentation) else ""


@pytest.mark.parametrize(("change", "none"), ROWS, ids=names)
def test_every_row_augmentation(change: Augmentation, none: Augmentation) -> None:
    for row in rows_of(change):
        kept = row.copy()
        first, again, other = (applied(row, (change,), 7, 2, index) for index in (4, 4, 5))
        np.testing.assert_array_equal(row, kept)
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(applied(row, (none,), 7, 2, 4), row)
        assert first.dtype == row.dtype and np.isfinite(first).all() and first.ndim == row.ndim
        assert first.shape != row.shape or (first != row).any()
        if not isinstance(change, Flip):
            assert first.shape != other.shape or (first != other).any()


@pytest.mark.parametrize(("change", "none"), ROWS, ids=names)
@pytest.mark.parametrize("frames", [0, 1, 2])
def test_short_rows_are_legal(change: Augmentation, none: Augmentation, frames: int) -> None:
    for row in rows_of(change, frames):
        changed = applied(row, (change, none), 0, 0, 0)
        assert np.isfinite(changed).all() and min(frames, 1) <= len(changed) <= frames


def test_the_table_above_is_complete() -> None:
    assert {type(change).name for change, _ in ROWS} | {"mixup"} == set(registered("augmentation"))


def test_seed_epoch_and_row_each_matter_and_order_of_rows_does_not() -> None:
    row, changes = row_of("series"), (Jitter(), TimeWarp())
    made = {key: augment(row, changes, *key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert len({array.tobytes() for array in made.values()}) == 4
    for key in reversed(made):
        np.testing.assert_array_equal(augment(row, changes, *key), made[key])
    assert augment(row, (), 0, 0, 0) is row


@pytest.mark.parametrize("change", [Jitter(1.0), Scaling(1.0), TimeWarp(1.0), WindowSlice(0.5), WindowSlice(0.5, stretch=True)], ids=names)
def test_masks_stay_masks_beside_their_values(change: Augmentation) -> None:
    mask = np.random.default_rng(0).random((50, 1)) < 0.5
    row = np.concatenate([np.zeros((50, 1)), mask], axis=1, dtype=np.float32)
    changed = augment(row, (change,), 0, 0, 0, masks=1)
    assert set(np.unique(changed[:, 1])) == {0.0, 1.0}
    if isinstance(change, Jitter | Scaling):
        np.testing.assert_array_equal(changed[:, 1], row[:, 1])


# ---- series


def test_jitter_and_noise_have_the_deviation_asked_for() -> None:
    row = np.zeros((5000, 4), dtype=np.float32)
    for changed in (augment(row, (Jitter(0.5),), 0, 0, 0), augment(row[:, :, None], (Noise(0.5),), 0, 0, 0)):
        assert abs(changed.mean()) < 0.02 and changed.std() == pytest.approx(0.5, rel=0.02)


def test_scaling_is_one_factor_a_channel() -> None:
    row = row_of("series")
    factors = augment(row, (Scaling(0.5),), 0, 0, 0) / row
    np.testing.assert_allclose(factors, np.broadcast_to(factors[0], factors.shape), rtol=1e-5)
    assert len(set(factors[0].round(4))) == 3
    many = np.concatenate([augment(np.ones((1, 3), np.float32), (Scaling(0.5),), 0, 0, index) for index in range(2000)])
    assert many.mean() == pytest.approx(1, abs=0.02) and many.std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("sigma", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("knots", [0, 4, 100])
def test_warped_time_runs_forward_between_the_same_ends(sigma: float, knots: int) -> None:
    time = np.arange(60, dtype=np.float32)[:, None]
    warped = augment(time, (TimeWarp(sigma, knots=knots),), 3, 0, 0)[:, 0]
    assert warped.shape == (60,) and warped[0] == 0 and warped[-1] == pytest.approx(59)
    assert (np.diff(warped) >= 0).all() and np.abs(warped - time[:, 0]).max() > 0.1


def test_warped_time_is_smooth() -> None:
    """Its speed changes from frame to frame by little, where a step in speed would change it at once."""
    time = np.arange(600, dtype=np.float32)[:, None]
    speed = np.diff(augment(time, (TimeWarp(0.3),), 3, 0, 0)[:, 0])
    assert np.abs(np.diff(speed)).max() < 0.02 and speed.max() / speed.min() > 1.2


def test_frames_between_frames() -> None:
    row = np.array([[0.0, 0.0], [10.0, 1.0], [20.0, 1.0]], dtype=np.float32)
    np.testing.assert_allclose(at_times(row, np.array([0, 0.25, 0.75, 2]), masks=1), [[0, 0], [2.5, 0], [7.5, 1], [20, 1]])


def test_a_window_is_a_stretch_of_the_series() -> None:
    time = np.arange(40, dtype=np.float32)[:, None]
    starts = set()
    for index in range(200):
        window = augment(time, (WindowSlice(0.9),), 0, 0, index)[:, 0]
        np.testing.assert_array_equal(window, np.arange(window[0], window[0] + 36))
        starts.add(int(window[0]))
    assert starts == {0, 1, 2, 3, 4}
    stretched = augment(time, (WindowSlice(0.5, stretch=True),), 0, 0, 0)[:, 0]
    assert stretched.shape == (40,) and stretched[-1] - stretched[0] == pytest.approx(19)


# ---- batches


def batch_of(lengths: list[int] | None, frames: int = 6, labels: int = 3) -> Collated:
    rng = np.random.default_rng(1)
    rows = len(lengths) if lengths else 5
    values = rng.normal(size=(rows, frames, 2)).astype(np.float32)
    for row, length in enumerate(lengths or []):
        values[row, length:] = 0
    targets = np.eye(labels, dtype=np.float32)[rng.integers(labels, size=rows)]
    return Collated(values, None if lengths is None else np.array(lengths), targets)


@pytest.mark.parametrize("lengths", [None, [6, 2, 4, 0, 5]])
def test_mixup_by_hand(lengths: list[int] | None) -> None:
    batch = batch_of(lengths)
    mixed = augment_batch(batch, (Mixup(1.0),), 4, 1, 2)
    rng = np.random.default_rng([4, 1, 2, 1])
    partner, share = rng.permutation(5), rng.beta(1.0, 1.0, 5)
    own = lengths or [6] * 5
    for i, j in enumerate(partner):
        lam, common = max(share[i], 1 - share[i]), min(own[i], own[j])
        np.testing.assert_allclose(
            mixed.values[i, :common], lam * batch.values[i, :common] + (1 - lam) * batch.values[j, :common], atol=1e-6
        )
        np.testing.assert_array_equal(mixed.values[i, common:], batch.values[i, common:])
        weight = (1 - lam) * common / max(own[i], 1)
        np.testing.assert_allclose(mixed.targets[i], (1 - weight) * batch.targets[i] + weight * batch.targets[j], atol=1e-6)
    assert mixed.lengths is batch.lengths and (mixed.values != batch.values).any()
    assert mixed.values.dtype == mixed.targets.dtype == np.float32
    np.testing.assert_allclose(mixed.targets.sum(1), 1, rtol=1e-6)


def test_mixup_leaves_rows_the_larger_part_and_single_rows_alone() -> None:
    batch = batch_of(None)
    assert augment_batch(batch, (Mixup(0.0),), 0, 0, 0) is batch
    assert augment_batch(batch, (), 0, 0, 0) is batch
    assert augment_batch(batch, (Jitter(),), 0, 0, 0) is batch
    alone = Collated(batch.values[:1], None, batch.targets[:1])
    assert augment_batch(alone, (Mixup(),), 0, 0, 0) is alone
    for step in range(50):
        mixed = augment_batch(batch, (Mixup(1.0),), 0, 0, step)
        assert (mixed.targets * batch.targets).sum(1).min() >= 0.5
    np.testing.assert_array_equal(augment(batch.values[0], (Mixup(),), 0, 0, 0), batch.values[0])


def test_mixup_takes_pictures() -> None:
    values = np.random.default_rng(0).random((4, 5, 3, 1), dtype=np.float32)
    mixed = augment_batch(Collated(values, None, np.eye(4, dtype=np.float32)), (Mixup(1.0),), 0, 0, 0)
    np.testing.assert_allclose(mixed.values, np.einsum("ij,jwhc->iwhc", mixed.targets, values), atol=1e-6)


# ---- texts


def test_word_dropout_hides_or_removes_at_its_rate() -> None:
    row = np.arange(1, 20_001)
    hidden = augment(row, (WordDropout(0.2),), 0, 0, 0)
    assert ((hidden == row) | (hidden == 0)).all() and (hidden == 0).mean() == pytest.approx(0.2, abs=0.01)
    removed = augment(row, (WordDropout(0.2, remove=True),), 0, 0, 0)
    assert (np.diff(removed) > 0).all() and len(removed) / len(row) == pytest.approx(0.8, abs=0.01)
    kept = {int(augment(row[:3], (WordDropout(1.0, remove=True),), 0, 0, index)[0]) for index in range(50)}
    assert kept == {1, 2, 3}


# ---- pictures


def test_shift_moves_whole_pixels_and_repeats_the_border() -> None:
    picture = np.arange(10 * 8, dtype=np.float32).reshape(10, 8, 1)
    moves = set()
    for index in range(300):
        moved = augment(picture, (Shift(0.2, along=0.25),), 0, 0, index)
        padded = np.pad(picture, ((2, 2), (2, 2), (0, 0)), mode="edge")
        found = [(x, y) for x in range(5) for y in range(5) if np.array_equal(padded[x : x + 10, y : y + 8], moved)]
        assert len(found) == 1
        moves.add(found[0])
    assert len(moves) == 25


def test_rotation_by_a_right_angle_is_exact_and_against_the_clock() -> None:
    picture_HW = np.arange(25, dtype=np.float32).reshape(5, 5)
    turn = np.pi / 2
    turned = affine(picture_HW.T[:, :, None], np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]))
    np.testing.assert_allclose(turned[:, :, 0].T, np.rot90(picture_HW), atol=1e-4)


def test_rotate_stays_within_its_degrees_on_both_sides() -> None:
    # A long line through the middle: its far end climbs by the sine of the angle.
    line = np.zeros((101, 101, 1), dtype=np.float32)
    line[:, 49:52] = 1
    angles = []
    for index in range(60):
        turned = augment(line, (Rotate(10.0),), 0, 0, index)[:, :, 0]
        column = turned[90] / turned[90].sum()
        angles.append(np.degrees(np.arctan2((column * np.arange(101)).sum() - 50, 40)))
    assert -10.5 < min(angles) < -7 and 7 < max(angles) < 10.5


def test_scale_zooms_about_the_middle() -> None:
    disc = (np.hypot(*np.meshgrid(np.arange(81) - 40, np.arange(81) - 40)) < 15).astype(np.float32)[:, :, None]
    areas = np.array([augment(disc, (Scale(0.5),), 0, 0, index).sum() for index in range(80)]) / disc.sum()
    assert 1 / 2.25 * 0.95 < areas.min() < 0.6 and 1.7 < areas.max() < 2.25 * 1.05
    assert 0.3 < (areas < 1).mean() < 0.7
    assert augment(disc, (Scale(0.5),), 0, 0, 3)[40, 40, 0] == 1


def test_flip_mirrors_the_axis_named_at_its_rate() -> None:
    picture = row_of("image")
    np.testing.assert_array_equal(augment(picture, (Flip(1.0),), 0, 0, 0), picture[::-1])
    np.testing.assert_array_equal(augment(picture, (Flip(1.0, axis="vertical"),), 0, 0, 0), picture[:, ::-1])
    flipped = sum((augment(picture, (Flip(0.3),), 0, 0, index) != picture).any() for index in range(1000))
    assert 260 < flipped < 340


# ---- records


def test_an_augmentation_for_another_kind_is_refused() -> None:
    check_augmentations((Jitter(), Mixup()), "series")
    with pytest.raises(SpecError, match=r"^augment\.1\.rotate: is for image, the inputs are of kind text; for text: word_dropout$"):
        check_augmentations((WordDropout(), Rotate()), "text")


@pytest.mark.parametrize("change", [change for change, _ in ROWS] + [Mixup(0.4)], ids=names)
def test_records_are_their_stored_form(change: Augmentation) -> None:
    assert Augmentation.from_json(change.to_json()) == change
    assert Augmentation.from_yaml(change.to_yaml()) == change


def test_strengths_out_of_range_are_refused() -> None:
    for make, field in [
        (lambda: Jitter(-1.0), "jitter.sigma"),
        (lambda: WindowSlice(0.0), "window_slice.keep"),
        (lambda: TimeWarp(4.0), "time_warp.sigma"),
        (lambda: Flip(1.5), "flip.probability"),
    ]:
        with pytest.raises(SpecError, match=field):
            make()
    with pytest.raises(SpecError, match=r"unknown name 'jiter'; did you mean 'jitter'"):
        Augmentation.from_yaml("jiter: 0.1")


def test_the_modality_of_a_kind() -> None:
    assert [modality_for(kind) for kind in ("series", "text", "image", "audio")] == [Series, Text, Image, Audio]
    with pytest.raises(SpecError, match=r"^modality: unknown kind 'smell'; known: audio, image, series, text"):
        modality_for("smell")


def test_options_for_another_kind_are_refused(part: Any) -> None:
    modality: type[Modality] = modality_for("series")
    with pytest.raises(SpecError, match=r"^modality: expected options for series, the kind of the inputs, got 'text'"):
        modality.fit(part([np.zeros(3)]), Text("word"))
