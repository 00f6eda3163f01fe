"""The built-in spoken digits: fetched once, checked however they are packed, and one clear line where they are not to be had."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convrnn.core.errors import JobError
from convrnn.data import builtin, spoken_digits


def packed(top: str) -> bytes:
    """An archive of two speakers, as a repository or as its folder of recordings alone."""
    buffer, wave = io.BytesIO(), io.BytesIO()
    soundfile.write(wave, np.zeros(80), 8_000, format="WAV")
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{top}README.md", "about")
        for name in (f"{digit}_{speaker}_{index}.wav" for digit in range(10) for speaker in ("ann", "bob") for index in range(11)):
            archive.writestr(f"{top}recordings/{name}", wave.getvalue())
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVRNN_CACHE", str(tmp_path))
    with zipfile.ZipFile(io.BytesIO(packed(""))) as archive:
        monkeypatch.setattr(spoken_digits, "DIGEST", spoken_digits.digest(zipfile.Path(archive) / "recordings"))
    return tmp_path / "fsdd" / "recordings.zip"


@pytest.mark.parametrize("top", ["", "free-spoken-digit-dataset-26eb9aa/"])
def test_it_is_fetched_once_and_checked(cache: Path, monkeypatch: pytest.MonkeyPatch, top: str) -> None:
    asked: list[str] = []

    def answer(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(packed(top))

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    for _ in range(2):
        source = builtin.load("fsdd")
        assert source.test is not None and source.valid is not None
        assert (len(source.train), len(source.valid), len(source.test)) == (20, 100, 100)
    assert asked == [spoken_digits.ARCHIVE] and cache.exists()


def test_what_is_not_the_set_is_neither_kept_nor_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in (b"no archive", packed("")[:-40]):
        monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout, other=other: io.BytesIO(other))
        with pytest.raises(JobError, match="what was downloaded has another checksum and was not kept"):
            builtin.load("fsdd")
        assert not cache.exists()
    cache.parent.mkdir(parents=True)
    cache.write_bytes(b"no archive")
    with pytest.raises(JobError, match="is not the Free Spoken Digit Dataset; remove it"):
        builtin.load("fsdd")


def test_offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(url: str, timeout: float) -> io.BytesIO:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(JobError, match=r"fsdd: could not be downloaded .*no route.* put a zip of .* or name one as DATA") as caught:
        builtin.load("fsdd")
    assert str(cache) in str(caught.value) and not cache.parent.exists()
