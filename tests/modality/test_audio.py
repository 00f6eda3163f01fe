"""Log-mel frames against the definition, their count, what is learned; and that the layer of a live stream makes the same frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from convrnn.core.errors import DataError, SpecError, UsageError
from convrnn.core.mel import FLOOR, MelFrames, hertz, mel
from convrnn.core.seq import Seq
from convrnn.layers.base import Layer, Spec
from convrnn.modality import Audio, Modality, Sound
from convrnn.modality.audio import BLOCK, log_mel

RATE = 8_000


def noise(samples: int, seed: int = 0, rate: int = RATE) -> Sound:
    rng = np.random.default_rng(seed)
    return Sound((0.1 * rng.normal(size=samples)).clip(-1, 1).astype(np.float32), rate)


def layer_of(audio: Modality) -> Layer:
    front = audio.front()
    assert front is not None
    return Spec.from_dict(front).build(1).eval()


def test_the_mel_scale_is_that_of_the_htk_book() -> None:
    # 1,000 Hz are 1,000 mel by definition; where 1 + f / 700 is a power of ten the formula is plain arithmetic.
    np.testing.assert_allclose(mel(np.array([0.0, 1_000.0])), [0.0, 1_000.0], atol=0.02)
    np.testing.assert_allclose(mel(np.array([6_300.0, 69_300.0])), [2_595.0, 5_190.0])
    # The same scale by natural logarithms, as TensorFlow's linear_to_mel_weight_matrix has it, with the rounded 1127.
    np.testing.assert_allclose(mel(np.array([60.0, 440.0, 4_000.0])), 1127 * np.log1p(np.array([60.0, 440.0, 4_000.0]) / 700), rtol=1e-5)
    np.testing.assert_allclose(hertz(mel(np.array([27.5, 3_999.0]))), [27.5, 3_999.0])


@pytest.mark.parametrize("frames", [MelFrames(8_000, 25.0, 10.0, 40, 20.0, None), MelFrames(16_000, 32.0, 8.0, 64, 0.0, 7_600.0)])
def test_bands_are_triangles(frames: MelFrames) -> None:
    """Written out band by band; the centres by the inverse of the scale, not by the function that is tested."""
    bins = np.arange(frames.size // 2 + 1) * frames.rate / frames.size
    low, high = (1127.0 * np.log1p(f / 700) for f in (frames.low_hz, frames.top))
    edges = [700 * np.expm1((low + (high - low) * i / (frames.mels + 1)) / 1127.0) for i in range(frames.mels + 2)]
    for band in range(frames.mels):
        left, centre, right = edges[band : band + 3]
        want = [
            0.0 if not left < f < right else (f - left) / (centre - left) if f <= centre else (right - f) / (right - centre) for f in bins
        ]
        np.testing.assert_allclose(frames.filters[:, band], want, atol=2e-4)
        assert any(want), "no band is empty"


def test_a_long_window_is_taken_where_bands_are_narrow() -> None:
    narrow = MelFrames(8_000, 25.0, 10.0, 128, 20.0, None)
    assert narrow.size > MelFrames(8_000, 25.0, 10.0, 40, 20.0, None).size == 256
    assert narrow.filters.any(axis=0).all()


@pytest.mark.parametrize("samples", [1, 79, 80, 81, 200, 1_000])
def test_frames_are_those_of_the_definition(samples: int) -> None:
    """Frame j begins at sample j hop, there is one for each begun hop, and the sum over a window is written out."""
    frames, sound = MelFrames(RATE, 25.0, 10.0, 12, 20.0, None), noise(samples)
    got = log_mel(sound.samples, frames)
    assert got.shape == (-(-samples // 80), 12)
    padded = np.concatenate([sound.samples.astype(np.float64), np.zeros(400)])
    hann = np.sin(np.pi * np.arange(200) / 200) ** 2
    hann /= np.sqrt((hann**2).sum())
    turns = np.exp(-2j * np.pi * np.outer(np.arange(frames.size // 2 + 1), np.arange(200)) / frames.size)
    for j, frame in enumerate(got):
        power = np.abs(turns @ (hann * padded[80 * j : 80 * j + 200])) ** 2
        np.testing.assert_allclose(frame, np.log(np.maximum(power @ frames.filters, FLOOR)), atol=1e-9)


def test_white_noise_has_its_variance_in_every_bin() -> None:
    frames = MelFrames(RATE, 25.0, 10.0, 20, 20.0, None)
    logs = log_mel(noise(400_000).samples, frames)
    np.testing.assert_allclose(np.exp(logs).mean(axis=0), 0.01 * frames.filters.sum(axis=0), rtol=0.05)


def test_silence_is_the_floor_and_long_recordings_are_cut_into_blocks() -> None:
    frames = MelFrames(RATE, 25.0, 10.0, 4, 20.0, None)
    assert np.allclose(log_mel(np.zeros(1_000, np.float32), frames), np.log(1e-10))
    long = noise((BLOCK + 3) * 80 + 7).samples
    late = log_mel(long, frames)[BLOCK - 2 :]
    np.testing.assert_allclose(late, log_mel(long[(BLOCK - 2) * 80 :], frames), atol=1e-12)


def test_mean_and_deviation_of_training(part: Callable[..., Any]) -> None:
    sounds = [noise(4_000, seed) for seed in range(5)]
    audio = Audio.fit(part(sounds), Audio(8))
    frames = np.concatenate([audio.encode(sound) for sound in sounds])
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-5)
    assert audio.rate == RATE and audio.shape() == (8,) and frames.dtype == np.float32
    assert Audio.from_dict(audio.to_dict()) == audio
    silent = Audio.fit(part([Sound(np.zeros(800, np.float32), RATE)]), Audio(8))
    assert silent.deviations == (1.0,) * 8 and abs(silent.encode(Sound(np.zeros(80, np.float32), RATE))).max() < 1e-12


def test_the_rate_is_that_of_most_recordings(part: Callable[..., Any]) -> None:
    sounds = part([noise(4_000), noise(4_000, 1), noise(8_000, 2, 16_000)])
    audio = Audio.fit(sounds, Audio(8))
    assert audio.rate == 8_000 and len(audio.encode(sounds.inputs[2])) == len(audio.encode(sounds.inputs[0])) == 50
    assert audio.notes(sounds) == ("1 of 3 recordings resampled, 16,000 Hz to 8,000 Hz",)
    asked = Audio.fit(sounds, Audio(8, sample_rate=16_000))
    assert asked.rate == 16_000 and asked.describe() == (
        "recordings at 16,000 Hz; log-mel, 8 bands of 20 to 8,000 Hz, frames of 25 ms every 10 ms"
    )
    assert "2 of 3 recordings resampled, 8,000 Hz to 16,000 Hz" in asked.notes(sounds)


def test_two_rates_of_one_sound_give_nearly_the_same_frames(part: Callable[..., Any]) -> None:
    time = np.arange(16_000) / 16_000
    sweep = np.sin(2 * np.pi * (200 * time + 1_200 * time**2)).astype(np.float32)
    audio = Audio.fit(part([Sound(sweep, 16_000)]), Audio(20, sample_rate=16_000, high_hz=3_500.0))
    low = Sound(np.sin(2 * np.pi * (200 * time[::2] + 1_200 * time[::2] ** 2)).astype(np.float32), 8_000)
    apart = np.abs(audio.encode(low) - audio.encode(Sound(sweep, 16_000)))[2:-5]
    assert np.median(apart) < 0.01


@pytest.mark.parametrize("seed", range(4))
def test_a_live_stream_makes_the_frames_of_the_whole_recording(part: Callable[..., Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    # A loud tone beside bands that are nearly silent: float32 would leave nothing of those.
    sound = noise(int(rng.integers(1, 6_000)), seed)
    quiet = Sound((0.9 * np.sin(0.4 * np.arange(len(sound))) + 1e-5 * sound.samples).astype(np.float32), RATE)
    audio = Audio.fit(part([sound, quiet]))
    for raw in (sound, quiet):
        cuts = np.sort(rng.integers(0, len(raw) + 1, 9)).tolist()
        stream = layer_of(audio).stream()
        chunks = np.split(raw.samples, cuts)
        out = [stream.push(torch.from_numpy(chunk)[None, :, None]) for chunk in chunks] + [stream.finish()]
        frames = torch.cat([each.values[0, : each.values.shape[1] if each.lengths is None else int(each.lengths)] for each in out])
        np.testing.assert_allclose(frames.numpy(), audio.encode(raw), atol=1e-6, rtol=1e-6)


def test_a_row_in_a_batch_is_the_row_alone_and_int16_is_what_it_stands_for(part: Callable[..., Any]) -> None:
    sounds = [noise(n, n) for n in (900, 2_000, 79)]
    audio = Audio.fit(part(sounds), Audio(10))
    values = torch.full((3, 2_000, 1), float("nan"))
    for row, sound in enumerate(sounds):
        values[row, : len(sound), 0] = torch.from_numpy(sound.samples)
    layer = layer_of(audio)
    out = layer(Seq(values, torch.tensor([900, 2_000, 79]))).seq
    assert out.lengths is not None and out.lengths.tolist() == [12, 25, 1]
    for row, sound in enumerate(sounds):
        np.testing.assert_allclose(out.values[row, : int(out.lengths[row])].numpy(), audio.encode(sound), atol=1e-6)
    whole = np.rint(sounds[0].samples * 32767).astype(np.int16)
    heard = layer(Seq(torch.from_numpy(whole)[None, :, None])).seq.values[0].numpy()
    np.testing.assert_allclose(heard, audio.encode(whole), atol=1e-6)
    assert layer.to(torch.float32).get_buffer("cosine").dtype == torch.float64


def test_mistakes(part: Callable[..., Any]) -> None:
    audio = Audio.fit(part([noise(800)]), Audio(4))
    with pytest.raises(DataError, match=r"^a\.wav: expected a rate of at least 1 Hz, got 0"):
        audio.encode(Sound(np.zeros(8, np.float32), 0), "a.wav")
    with pytest.raises(UsageError, match="audio: has learned nothing yet"):
        Audio().encode(noise(8))
    with pytest.raises(DataError, match="the rate of these samples is not known"):
        Audio.fit(part([np.zeros(800, np.float32)]))
    with pytest.raises(DataError, match="expected at least one sample"):
        Audio.fit(part([Sound(np.zeros(0, np.float32), RATE)]))
    for wrong, message in (
        ({"high_hz": 5_000.0}, r"audio\.high_hz: expected 0 <= low < high <= 4000 Hz, half the rate, got 20 to 5000 Hz"),
        ({"window_ms": 0.1}, r"audio\.window_ms: a window of 0\.1 ms every 10 ms has 1 sample"),
        ({"mels": 512, "low_hz": 100.0, "high_hz": 101.0}, r"audio\.mels: 512 bands between 100 and 101 Hz are too narrow"),
        ({"means": (0.0,), "deviations": (1.0,)}, r"audio\.means: expected 40 of each"),
        ({"mels": 1, "means": (0.0,), "deviations": (0.0,)}, r"audio\.deviations: expected numbers above 0"),
    ):
        with pytest.raises(SpecError, match=message):
            Audio.from_dict({"modality": "audio", "sample_rate": 8_000, **wrong})
    with pytest.raises(SpecError, match=r"log_mel\.means: expected 4, one a band, or none, got 1"):
        Spec.from_dict({"layer": "log_mel", "mels": 4, "means": [0.0]})
