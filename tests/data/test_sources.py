"""Files, folders and their partners; `.ts`, idx, `.npz`, labelled lines and folders of classes."""

from __future__ import annotations

import gzip
import io
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convrnn.core.errors import ConvrnnError, DataError, UsageError
from convrnn.data.sources import read, read_bytes, read_part

Put = Callable[[str, str | bytes], Path]

TS = "# a comment\n@problemName T\n@classLabel true a b\n@data\n1,2,?:4,5,6:a\n1,2:3,4:b\n"


def idx(array: NDArray[Any]) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def put_mnist(put: Put, part: str, count: int, folder: str = "m") -> None:
    pixels = np.arange(count * 20, dtype=np.uint8).reshape(count, 4, 5)
    put(f"{folder}/{part}-images-idx3-ubyte.gz", gzip.compress(idx(pixels)))
    put(f"{folder}/{part}-labels-idx1-ubyte.gz", gzip.compress(idx(np.arange(count, dtype=np.uint8) % 2)))


def test_ts(put: Put) -> None:
    put("T_TEST.ts.gz", gzip.compress(TS.encode()))
    source = read(put("T_TRAIN.ts", TS))
    assert [array.shape for array in source.train.inputs] == [(3, 2), (2, 2)] and source.train.inputs[0][1].tolist() == [2, 5]
    assert np.isnan(source.train.inputs[0][2, 0]) and source.train.targets == ["a", "b"] and source.train.task == "classify"
    assert source.train.names == ["T_TRAIN.ts:5", "T_TRAIN.ts:6"]
    assert source.test is not None and len(source.test) == 2
    assert "T_TEST.ts.gz: taken as the test part" in source.notes and "T_TRAIN.ts: lengths 2 to 3" in source.notes


