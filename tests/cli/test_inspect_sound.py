"""`convrnn inspect` of a folder of recordings: durations, rates, channels; in English and in Chinese."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.conftest import Said

Convrnn = Callable[..., Said]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for label, rate, channels, seconds in (("a", 8_000, 1, 0.5), ("a", 16_000, 1, 1.0), ("b", 8_000, 2, 2.0), ("b", 8_000, 1, 0.5)):
        folder = tmp_path / "clips" / label
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{len(list(folder.iterdir()))}.wav", np.zeros((round(rate * seconds), channels)), rate)
    return tmp_path / "clips"


def test_durations_rates_and_channels(convrnn: Convrnn, clips: Path) -> None:
    said = convrnn("inspect", clips)
    assert said.code == 0 and "clips: audio, classify" in said.out
    assert (
        "\n  0.50 to 2.00 s, median 1.00 s, 4 s in all\n  3 at 8,000 Hz, 1 at 16,000 Hz; 3 of 1 channel(s), 1 of 2 channel(s)\n" in said.out
    )
    assert "note: clips: 1 of 4 recordings have 2 channels; their mean is taken" in said.out
    found = json.loads(convrnn("inspect", clips, "--json").out)["data"]["parts"]["train"]["sound"]
    assert found["rates"] == {"8000": 3, "16000": 1} and found["channels"] == {"1": 3, "2": 1} and found["seconds"]["total"] == 4.0


def test_in_chinese(convrnn: Convrnn, clips: Path) -> None:
    said = convrnn("inspect", clips, "--lang", "zh")
    (clips / "b" / "broken.wav").write_bytes(b"RIFF")
    wrong = convrnn("inspect", clips, "--lang", "zh")
    assert "0.50 至 2.00 秒，中位数 1.00 秒，共 4 秒" in said.out and "已取各声道的平均" in said.out
    assert wrong.code == 2 and wrong.err.endswith("请替换或删除该文件\n") and wrong.err.count("\n") == 1
