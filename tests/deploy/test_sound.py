"""From files of sound to a live model: trained, its report, and the same answers from samples, from chunks of them and from ONNX."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch

import convrnn as cr
from convrnn.report.records import read as read_run

RATE = 8_000


def wave(label: str, seed: int) -> np.ndarray:
    """A tone that rises or falls, somewhere in noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(rng.integers(1_200, 2_400))) / RATE
    turn = 3_000.0 if label == "up" else -3_000.0
    tone = 0.3 * np.sin(2 * np.pi * (1_500 * time + turn * time**2))
    return (tone + 0.02 * rng.normal(size=len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cr.Run:
    place = tmp_path_factory.mktemp("sound")
    for label in ("up", "down"):
        (place / "tones" / label).mkdir(parents=True)
        for number in range(12):
            soundfile.write(place / "tones" / label / f"{number}.wav", wave(label, number + 100 * (label == "up")), RATE)
    said: list[str] = []
    augment = [{"spec_augment": 4}, {"gain": 3.0}, {"hiss": 20.0}, {"delay": 0.02}]
    body = cr.Serial(cr.Conv(8, kernel=3, padding="causal"), cr.Activation(), cr.GRU(8), cr.GlobalPool("mean"))
    options = {"epochs": 2, "batch": 8, "mels": 16, "augment": augment}
    found = cr.train(place / "tones", model=body, out=place / "run", say=said.append, **options)
    assert "input: recordings at 8,000 Hz; log-mel, 16 bands of 20 to 4,000 Hz, frames of 25 ms every 10 ms" in said
    return found


def test_a_stream_of_samples_gives_the_answers_of_predict(run: cr.Run) -> None:
    assert run.folder is not None
    model = cr.load(run.folder)
    rng = np.random.default_rng(0)
    for seed in range(3):
        samples = wave("up", seed)
        cuts = np.sort(rng.integers(0, len(samples), 6)).tolist()
        stream = model.stream()
        for chunk, so_far in zip(np.split(samples, cuts)[:-1], cuts, strict=True):
            stream.push(torch.from_numpy(chunk)[None, :, None])
            if so_far:
                (running,), (want,) = model.task.decode(stream.peek().values[:, 0]), model.predict([samples[:so_far]])
                assert running["probability"] == pytest.approx(want["probability"], abs=1e-6)
        stream.push(torch.from_numpy(np.split(samples, cuts)[-1])[None, :, None])
        (answer,), (want,) = model.task.decode(stream.finish().values[:, 0]), model.predict([cr.Sound(samples, RATE)])
        assert answer["label"] == want["label"] and answer["probability"] == pytest.approx(want["probability"], abs=1e-6)


def test_int16_of_two_microphones_in_one_stream(run: cr.Run) -> None:
    rows = [np.rint(wave(label, 7) * 32_767).astype(np.int16) for label in ("up", "down")]
    stream = run.model.stream(2)
    for start in range(0, 2_400, 160):
        chunk, lengths = torch.zeros(2, 160, 1, dtype=torch.int16), torch.zeros(2, dtype=torch.int64)
        for row, samples in enumerate(rows):
            piece = torch.from_numpy(samples[start : start + 160])
            chunk[row, : len(piece), 0], lengths[row] = piece, len(piece)
        stream.push(chunk, lengths)
    for answer, want in zip(run.model.task.decode(stream.finish().values[:, 0]), run.model.predict(rows), strict=True):
        assert answer["probability"] == pytest.approx(want["probability"], abs=1e-6)
    assert run.model.stream().lookahead is None and "bytes of state" in run.model.stream().describe()


@pytest.mark.full  # some 7 s; the law `onnx` holds the layer in the default run
def test_an_exported_file_takes_samples(run: cr.Run, tmp_path: Path) -> None:
    run.model.export("onnx", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    samples = wave("down", 3)
    values, lengths = np.zeros((1, 4_000, 1), np.float32), np.array([len(samples)])
    values[0, : len(samples), 0] = samples
    scores = np.asarray(session.run(["y"], {"x": values, "lengths": lengths})[0])
    (want,) = run.model.predict([samples])
    assert float(torch.from_numpy(scores[0, 0]).softmax(-1).max()) == pytest.approx(want["probability"], abs=1e-5)


def test_records_and_report_of_a_run(run: cr.Run) -> None:
    assert run.folder is not None
    summary = json.loads((run.folder / "summary.json").read_text(encoding="utf-8"))
    facts = summary["data"]["parts"]["train"]["sound"]
    assert facts["rates"] == {"8000": summary["data"]["parts"]["train"]["rows"]} and 0.15 <= facts["seconds"]["min"] < 0.3
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "8,000 Hz" in page
    mistakes = read_run(run.folder).mistakes
    for each in mistakes:
        assert each.kind == "audio" and each.array is not None and each.array.shape[0] == 16 and each.array.dtype == np.uint8
        assert each.rate == RATE and each.samples is not None
    assert len(re.findall("<audio", page)) == len(mistakes)
    model = cr.load(run.folder)
    assert model.kind == "audio" and cr.evaluate(run.folder, run.folder.parent / "tones")["accuracy"] >= 0.4


def test_a_recording_of_another_rate_is_resampled(run: cr.Run, tmp_path: Path) -> None:
    time = np.arange(4_800) / 16_000
    fast = 0.3 * np.sin(2 * np.pi * (800 * time + 900 * time**2)) + 0.02 * np.random.default_rng(0).normal(size=len(time))
    fast = fast.astype(np.float32)
    soundfile.write(tmp_path / "fast.flac", fast, 16_000)
    assert run.folder is not None
    (from_file,) = cr.predict(run.folder, tmp_path / "fast.flac")
    buffer = io.BytesIO()
    soundfile.write(buffer, fast, 16_000, format="WAV", subtype="FLOAT")
    (from_bytes,) = cr.predict(run.folder, buffer.getvalue())
    (from_samples,) = run.model.predict([cr.Sound(fast, 16_000)])
    resampler = cr.Resampler(16_000, RATE)
    live = np.concatenate([resampler.push(fast), resampler.finish()])
    (at_its_rate,) = run.model.predict([live])
    assert from_bytes == from_samples == at_its_rate
    assert from_file["probability"] == pytest.approx(from_bytes["probability"], abs=1e-3)