def test_ts_with_numbers_to_learn_and_time_stamps(put: Put) -> None:
    source = read(put("R.ts", "@targetlabel true\n@timeStamps true\n@data\n(0,1),(1,2):(0,3),(1,4):1.5\n"))
    assert source.train.inputs[0].tolist() == [[1, 3], [2, 4]] and source.train.targets == [1.5] and source.train.task == "regress"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@classLabel true a\n@data\n1,z:a\n", r"T\.ts:3:1: expected numbers parted by commas, got 'z'"),
        ("@classLabel true a\n@data\n1,2:c\n", r"T\.ts:3: expected a label that @classLabel lists, got 'c'"),
        ("@classLabel true a\n@data\n1,2:1:a\n", "dimensions of one length"),
        ("@classLabel true a\n@data\n1:a\n1:2:a\n", "expected 1 dimensions as in line 3, got 2"),
        ("@targetLabel true\n@data\n1,2:x\n", "expected a number as target, got 'x'"),
        ("@classLabel true a\n", "expected a line @data"),
        ("@classLabel true a\n@data\n", "no series after @data"),
        ("@data\n1,2\n", "@classLabel true"),
    ],
)
def test_ts_mistakes(put: Put, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(put("T.ts", text))


def test_ts_without_labels_to_predict(put: Put) -> None:
    assert read_part(put("T.ts", "@classLabel false\n@data\n1,2:3,4\n")).inputs[0].tolist() == [[1, 3], [2, 4]]


def test_idx_folder(put: Put, tmp_path: Path) -> None:
    put_mnist(put, "train", 6)
    put_mnist(put, "t10k", 4)
    put("m/README.md", "about")
    for source in (read(tmp_path / "m"), read(tmp_path / "m" / "train-images-idx3-ubyte.gz")):
        assert source.test is not None and (len(source.train), len(source.test)) == (6, 4)
        assert source.train.inputs[1].shape == (4, 5, 1) and source.train.inputs[1][0, :, 0].tolist() == [20, 21, 22, 23, 24]
        assert source.train.inputs[0].dtype == np.uint8 and source.train.targets == ["0", "1"] * 3


def test_idx_mistakes(put: Put, tmp_path: Path) -> None:
    put_mnist(put, "train", 6)
    (tmp_path / "m" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"its labels are missing: expected train-labels-idx1-ubyte\.gz beside it"):
        read(tmp_path / "m")
    put("m/train-labels-idx1-ubyte.gz", gzip.compress(idx(np.zeros(5, np.uint8))))
    with pytest.raises(DataError, match="expected 6 labels"):
        read(tmp_path / "m")
    put("m/train-labels-idx1-ubyte.gz", gzip.compress(b"\0\0\x07\x01nothing"))
    with pytest.raises(DataError, match=r"magic number .* got 00 00 07 01"):
        read(tmp_path / "m")
    put("m/train-labels-idx1-ubyte.gz", gzip.compress(idx(np.zeros(6, np.uint8))[:-1]))
    with pytest.raises(DataError, match="expected 14 bytes"):
        read(tmp_path / "m")


def saved(put: Put, **arrays: Any) -> Path:
    path = put("n.npz", b"")
    np.savez(path, **arrays)
    return path


def test_npz(put: Put) -> None:
    source = read(saved(put, X=np.zeros((3, 5, 2)), y=list("aba"), lengths=[1, 5, 2]))
    assert [array.shape for array in source.train.inputs] == [(1, 2), (5, 2), (2, 2)] and source.train.targets == ["a", "b", "a"]
    both = read(
        saved(put, x_train=np.zeros((4, 5, 6), np.uint8), y_train=[0, 1, 0, 1], x_test=np.zeros((2, 5, 6), np.uint8), y_test=[0, 1])
    )
    assert both.train.kind == "image" and both.train.inputs[0].shape == (5, 6, 1) and both.test is not None and len(both.test) == 2
    joined = read(saved(put, data=np.arange(6.0), target=[0, 1], lengths=[2, 4]))
    assert [array[:, 0].tolist() for array in joined.train.inputs] == [[0, 1], [2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.zeros((3, 5)), "y": [0, 1]}, r"n\.npz:X: 3 rows, but 2 in y"),
        ({"X": np.zeros((3, 5))}, "expected targets under a key such as y"),
        ({"q": np.zeros(3)}, "expected a key X"),
        ({"X": np.array([[1], [1, 2]], object), "y": [0, 1]}, "pickles are never loaded"),
        ({"X": np.zeros((2, 5)), "x": np.zeros((2, 5)), "y": [0, 1]}, "play the same part"),
        ({"X": np.zeros((2, 5)), "y": [0, 1], "lengths": [2, 9]}, "lengths up to T"),
    ],
)
def test_npz_mistakes(put: Put, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(saved(put, **arrays))


def test_what_is_no_npz(put: Put) -> None:
    with pytest.raises(DataError, match=r"expected an \.npz archive"):
        read(put("n.npz", "not an archive"))
    packed = io.BytesIO()
    np.savez_compressed(packed, X=np.arange(30.0).reshape(3, 10), y=[0, 1, 0])
    damaged = bytearray(packed.getvalue())
    damaged[60:70] = b"\xff" * 10
    with pytest.raises(DataError, match="the archive is damaged"):
        read(put("n.npz", bytes(damaged)))


def test_labelled_lines(put: Put) -> None:
    lines = "".join(f"{kind} sentence number {row} of it\n" for row in range(10) for kind in ("0", "1"))
    put("s.test.gz", gzip.compress(b"1 one line only\n"))
    put("s.dev", "0 a line\n1 another line\n")
    source = read(put("s.train", lines))
    assert source.train.targets == ["0", "1"] * 10 and source.train.inputs[2] == "sentence number 1 of it"
    assert source.test is not None and source.test.targets == ["1"] and source.valid is not None and len(source.valid) == 2
    assert read_part(put("p.txt", "0 a line\n"), source.columns).targets == ["0"]
    assert read_part(put("p.txt", "what is it\n"), source.columns).inputs == ["what is it"]


def test_coarse_and_fine_labels(put: Put) -> None:
    lines = "".join(f"{kind} sentence {row}\n" for row in range(10) for kind in ("NUM:date", "NUM:count", "LOC:city"))
    path = put("t.train", lines)
    put("t.test", "LOC:city where is it\n")
    source = read(path)
    assert source.train.targets == ["NUM", "NUM", "LOC"] * 10 and source.test is not None and source.test.targets == ["LOC"]
    assert any("learning the 2 coarse ones (--target label for all 3)" in note for note in source.notes)
    assert read(path, target="label").train.targets == ["NUM:date", "NUM:count", "LOC:city"] * 10
    assert read_bytes(b"NUM:date when\n", columns=source.columns).inputs == ["when"]


def test_fasttext_lines(put: Put) -> None:
    train = read(put("f.txt", "__label__好 很 好\n__label__坏 不 好\n")).train
    assert train.targets == ["好", "坏"] and train.inputs == ["很 好", "不 好"]


def test_running_text_has_no_labels(put: Put) -> None:
    with pytest.raises(DataError, match="neither a table nor lines that begin with a label"):
        read(put("t.txt", "the cat sat\nthe dog ran\nthe sun rose\nthe end came\n"))


def test_one_file_a_class(put: Put, tmp_path: Path) -> None:
    put("mr/rt-polarity.pos.gz", gzip.compress("good film\n\nbest é film\n".encode("cp1252")))
    put("mr/rt-polarity.neg.gz", gzip.compress(b"bad film\n"))
    put("mr/README.md", "about")
    source = read(tmp_path / "mr")
    assert source.train.targets == ["neg", "pos", "pos"] and source.train.inputs == ["bad film", "good film", "best é film"]
    assert source.train.names == ["rt-polarity.neg.gz:1", "rt-polarity.pos.gz:1", "rt-polarity.pos.gz:3"]
    assert any("Windows-1252" in note for note in source.notes)


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_one_folder_a_class(put: Put, tmp_path: Path, packed: bool) -> None:
    for part, count in (("train", 3), ("test", 1)):
        for kind in ("猫", "dog"):
            for row in range(count):
                (tmp_path / "p" / part / kind).mkdir(parents=True, exist_ok=True)
                shape = (4, 6, 3) if row == 0 else (4, 6)
                Image.fromarray(np.full(shape, row + 7, np.uint8)).save(tmp_path / "p" / part / kind / f"{row}.png")
    place = shutil.make_archive(str(tmp_path / "p"), "zip", tmp_path / "p") if packed else tmp_path / "p"
    source = read(place)
    assert source.train.targets == ["dog"] * 3 + ["猫"] * 3 and source.train.inputs[1].tolist() == np.full((4, 6, 3), 8).tolist()
    assert source.test is not None and source.test.names == ["dog/0.png", "猫/0.png"]
    assert any("4 of 6 pictures are grey" in note for note in source.notes)


def test_what_systems_leave_in_folders_is_no_data(put: Put, tmp_path: Path) -> None:
    for name in ("c/a/1.txt", "c/a/Thumbs.db", "c/b/1.txt", "c/b/.DS_Store", "c/desktop.ini"):
        put(name, "some words")
    assert read(tmp_path / "c").train.targets == ["a", "b"]


def test_pictures_to_predict(tmp_path: Path) -> None:
    Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(tmp_path / "a.png")
    for place in (tmp_path, tmp_path / "a.png"):
        part = read_part(place)
        assert part.targets is None and part.inputs[0][..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(DataError, match="one picture without a label"):
        read(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"a\.png: expected a picture, got 4 bytes"):
        read_part(tmp_path)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    """Drawings are mostly exported as black lines on nothing, and the nothing is black too."""
    line = np.zeros((2, 3, 4), np.uint8)
    line[0, 1, 3] = 255
    (tmp_path / "p").mkdir()
    Image.fromarray(line).save(tmp_path / "p" / "a.png")
    Image.fromarray(line[..., 2:], "LA").save(tmp_path / "p" / "b.png")
    Image.fromarray(line[..., 3]).save(tmp_path / "p" / "c.png", transparency=0)
    Image.fromarray(line[..., 3].astype(np.uint16) * 257).save(tmp_path / "p" / "d.png", transparency=0)
    Image.fromarray(np.maximum(line, np.array([0, 0, 0, 255], np.uint8))).save(tmp_path / "p" / "opaque.png")
    part = read_part(tmp_path / "p")
    drawn = np.where(line[..., 3], 0, 255).tolist()
    assert [pixels[..., 0].tolist() for pixels in part.inputs[:2]] == [drawn] * 2
    assert all((pixels == 255).all() for pixels in part.inputs[2:4]), "white is what was not transparent here"
    assert any("4 of 5 pictures are transparent in places; they are read over white" in note for note in part.notes)


def test_depths_mean_the_same_grey(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    Image.fromarray(np.full((2, 2), 200, np.uint8)).save(tmp_path / "p" / "a.png")
    Image.fromarray(np.full((2, 2), 200 * 257, np.uint16)).save(tmp_path / "p" / "b.png")
    part = read_part(tmp_path / "p")
    assert all((pixels == 200).all() for pixels in part.inputs)
    assert any("1 of 2 pictures have 16 bits, the rest 8; all are read in 0..255" in note for note in part.notes)
    Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / "p" / "c.tif")
    with pytest.raises(DataError, match=r"c\.tif: expected pixels of 8 or 16 bits, got float32, whose full scale the file does not say"):
        read_part(tmp_path / "p")


def test_texts_one_folder_a_class(put: Put, tmp_path: Path) -> None:
    for name, text in (("c/好/1.txt", "很好\n很好"), ("c/坏/1.txt", "不好")):
        put(name, text)
    assert read(tmp_path / "c").train.inputs == ["不好", "很好\n很好"] and read(tmp_path / "c").train.targets == ["坏", "好"]


def test_a_contest_test_file_without_target_is_left(put: Put) -> None:
    put("test.csv", "a,b\n1,2\n")
    source = read(put("train.csv", "a,b,label\n1,2,x\n3,4,y\n"))
    assert source.test is None and any("test.csv: not taken as test part" in note for note in source.notes)


def test_a_damaged_partner_is_an_error(put: Put) -> None:
    put("test.csv", "a,b,label\n1,2\n")
    path = put("train.csv", "a,b,label\n1,2,x\n3,4,y\n")
    with pytest.raises(DataError, match=r"test\.csv:2: expected 3 cells"):
        read(path)
    other = put("other.csv", "b,a,label\n4,3,y\n")
    named = read(path, test=other).test
    assert named is not None and named.inputs[0][:, 0].tolist() == [3, 4]


def test_task_is_honoured_in_every_part(put: Put) -> None:
    put("test.csv", "a,b,label\n1,2,7\n")
    source = read(put("train.csv", "a,b,label\n1,2,1\n3,4,2\n"), task="regress")
    assert source.train.targets == [1.0, 2.0] and source.test is not None and source.test.targets == [7.0]


def test_parts_of_other_shapes(put: Put) -> None:
    path = put("a.jsonl", '{"x":[[1,2]],"label":"a"}\n{"x":[[1,2]],"label":"b"}\n')
    other = put("b.jsonl", '{"x":[[1,2,3]],"label":"a"}\n')
    with pytest.raises(DataError, match="expected 2 channels as in the training part, got 3"):
        read(path, test=other)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "folder is empty"),
        (("README.md",), "folder is empty"),
        (("A_TEST.ts",), "a test part without its training part"),
        (
            ("x.train", "y.train", "x.test"),
            "2 training files, and it is not clear which to read: x.test, x.train, y.train; name one, for example d/x.train",
        ),
        (("a/x.csv", "b/x.csv"), "2 folders, no data file: a, b; name one, for example d/a"),
        (("a/1.txt", "b/README.md"), "the folder of class 'b' is empty; put files into it, or remove it"),
        (("x.mp4", "y.mp4"), "files such as x.mp4 are not read"),
        (("one.csv", "two.csv"), "2 files, and it is not clear which to read"),
    ],
)
def test_folders_that_are_not_clear(put: Put, tmp_path: Path, files: tuple[str, ...], message: str) -> None:
    (tmp_path / "d").mkdir()
    for name in files:
        put(f"d/{name}", "a,b,label\n1,2,x\n")
    with pytest.raises(ConvrnnError) as caught:
        read(tmp_path / "d")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_columns_without_a_table_are_refused(put: Put) -> None:
    with pytest.raises(UsageError, match="only tables have columns"):
        read(put("T.ts", TS), target="label")
    with pytest.raises(UsageError, match="only tables have columns"):
        read("digits", target="label")
    with pytest.raises(UsageError, match="only files have an encoding"):
        read("digits", encoding="big5")


def test_an_encoding_of_what_is_no_text_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", X=np.zeros((2, 3, 1)), y=np.array(["a", "b"]))
    for label in "ab":
        (tmp_path / "pictures" / label).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "pictures" / label / "one.png")
    for name in ("rows.npz", "pictures"):
        with pytest.raises(UsageError, match="only text files have an encoding; leave it out"):
            read(tmp_path / name, encoding="big5")


def test_names_that_are_nothing(put: Put) -> None:
    with pytest.raises(DataError, match="did you mean digits"):
        read("digts")
    with pytest.raises(DataError, match="files of this kind are not read"):
        read(put("x.pkl", "x"))
