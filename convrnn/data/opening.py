"""Paths -> bytes -> text: folders, gzip, zip and encodings. Knows nothing of what the bytes mean.

Bytes that are not UTF-8 are taken for GB18030 (GB 18030-2005, the superset of GBK and GB2312) where they can be and look Chinese, else for
Windows-1252. A reader is told whenever a file was not plain UTF-8.
"""

from __future__ import annotations

import codecs
import difflib
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from convrnn.core.errors import DataError, JobError
from convrnn.core.language import tr

DOCUMENTS = re.compile(
    r"(?i)^(readme|licen[cs]e|copying|changelog|citation|notice|manifest|dataset_readme)\b|\.(md|rst|html?|pdf|bib|py|ipynb|yaml|yml|toml)$"
)
"""Names that explain a folder of data and are none themselves."""

_LEFT_BY_SYSTEMS = re.compile(r"(?i)\.|__MACOSX|(thumbs\.db|desktop\.ini)$")
"""How names of files begin that people do not see: hidden ones, and what macOS and Windows leave in folders and archives."""

# The hundred most frequent characters of running Chinese, simplified and traditional: a quarter to a half of any text.
_COMMON = frozenset(
    "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好看起发当没成只如事把还用第样道想作种开美总从"
    "這個們來時為說國著裡後會過對學麼發當沒還樣種開總從很房店酒服务务感觉书买"
)

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF8, "utf-8-sig", tr("UTF-8 with a byte order mark")),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)


_ROLE = re.compile(r"(?<![A-Za-z])(train(?:ing)?|test(?:ing)?|valid(?:ation)?|val|dev)(?![a-z])", re.IGNORECASE)
_ROLE_WORDS = {"train": ("train", "training"), "valid": ("valid", "validation", "val", "dev"), "test": ("test", "testing")}


@dataclass(frozen=True)
class Content:
    """An unpacked file.

    Attributes:
        name: as the user knows it, with `.gz` and `.zip`; errors begin with it.
        plain: the lower-case name without the endings of packing, to tell the format by.
        data: what is in it.
    """

    name: str
    plain: str
    data: bytes


def locate(path: str | Path) -> Traversable:
    """The file or folder at a path; a zip archive of several members is the folder that it holds.

    Raises:
        DataError: there is nothing, or an archive that cannot be read.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise DataError(str(path), tr("no such file or folder"), _nearby(place))
    if place.suffix.lower() in (".tar", ".tgz", ".bz2", ".xz", ".7z", ".rar") or place.name.lower().endswith(".tar.gz"):
        raise DataError(
            str(path),
            tr("archives of the kind {suffix} are not opened", suffix=place.suffix),
            tr("unpack it first, or pack it as .zip or .gz"),
        )
    if place.is_dir() or place.suffix.lower() != ".zip":
        return place
    try:
        inside = zipfile.Path(_opened(place))
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            str(path), tr("expected a zip archive, got one that cannot be read ({error})", error=error), tr("download or pack it again")
        ) from error
    folder = _single_folder(inside)
    members = data_files(folder)
    return members[0] if len(members) == 1 and members[0].is_file() else folder


def data_files(folder: Traversable) -> list[Traversable]:
    """Files and folders in a folder, by name; hidden ones and documents such as README.md left out."""
    entries = [
        entry
        for entry in folder.iterdir()
        if not _LEFT_BY_SYSTEMS.match(entry.name) and not (entry.is_file() and DOCUMENTS.search(entry.name))
    ]
    return sorted(entries, key=lambda entry: entry.name)


def content(place: Traversable) -> Content:
    """Reads and unpacks a file.

    Raises:
        DataError: the file is empty or cannot be unpacked.
        JobError: the file cannot be read at all.
    """
    try:
        data = place.read_bytes()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise _not_unpacked(place.name, error) from error
    except OSError as error:
        raise JobError(
            place.name, tr("could not be read: {reason}", reason=error.strerror or error), tr("check the file and its permissions")
        ) from error
    return unpacked(place.name, data)


def unpacked(name: str, data: bytes) -> Content:
    """Bytes under a name, without gzip or a zip of one member.

    Raises:
        DataError: nothing in it, a damaged archive, or a zip with several members.
    """
    plain = name
    try:
        if name.lower().endswith(".gz"):
            data, plain = gzip.decompress(data), name[:-3]
        elif name.lower().endswith(".zip"):
            archive = _opened(io.BytesIO(data))
            members = [member for member in archive.namelist() if not member.endswith("/") and not _LEFT_BY_SYSTEMS.match(member)]
            if len(members) != 1:
                raise DataError(
                    name, tr("expected one file in the archive, got {got}", got=len(members)), tr("unpack it and name the folder")
                )
            data, plain = archive.read(members[0]), Path(members[0]).name
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise _not_unpacked(name, error) from error
    if not data:
        raise DataError(name, tr("the file is empty"), tr("give a file with data"))
    return Content(name, plain.lower(), data)


def decode(source: Content, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The text of a file, and what to tell the user about its encoding (nothing for plain UTF-8), without the name of the file.

    Raises:
        DataError: not a text file, or not in the `encoding` that was given.
    """
    if encoding is not None:
        return _decode_as(source, encoding), ()
    for mark, codec, title in _BYTE_ORDER_MARKS:
        if source.data.startswith(mark):
            return _decode_as(source, codec), (title,)
    if b"\0" in source.data:
        raise DataError(
            source.name, tr("expected text, got a binary file"), tr("see the formats that are read in the README, or convert it to CSV")
        )
    try:
        return source.data.decode("utf-8"), ()
    except UnicodeDecodeError:
        pass
    chinese = _as_chinese(source.data)
    if chinese is not None:
        return chinese.removeprefix("\ufeff"), (tr("not UTF-8, read as GB18030 (Chinese)"),)
    try:
        text, title = source.data.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError:
        text, title = source.data.decode("latin-1"), "Latin-1"
    return text, (tr("not UTF-8, read as {title} (convert it to UTF-8 if letters look wrong)", title=title),)


