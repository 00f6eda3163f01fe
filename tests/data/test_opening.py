"""Encodings recognised and said; archives opened or refused in one line."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import pytest

from convrnn.core.errors import DataError
from convrnn.data.opening import Content, content, data_files, decode, lines, locate, partner_of, role_of, title_of, unpacked

REVIEWS = "文本,标签\n房间很干净，服务也不错，下次还会来。,好\n电视坏了，没有人来修。,差\n"


def decoded(text: str, encoding: str) -> tuple[bool, str]:
    found, notes = decode(Content("f", "f", text.encode(encoding)))
    return found == text, " ".join(notes)


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        (REVIEWS, "utf-8", ""),
        (REVIEWS, "utf-8-sig", "byte order mark"),
        (REVIEWS, "utf-16", "UTF-16"),
        (REVIEWS, "utf-32", "UTF-32"),
        (REVIEWS, "gb18030", "GB18030"),
        ("标签,值1,值2\n1,2,3\n", "gb18030", "GB18030"),
        ("這部電影很好看，我們都喜歡。", "gb18030", "GB18030"),
        ("生僻字𠀀在这里", "gb18030", "GB18030"),
        ("café", "cp1252", "Windows-1252"),
        ("éclair, élan, état", "cp1252", "Windows-1252"),  # formally GBK: each accent stands before a letter
        ("El niño comió mañana; été à la plage, “œuvre”…\n", "cp1252", "Windows-1252"),
        ("Ünïcödé àéîõü\n", "cp1252", "Windows-1252"),
    ],
)
def test_encodings(text: str, encoding: str, said: str) -> None:
    same, notes = decoded(text, encoding)
    assert same and (said in notes if said else not notes)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("안녕하세요 반갑습니다 오늘 날씨가 좋네요 영화 정말 재미있어요\n" * 20, "euc-kr"), ("Привет, мир. Это русский текст.\n", "cp1251")],
)
def test_other_scripts_are_not_taken_for_chinese(text: str, encoding: str) -> None:
    assert "GB18030" not in decoded(text, encoding)[1]
    assert decode(Content("f", "f", text.encode(encoding)), encoding) == (text, ())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "gb18030"])
def test_a_byte_order_mark_is_no_letter(encoding: str) -> None:
    assert decode(Content("f", "f", ("\ufeff" + REVIEWS).encode(encoding)), encoding)[0] == REVIEWS


def test_encodings_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="f:2: expected utf-8"):
        decode(Content("f", "f", b"ab\n\xff\n"), "utf-8")
    with pytest.raises(DataError, match="no encoding is called 'utf-88'"):
        decode(Content("f", "f", b"ab"), "utf-88")
    with pytest.raises(DataError, match="binary"):
        decode(Content("f", "f", b"ab\0"))


def test_lines_break_where_editors_break() -> None:
    assert list(lines("a\u2028b\r\n\n c\x85\rd")) == [(1, "a\u2028b"), (3, " c\x85"), (4, "d")]


def test_unpacking(tmp_path: Path) -> None:
    assert unpacked("a.txt.gz", gzip.compress(b"hi")) == Content("a.txt.gz", "a.txt", b"hi")
    with zipfile.ZipFile(tmp_path / "One.zip", "w") as archive:
        archive.writestr("Inner.csv", "hi")
    one = locate(tmp_path / "One.zip")
    assert (one.name, content(one).data) == ("Inner.csv", b"hi")
    assert unpacked("One.zip", (tmp_path / "One.zip").read_bytes()).plain == "inner.csv"


def test_a_zip_of_one_folder_is_that_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("set/cat/a.png", "x")
        archive.writestr("set/dog/b.png", "x")
        archive.writestr("set/README.md", "x")
        archive.writestr("__MACOSX/junk", "x")
    assert [entry.name for entry in data_files(locate(tmp_path / "set.zip"))] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "empty"),
        ("a.gz", b"\x1f\x8bgarbage", "damaged"),
        ("a.gz", gzip.compress(b"hello", mtime=0)[:-4], "damaged"),
        ("a.gz", b"plain text", "damaged or is none"),
        ("a.zip", b"PK nothing", "damaged"),
    ],
)
def test_bad_archives(name: str, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        unpacked(name, data)


@pytest.mark.parametrize(
    ("method", "flag", "message"),
    [
        (0, 0x1, "the archive needs a password; pack it again without one"),
        (9, 0, "the archive cannot be unpacked .*not supported.*; pack it again as an ordinary .zip"),
    ],
)
def test_archives_that_cannot_be_unpacked(tmp_path: Path, method: int, flag: int, message: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", "text,label\n")
    data = bytearray(packed.getvalue())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the header before the file, and the one at the end
        start = data.index(mark) + place
        data[start : start + 4] = struct.pack("<HH", flag, method)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match=message):
        unpacked("a.zip", bytes(data))
    with pytest.raises(DataError, match=message):
        content(locate(tmp_path / "a.zip"))


@pytest.mark.parametrize("encoding", ["gbk", "utf-8", "cp437"])
def test_names_in_a_zip_as_other_programs_write_them(tmp_path: Path, encoding: str) -> None:
    """Chinese Windows writes GBK and macOS UTF-8, neither with the flag that says so; old DOS names stay as they are."""
    names = ["caf\u00e9/1.txt", "th\u00e9/1.txt"] if encoding == "cp437" else ["好评/1.txt", "差评/1.txt"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for place, name in enumerate(names):
            archive.writestr(str(place) * len(name.encode(encoding)), name)
    data = packed.getvalue()
    for place, name in enumerate(names):
        data = data.replace(str(place).encode() * len(name.encode(encoding)), name.encode(encoding))
    (tmp_path / "a.zip").write_bytes(data)
    folders = locate(tmp_path / "a.zip")
    assert sorted(f"{folder.name}/{file.name}" for folder in folders.iterdir() for file in folder.iterdir()) == sorted(names)
    assert {content(file).data.decode() for folder in folders.iterdir() for file in folder.iterdir()} == set(names)


def test_missing_paths(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("x")
    with pytest.raises(DataError, match=r"no such file or folder; did you mean train\.csv"):
        locate(tmp_path / "trian.csv")
    with pytest.raises(DataError, match="there is no folder"):
        locate(tmp_path / "nowhere" / "train.csv")
    (tmp_path / "x.tar.gz").write_text("x")
    with pytest.raises(DataError, match="unpack it first"):
        locate(tmp_path / "x.tar.gz")


def test_roles_and_partners(tmp_path: Path) -> None:
    for name in ("ECG_TEST3.txt", "A_TEST.ts.gz", "trainer_test.csv", "x.dev.gz"):
        (tmp_path / name).write_text("x")
    beside = data_files(tmp_path)
    found = [(train, part, partner_of(train, part, beside)) for train, part in PARTNERS]
    assert [(train, part, file.name if file else None) for train, part, file in found] == [(*key, PARTNERS[key]) for key in PARTNERS]
    assert [role_of(name) for name in ("TRAIN", "my-test.csv", "val.csv", "trainer.csv", "contest.csv")] == [
        "train",
        "test",
        "valid",
        None,
        None,
    ]
    assert title_of("train.tsv.gz") == "train" and title_of("stsa.binary.train.gz") == "stsa.binary.train"


PARTNERS = {
    ("ECG_TRAIN3.txt.gz", "test"): "ECG_TEST3.txt",
    ("A_TRAIN.ts", "test"): "A_TEST.ts.gz",
    ("x.train.gz", "valid"): "x.dev.gz",
    ("trainer_train.csv", "test"): "trainer_test.csv",
    ("A_TRAIN.ts", "valid"): None,
    ("A_TEST.ts", "test"): None,
}
