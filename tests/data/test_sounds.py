"""Sound files of every sort of samples, what is wrong with them, and the ways in which a set of them is laid out."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from convrnn.core.errors import DataError, JobError
from convrnn.data import Examples, from_arrays
from convrnn.data.sounds import sound, sound_facts
from convrnn.data.sources import read, read_bytes, read_part
from convrnn.modality import Sound

Put = Callable[[str, str | bytes], Path]

WAVE = 0.5 * np.sin(np.arange(400) / 7)
STEREO = np.stack([WAVE, 0.5 * WAVE], axis=1)


def file(samples: np.ndarray = WAVE, rate: int = 8_000, form: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("form", "subtype", "close"),
    [
        ("WAV", "PCM_U8", 1 / 127),
        ("WAV", "PCM_16", 1 / 32_767),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_32", 1e-6),
        ("WAV", "FLOAT", 1e-7),
        ("WAV", "DOUBLE", 1e-7),
        ("FLAC", "PCM_16", 1 / 32_767),
        ("FLAC", "PCM_24", 1e-6),
        ("AIFF", "PCM_16", 1 / 32_767),
        ("OGG", "VORBIS", 0.05),
    ],
)
def test_samples_of_every_sort(form: str, subtype: str, close: float) -> None:
    read = sound(file(form=form, subtype=subtype), "x")
    assert read.rate == 8_000 and read.samples.dtype == np.float32 and read.channels == 1
    np.testing.assert_allclose(read.samples, WAVE, atol=close)


def test_channels_are_averaged(put: Put, tmp_path: Path) -> None:
    put("s/a/1.wav", file(STEREO))
    put("s/b/1.wav", file())
    source = read(tmp_path / "s")
    np.testing.assert_allclose(source.train.inputs[0].samples, 0.75 * WAVE, atol=1e-4)
    assert "s: 1 of 2 recordings have 2 channels; their mean is taken" in source.notes
    assert sound_facts(source.train.inputs) == {
        "seconds": {"min": 0.05, "median": 0.05, "max": 0.05, "total": 0.1},
        "rates": {"8000": 2},
        "channels": {"1": 1, "2": 1},
    }


def test_damaged_files() -> None:
    whole = file()
    for data, message in (
        (b"RIFF and nothing more", r"^a\.wav: expected a recording, got 21 bytes that are none or damaged; replace or remove"),
        (whole[:20], "expected a recording, got 20 bytes"),
        (file(np.zeros(0)), "holds no sample; remove the file"),
        (file(np.array([0.0, np.inf]), subtype="FLOAT"), "expected finite samples"),
        (file(form="FLAC")[:60], "expected a recording"),
    ):
        with pytest.raises(DataError, match=message):
            sound(data, "a.wav")
    # What a program writes that could not know the length: the rest of the file are samples.
    streamed = whole[:40] + b"\xff\xff\xff\xff" + whole[44:]
    assert len(sound(streamed, "a.wav")) == 400


@pytest.mark.parametrize(
    ("form", "subtype", "cut"),
    [("WAV", None, 100), ("RF64", None, 100), ("AIFF", "PCM_16", 100), ("AIFF", "ULAW", 100), ("AU", None, 100), ("OGG", "OPUS", 1)],
)
def test_recordings_that_are_cut_off(form: str, subtype: str | None, cut: int) -> None:
    whole = file(form=form, subtype=subtype)
    assert len(sound(whole, "a.wav")) and len(sound(whole + b"TAG and a title", "a.wav"))
    with pytest.raises(DataError, match=rf"cut off: its header promises {cut} bytes more; copy or download it again"):
        sound(whole[:-cut], "a.wav")


def test_without_soundfile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(DataError, match=r"recordings need soundfile, which is not installed; pip install 'convrnn\[audio\]'"):
        sound(file(), "a.wav")


def test_one_folder_a_class(put: Put, tmp_path: Path) -> None:
    for title in ("yes", "no"):
        put(f"words/{title}/1.wav", file())
        put(f"words/{title}/2.flac", file(rate=16_000, form="FLAC"))
    source = read(tmp_path / "words")
    assert source.train.kind == "audio" and source.train.targets == ["no", "no", "yes", "yes"]
    assert [each.rate for each in source.train.inputs] == [8_000, 16_000] * 2 and source.train.names[1] == "no/2.flac"
    assert "words: one folder a class, no, yes" in source.notes
    put("words/yes/3.txt", "text")
    with pytest.raises(DataError, match=r"got 0 picture\(s\), 4 recording\(s\) and 1 text\(s\); keep one kind"):
        read(tmp_path / "words")


def test_part_folders_of_class_folders(put: Put, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for title in ("a", "b"):
            put(f"set/{part}/{title}/1.wav", file())
    source = read(tmp_path / "set")
    assert source.test is not None and source.test.targets == ["a", "b"] == source.train.targets


def digits(put: Put, speakers: tuple[str, ...] = ("ann", "bob"), indices: range = range(12), top: str = "recordings") -> None:
    for digit in range(10):
        for speaker in speakers:
            for index in indices:
                put(f"{top}/{digit}_{speaker}_{index}.wav", file(WAVE[: 40 + index]))


def test_spoken_digits_are_known_by_their_names_and_split_as_their_authors_do(put: Put, tmp_path: Path) -> None:
    digits(put)
    put("packed.zip", b"")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for path in sorted((tmp_path / "recordings").iterdir()):
            archive.write(path, f"recordings/{path.name}")
    for place in ("recordings", "packed.zip"):
        source = read(tmp_path / place)
        assert source.valid is not None and source.test is not None
        assert (len(source.train), len(source.valid), len(source.test)) == (40, 100, 100)
        assert {name.rpartition("_")[2] for name in source.test.names} == {f"{index}.wav" for index in range(5)}
        assert {name.rpartition("_")[2] for name in source.valid.names} == {f"{index}.wav" for index in range(5, 10)}
        assert source.train.targets is not None and set(source.train.targets) == set("0123456789")
        assert "named as the Free Spoken Digit Dataset is" in source.notes[0]
        assert read_part(tmp_path / place, labelled=True).names == source.test.names
        assert len(read_part(tmp_path / place)) == 240, "to predict: all of them, and their names tell nothing"


def test_digits_that_are_another_set_fix_no_part(put: Put, tmp_path: Path) -> None:
    digits(put, indices=range(4, 12))
    source = read(tmp_path / "recordings")
    assert source.test is None and source.valid is None and len(source.train) == 160
    assert source.notes == ("recordings: labels are what the names begin with, up to the first _: 0, 1, 2, 3, 4, 5, 6, 7, …",)


def test_names_that_begin_with_a_label(put: Put, tmp_path: Path) -> None:
    for name in ("dog_1", "dog_2", "cat_1", "cat_07"):
        put(f"pets/{name}.wav", file())
    source = read(tmp_path / "pets")
    assert source.train.targets == ["cat", "cat", "dog", "dog"] and source.train.target_name == "name"
    put("pets/bird.wav", file())
    with pytest.raises(DataError, match=r"5 recordings, and their names do not say what they are: bird.wav, .* one folder a class"):
        read(tmp_path / "pets")
    assert read_part(tmp_path / "pets").targets is None


@pytest.mark.parametrize("name", ["list.csv", "list.tsv", "list.jsonl"])
def test_a_table_of_files(put: Put, tmp_path: Path, name: str) -> None:
    rows = [("clips/1.wav", "up"), ("clips/2.wav", "down"), ("clips/3.wav", "up")]
    for path, _ in rows:
        put(f"set/{path}", file())
    comma = "\t" if name.endswith("tsv") else ","
    table = "".join(f"{path}{comma}{word}\n" for path, word in [("path", "label"), *rows])
    if name.endswith("jsonl"):
        table = "".join(json.dumps({"path": path, "label": word}) + "\n" for path, word in rows)
    place = put(f"set/{name}", table)
    source = read(place)
    assert source.train.kind == "audio" and source.train.targets == ["up", "down", "up"] and source.columns.layout == "audio"
    assert f"{name}: each cell is a recording, in 'path'" in source.notes
    assert read_part(place, source.columns).inputs[0].rate == 8_000
    (tmp_path / "set" / "clips" / "2.wav").unlink()
    with pytest.raises(DataError, match=r":(2|3):path: expected a file beside the table, got 'clips/2.wav'"):
        read(place)


def test_a_table_among_the_files_that_it_names(put: Put, tmp_path: Path) -> None:
    for number in range(3):
        put(f"set/{number}.wav", file())
    put("set/labels.csv", "file,label\n0.wav,a\n1.wav,b\n2.wav,a\n")
    source = read(tmp_path / "set")
    assert source.train.kind == "audio" and source.train.targets == ["a", "b", "a"]


def test_recordings_in_cells(tmp_path: Path) -> None:
    cells = [{"bytes": file(), "path": "1.wav"}, {"bytes": file(rate=16_000), "path": "2.wav"}]
    pq.write_table(pa.table({"audio": cells, "label": ["a", "b"]}), tmp_path / "t.parquet")
    source = read(tmp_path / "t.parquet")
    assert source.train.kind == "audio" and [each.rate for each in source.train.inputs] == [8_000, 16_000]


def test_single_recordings_to_predict(put: Put) -> None:
    place = put("one.wav", file())
    assert read_part(place).names == ["one.wav"] and read_bytes(file(form="FLAC")).kind == "audio"
    with pytest.raises(DataError, match="one recording without a label; give the folder"):
        read(place)


def test_no_permission(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("s/a/1.wav", file())
    put("s/b/1.wav", file())

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(JobError, match=r"1\.wav: could not be read: Permission denied; check the file and its permissions"):
        read(tmp_path / "s")


def test_recordings_in_memory() -> None:
    rows = [Sound(WAVE.astype(np.float32), 8_000), Sound(np.zeros(3, np.int16), 16_000)]
    examples: Examples = from_arrays(rows, ["a", "b"])
    assert examples.kind == "audio" and examples.inputs == rows
    assert from_arrays(WAVE[None], kind="audio").inputs[0].shape == (400,)
    with pytest.raises(DataError, match=r"X\[0\]: the recording holds no sample"):
        from_arrays([Sound(np.zeros(0, np.float32), 8_000)])
