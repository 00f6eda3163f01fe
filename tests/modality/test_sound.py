"""Samples and their resampling: the same in any chunks, right on sines, nothing folded back."""

from __future__ import annotations

import numpy as np
import pytest

from convrnn.core.errors import DataError
from convrnn.modality.sound import Resampler, Sound, as_samples, resample

RATES = [(44_100, 16_000), (8_000, 16_000), (16_000, 8_000), (11_025, 8_000), (48_000, 44_100), (22_050, 22_051)]


def tone(hertz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate).astype(np.float32)


@pytest.mark.parametrize(("rate", "wanted"), RATES)
@pytest.mark.parametrize("seed", range(3))
def test_any_chunks_give_the_whole_to_the_bit(rate: int, wanted: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=int(rng.integers(1, 30_000))).astype(np.float32)
    cuts = np.sort(rng.integers(0, len(samples) + 1, 8))
    resampler = Resampler(rate, wanted)
    parts = [resampler.push(chunk) for chunk in np.split(samples, cuts)] + [resampler.finish()]
    whole = resample(samples, rate, wanted)
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert len(whole) == -(-len(samples) * wanted // rate) and whole.dtype == np.float32


@pytest.mark.parametrize(("rate", "wanted"), RATES)
def test_a_tone_stays_that_tone(rate: int, wanted: int) -> None:
    got, want = resample(tone(1_000, rate), rate, wanted), tone(1_000, wanted)
    inner = slice(wanted // 20, -(wanted // 20))
    assert np.abs(got[: len(want)] - want[: len(got)])[inner].max() < 2e-5


@pytest.mark.parametrize(("rate", "wanted", "hertz"), [(16_000, 8_000, 4_000), (16_000, 8_000, 7_000), (44_100, 16_000, 9_000)])
def test_what_the_new_rate_cannot_hold_is_gone(rate: int, wanted: int, hertz: float) -> None:
    left = resample(tone(hertz, rate), rate, wanted)[wanted // 20 : -(wanted // 20)]
    assert 20 * np.log10(np.sqrt((left**2).mean() * 2)) < -80


def test_the_same_rate_changes_nothing_and_no_samples_are_none() -> None:
    samples = tone(440, 8_000)
    assert resample(samples, 8_000, 8_000) is samples
    assert not len(resample(np.zeros(0, np.float32), 44_100, 8_000))


def test_a_sample_waits_for_half_the_filter_and_no_longer() -> None:
    resampler = Resampler(44_100, 16_000)
    assert sum(len(resampler.push(np.zeros(1, np.float32))) for _ in range(resampler.reach)) == 0
    assert len(resampler.push(np.zeros(1, np.float32))) == 1


def test_samples_of_any_form() -> None:
    assert as_samples(np.array([-32768, 16384], np.int16), "x").tolist() == [-1.0, 0.5]
    assert as_samples([[0.5], [0.25]], "x").dtype == np.float32
    assert Sound(np.zeros(400, np.float32), 8_000).seconds == 0.05
    for wrong, message in (
        (np.zeros((4, 2)), r"x: expected samples \[N\], floats or int16, got float64 \[4, 2\]; average"),
        (np.zeros(4, np.int32), "got int32"),
        (np.array([0.0, np.nan]), "got nan at sample 1"),
        ("word", "expected samples"),
    ):
        with pytest.raises(DataError, match=message):
            as_samples(wrong, "x")