def lines(text: str) -> Iterable[tuple[int, str]]:
    """The lines that are not blank, with their 1-based numbers as an editor shows them.

    `str.splitlines` would also break at U+0085, U+2028 and form feeds, which stand inside real sentences.
    """
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if line.strip():
            yield number, line


def role_of(name: str, whole: bool = False) -> str | None:
    """train, valid or test, if a name has such a word in it or, with `whole`, is one; else None."""
    match = _ROLE.fullmatch(name) if whole else _ROLE.search(name)
    return next(part for part, words in _ROLE_WORDS.items() if match[0].lower() in words) if match else None


def partner_of(train: str, part: str, beside: Iterable[Traversable]) -> Traversable | None:
    """The file that is called as a training file is, but with a word for another part, packed or not."""
    match = _ROLE.search(train)
    if match is None or role_of(train) != "train":
        return None
    packing = re.compile(r"\.(gz|zip)$", re.IGNORECASE)
    files = {packing.sub("", file.name): file for file in beside if file.is_file()}
    for word in _ROLE_WORDS[part]:
        cased = word.upper() if match[0].isupper() else word.capitalize() if match[0][0].isupper() else word
        wanted = packing.sub("", train[: match.start()] + cased + train[match.end() :])
        if wanted in files:
            return files[wanted]
    return None


def title_of(name: str) -> str:
    """A file's name without the endings of packing and format: `train.tsv.gz` -> `train`."""
    stem = re.sub(r"(?i)\.(gz|zip)$", "", name)
    return re.sub(r"(?i)\.(csv|tsv|tab|txt|jsonl?|ndjson|parquet|pq|arrow|feather|ipc|npz|ts)$", "", stem)


def _opened(file: Path | io.BytesIO) -> zipfile.ZipFile:
    """A zip archive, with the names of its members as their writer meant them.

    Where the flag for UTF-8 is not set `zipfile` reads the code page of DOS; but macOS writes UTF-8 without the flag, Chinese Windows GBK.
    """
    archive = zipfile.ZipFile(file)
    names = b"\n".join(info.orig_filename.encode("cp437") for info in archive.infolist() if not info.flag_bits & 0x800)
    for encoding in () if names.isascii() else ("utf-8", "gb18030"):
        try:
            names.decode(encoding)
        except UnicodeDecodeError:
            continue
        return zipfile.ZipFile(file, metadata_encoding=encoding)
    return archive


def _not_unpacked(name: str, error: Exception) -> DataError:
    """Why an archive cannot be unpacked; `zipfile` raises `RuntimeError` for passwords, and a kind of it for methods that it lacks."""
    if isinstance(error, NotImplementedError):
        return DataError(name, tr("the archive cannot be unpacked ({error})", error=error), tr("pack it again as an ordinary .zip"))
    if isinstance(error, RuntimeError):
        return DataError(name, tr("the archive needs a password"), tr("pack it again without one"))
    return DataError(name, tr("the archive is damaged or is none ({error})", error=error), tr("download or pack it again"))


def _decode_as(source: Content, encoding: str) -> str:
    try:
        return source.data.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise DataError(
            source.name, tr("no encoding is called {encoding!r}", encoding=encoding), tr("for example utf-8, gb18030, big5 or cp1252")
        ) from error
    except UnicodeDecodeError as error:
        row = source.data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{source.name}:{row}", tr("expected {wanted}, got bytes that are not", wanted=encoding), tr("convert the file to UTF-8")
        ) from error


def _as_chinese(data: bytes) -> str | None:
    """The text if the bytes are GB18030 and look Chinese, else None.

    A letter with an accent before a plain letter is a formally valid GBK pair too, but its second byte is below 0x80; in Chinese most
    second bytes are above. Other double-byte encodings (EUC-KR, Big5) decode into characters, few of which are common.
    """
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return None
    wide = [character for character in text if character > "\x7f"][:20_000]
    if any("\ue000" <= character <= "\uf8ff" for character in wide):
        return None
    high = sum(character.encode("gb18030")[1] >= 0x80 for character in wide)
    han = [character for character in wide if "\u4e00" <= character <= "\u9fff"]
    if high * 2 < len(wide) or len(han) * 2 < len(wide):
        return None
    common = sum(character in _COMMON for character in han)
    return text if len(han) < 200 or common * 12 >= len(han) else None


def _single_folder(inside: zipfile.Path) -> Traversable:
    """A zip of one folder is that folder."""
    folder: Traversable = inside
    while True:
        entries = data_files(folder)
        if len(entries) != 1 or not entries[0].is_dir():
            return folder
        folder = entries[0]


def _nearby(place: Path) -> str:
    parent = place.parent
    names = [entry.name for entry in data_files(parent)] if parent.is_dir() else []
    if not parent.is_dir():
        return tr("there is no folder {parent} either", parent=parent)
    near = nearest(place.name, names)
    return tr("did you mean {near}?", near=near) if near else tr("check the path, or see `convrnn datasets` for the built-in sets")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name most like `name`, if one is like it at all."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return found[0] if found else None
