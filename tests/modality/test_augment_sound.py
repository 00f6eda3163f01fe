"""Augmentation of recordings against what each is by definition; what changes the sound is encoded anew, from the same seed alike."""

from __future__ import annotations

import numpy as np
import pytest

from convrnn.core.errors import SpecError
from convrnn.modality import Audio, Augmentation, Delay, Gain, Hiss, Sound, SpecAugment, TimeWarp, augment
from convrnn.modality.augment import changes_raw

SOUND = Sound((0.1 * np.random.default_rng(0).normal(size=8_000)).astype(np.float32), 8_000)


def changed(change: Augmentation, seed: int = 0, sound: Sound = SOUND) -> np.ndarray:
    return change.before(sound, np.random.default_rng(seed)).samples


def test_masks_hide_whole_bands_and_whole_frames_up_to_their_widths() -> None:
    wide, long = 0, 0
    for seed in range(300):
        row = np.ones((100, 40), np.float32)
        hidden = augment(row, (SpecAugment(9, frames=25, masks=1, share=0.2),), seed, 0, 0) == 0
        bands, frames = hidden.all(axis=0), hidden.all(axis=1)
        np.testing.assert_array_equal(hidden, bands[None, :] | frames[:, None])
        assert bands.all() or (np.abs(np.diff(bands.astype(int))).sum() <= 2 and np.abs(np.diff(frames.astype(int))).sum() <= 2)
        wide, long = max(wide, int(bands.sum())), max(long, int(frames.sum()))
        assert row.all(), "the row itself is as it was"
    assert (wide, long) == (9, 20), "20 frames: a fifth of the row, which is less than 25"


def test_gain_is_one_factor_within_its_bounds() -> None:
    factors = np.array([changed(Gain(6.0), seed)[0] / SOUND.samples[0] for seed in range(500)])
    decibel = 20 * np.log10(factors)
    assert -6 <= decibel.min() < -5.8 and 5.8 < decibel.max() <= 6.001 and abs(decibel.mean()) < 0.6
    np.testing.assert_allclose(changed(Gain(6.0)), SOUND.samples * factors[0], rtol=1e-5)


@pytest.mark.parametrize("ratio", [0.0, 20.0])
def test_noise_has_the_power_asked_for(ratio: float) -> None:
    added = changed(Hiss(ratio, high=ratio)).astype(np.float64) - SOUND.samples
    power = np.mean(SOUND.samples.astype(np.float64) ** 2)
    assert 10 * np.log10(power / np.mean(added**2)) == pytest.approx(ratio, abs=0.15)
    assert changed(Hiss(probability=0.0)) is SOUND.samples
    assert not changed(Hiss(), sound=Sound(np.zeros(50, np.float32), 8_000)).any(), "no power, no noise"
    with pytest.raises(SpecError, match=r"hiss\.low: expected at most high, 10, got 20"):
        Hiss(20.0, high=10.0)


def test_delay_moves_and_silence_comes_in() -> None:
    shifts = set()
    for seed in range(60):
        moved = changed(Delay(0.01), seed)
        assert len(moved) == 8_000
        kept = SOUND.samples
        found = [n for n in range(-80, 81) if np.array_equal(moved[max(n, 0) : 8_000 + min(n, 0)], kept[max(-n, 0) : 8_000 - max(n, 0)])]
        by = found[0]
        assert not moved[:by].any() if by >= 0 else not moved[by:].any()
        shifts.add(by)
    assert min(shifts) < -60 and max(shifts) > 60


def test_what_changes_the_sound_is_encoded_anew() -> None:
    audio = Audio(8, rate=8_000, means=(-5.0,) * 8, deviations=(2.0,) * 8)
    encoded = audio.encode(SOUND)
    changes = (SpecAugment(), Gain(6.0), TimeWarp())
    made = [augment(encoded, changes, 1, 2, 3, again=lambda change: audio.encode(change(SOUND))) for _ in range(2)]
    np.testing.assert_array_equal(made[0], made[1])
    louder = augment(encoded, (Gain(6.0),), 1, 2, 3, again=lambda change: audio.encode(change(SOUND)))
    apart = louder - encoded
    # A factor is one step of the logarithm in every band and frame.
    assert np.ptp(apart) < 1e-5 and abs(apart.mean()) > 0.01
    assert [changes_raw(change) for change in (*changes, Hiss(), Delay())] == [False, True, False, True, True]
