"""What is at a path: files and folders -> a source, by content first and by name second. Knows every reader and no format itself.

A file of training data (`..._TRAIN.ts`, `train.tsv`, `TREC.train.gz`) brings the files beside it that are called alike with test, dev or
valid in place of train; what was taken for what is said in the notes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from convrnn.core.errors import DataError, UsageError
from convrnn.core.language import tr
from convrnn.core.terms import called
from convrnn.data import builtin
from convrnn.data.arrays import IDX, idx_source, npz_source
from convrnn.data.columns import UnknownColumn
from convrnn.data.examples import RECOGNISE, Columns, Examples, Source, Task
from convrnn.data.folders import (
    class_files,
    class_folders,
    classes_of,
    is_class_folder,
    is_media,
    loose_pictures,
    loose_sounds,
    named_sounds,
)
from convrnn.data.labelled import begins_with, has_labels, labelled_table, text_table
from convrnn.data.layouts import examples_of
from convrnn.data.opening import Content, content, data_files, decode, locate, partner_of, role_of, title_of, unpacked
from convrnn.data.pictures import PICTURE
from convrnn.data.sounds import SOUND, is_sound, sound, sound_notes
from convrnn.data.tables import Table, delimiter_of, has_header, is_missing, is_number, read_arrow, read_delimited, read_jsonl
from convrnn.data.targets import as_task
from convrnn.data.timeseries import read_ts

_REGULAR = 10
"""So many lines with the same number of commas are no sentences."""

_PACKED = re.compile(r"(?i)\.(npz|parquet|pq|arrow|feather|ipc)(\.gz)?$")
"""Names of tables and arrays that are no text."""

_READ = tr("CSV, TSV, JSONL, Parquet, Arrow, .npz, .ts, idx, lines of text, or folders of pictures, recordings or texts")
_FOREIGN = re.compile(r"(?i)\.(mp4|avi|mkv|xlsx?|docx?|pkl|pickle|pt|pth|mat|h5|hdf5|safetensors|npy|tsf|arff)$")


class _How(NamedTuple):
    """How files are to be read; the same for all parts."""

    columns: Columns
    labelled: bool
    encoding: str | None


def read(
    data: str | Path,
    *,
    task: Task | None = None,
    inputs: Sequence[str] = (),
    target: str | None = None,
    group: str | None = None,
    id: str | None = None,
    time: str | None = None,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    encoding: str | None = None,
) -> Source:
    """Reads a built-in set, a file or a folder to learn from.

    Args:
        data: name of a built-in set, or path. A name that is both is the built-in set; write `./digits` for the path.
        task: what the targets are for; None: `targets.task_of` finds out.
        inputs: input columns of a table; empty: recognised.
        target: target column; None: recognised. For lines `COARSE:fine text`: `coarse` (default), `fine` or `label` (both).
        group: column whose rows stay together in a split.
        id: column that says which series a row belongs to (long layout).
        time: column that orders the rows of a series (long layout).
        valid: file or folder of the validation part; None: what the files fix, if anything.
        test: file or folder of the test part; None: likewise.
        encoding: of text files; None: recognised.

    Raises:
        DataError: whatever is wrong with the files; one line that names the place and the remedy.
        UsageError: a column given twice, or an encoding for what is no text.
        JobError: a file that cannot be read for reasons outside it.
    """
    how = _How(Columns(tuple(inputs), target, group, id, time), True, encoding)
    if isinstance(data, str) and builtin.known(data):
        if encoding is not None:
            raise UsageError("encoding", tr("only files have an encoding"), tr("leave it out"))
        source = builtin.load(data)
    else:
        place = locate(_existing(data))
        if place.is_dir():
            source = _folder(place, how)
        else:
            wanted = [part for part, path in (("valid", valid), ("test", test)) if path is None]
            source = _with_partners(place, _siblings(data, place), how, wanted)
        if encoding is not None and (_PACKED.search(place.name) or (source.train.kind in ("image", "audio") and not source.columns.layout)):
            raise UsageError("encoding", tr("only text files have an encoding"), tr("leave it out"))
    if how.columns != RECOGNISE and not source.columns.layout:
        raise UsageError(
            str(data), tr("columns are named, but only tables have columns"), tr("leave --input, --target, --group, --id and --time out")
        )
    source = replace(source, columns=replace(source.columns, encoding=encoding))
    given = {part: read_part(path, source.columns, True) for part, path in (("valid", valid), ("test", test)) if path is not None}
    source = replace(source, **given)
    for part in (source.valid, source.test):
        if part is not None:
            _check_alike(source.train, part)
    if task is None:
        return source
    others = {part: as_task(examples, task) for part, examples in (("valid", source.valid), ("test", source.test)) if examples is not None}
    return replace(source, train=as_task(source.train, task), **others)


def read_part(path: str | Path, columns: Columns = RECOGNISE, labelled: bool = False) -> Examples:
    """Reads one file or folder as it is, to predict or to evaluate: no partner file is looked for.

    Args:
        path: file, or folder (of a folder with a test part, that part).
        columns: as found when the training data were read (`Source.columns`).
        labelled: whether targets are needed; False: they are taken where they are recognised for sure.

    Raises:
        DataError: as for `read`.
    """
    how = _How(columns, labelled, columns.encoding)
    place = locate(path)
    if place.is_dir():
        source = _folder(place, how)
        return source.test or source.train
    return _file(place, _siblings(path, place), how).train


def read_bytes(data: bytes, name: str = "stdin", columns: Columns = RECOGNISE, labelled: bool = False) -> Examples:
    """Reads rows that did not come from a file, such as standard input; arguments as for `read_part`.

    Raises:
        DataError: as for `read`.
    """
    return _content(unpacked(name, data), _How(columns, labelled, columns.encoding), None)[0]


def _existing(data: str | Path) -> str | Path:
    """The path; if nothing is there and the name is like that of a built-in set, says so."""
    if isinstance(data, str) and not Path(data).expanduser().exists() and re.fullmatch(r"[\w-]+", data):
        builtin.describe(data)
    return data


def _siblings(data: str | Path, place: Traversable) -> list[Traversable]:
    """The files beside a file; a packed one has none."""
    parent = Path(data).expanduser().absolute().parent
    return data_files(parent) if isinstance(place, Path) else [place]


def _with_partners(place: Traversable, beside: Sequence[Traversable], how: _How, wanted: Sequence[str] = ("valid", "test")) -> Source:
    """A file, and the files called alike for the other parts; one without the target (a contest's test file) is said and left."""
    source = _file(place, beside, how)
    if source.test is not None or IDX.search(place.name):
        return source
    again = how._replace(columns=source.columns)
    for part in wanted:
        partner = partner_of(place.name, part, beside)
        if partner is None or (part == "valid" and source.valid is not None):
            continue
        try:
            found = _file(partner, beside, again).train
        except UnknownColumn as error:
            source = replace(
                source,
                train=_said(
                    source.train,
                    tr("{name}: not taken as {part} part ({error})", name=partner.name, part=called(part), error=error.message),
                ),
            )
            continue
        found = _said(found, tr("{name}: taken as the {part} part", name=partner.name, part=called(part)))
        source = replace(source, valid=found) if part == "valid" else replace(source, test=found)
    return source


def _file(place: Traversable, beside: Sequence[Traversable], how: _How) -> Source:
    """The parts in one file, partners apart."""
    title = title_of(place.name)
    if _FOREIGN.search(re.sub(r"(?i)\.gz$", "", place.name)):
        raise DataError(place.name, tr("files of this kind are not read; expected {read}", read=_READ), tr("convert it to one of them"))
    if IDX.search(place.name):
        return idx_source(title, beside, place)
    if PICTURE.search(place.name):
        if how.labelled:
            raise DataError(place.name, tr("one picture without a label"), tr("give the folder that has one folder of pictures a class"))
        return Source(title, loose_pictures(title, [place]))
    if SOUND.search(place.name):
        if how.labelled:
            raise DataError(
                place.name, tr("one recording without a label"), tr("give the folder that has one folder of recordings a class")
            )
        return Source(title, loose_sounds(title, [place]))
    source = content(place)
    if source.plain.endswith(".npz") or source.data.startswith(b"PK\x03\x04"):
        return npz_source(source, title, how.labelled)
    folder = place.parent if isinstance(place, Path) else None
    examples, columns = _content(source, how, folder)
    return Source(title, examples, columns=columns)


def _content(source: Content, how: _How, folder: Traversable | None) -> tuple[Examples, Columns]:
    """Unpacked bytes of a table, of a `.ts` file, of a recording or of lines -> examples and how they were read."""
    if is_sound(source.data) and not how.labelled:
        recorded = sound(source.data, source.name)
        return Examples("audio", [recorded], None, [source.name], notes=sound_notes(source.name, [recorded])), how.columns
    if source.data.startswith((b"PAR1", b"ARROW1")) or source.plain.endswith((".parquet", ".pq", ".arrow", ".feather", ".ipc")):
        return examples_of(replace(read_arrow(source), folder=folder), how.columns, how.labelled)
    if source.plain.endswith(".ts"):
        return read_ts(source, how.labelled, how.encoding), how.columns
    text, found = decode(source, how.encoding)
    notes = tuple(tr("{name}: {note}", name=source.name, note=note) for note in found)
    if not text.strip():
        raise DataError(source.name, tr("the file is empty"), tr("give a file with data"))
    if re.search(r"(?im)^@(problemname|classlabel|targetlabel|data)\b", text[:10_000]):
        return read_ts(source, how.labelled, how.encoding), how.columns
    table = _table(source, text, notes, how)
    if table.columns[:2] == ("label", "text") and how.columns.target is None and "coarse" in table.columns:
        counts = len(set(table.column("coarse"))), len(set(table.column("label")))
        said = tr(
            "{name}: labels are COARSE:fine; learning the {coarse} coarse ones (--target label for all {fine})",
            name=source.name,
            coarse=counts[0],
            fine=counts[1],
        )
        table = replace(table, notes=(*table.notes, said))
        how = how._replace(columns=replace(how.columns, target="coarse", inputs=("text",)))
    examples, columns = examples_of(replace(table, folder=folder), how.columns, how.labelled)
    if table.columns[:2] == ("label", "text") and columns.layout == "text" and not columns.labels:
        columns = replace(columns, labels=tuple(sorted(set(table.column("label")))))
    return examples, columns


def _table(source: Content, text: str, notes: tuple[str, ...], how: _How) -> Table:
    """The table in a text: by the name of the file, else by what the first lines look like."""
    if source.plain.endswith((".jsonl", ".ndjson", ".json")) or re.match(r"\s*(\{\s*\"|\[\s*[\[{\"\d-])", text):
        return read_jsonl(source, text, notes)
    delimiter = delimiter_of(text, source.plain)
    if delimiter is None and source.plain.endswith(".csv") and '"' in text:  # one column of quoted cells
        delimiter = ","
    if source.plain.endswith((".csv", ".tsv", ".tab")) or _is_table(text, delimiter, how):
        return read_delimited(source, text, delimiter, notes)
    named = how.columns.labels
    if (how.labelled and (named or has_labels(text))) or (named and begins_with(text, named)):
        return labelled_table(source.name, text, notes, how.columns.target in ("coarse", "fine"))
    if how.labelled:
        remedy = tr("write LABEL, a blank and the text on each line, or give a folder with one file a class")
        raise DataError(source.name, tr("neither a table nor lines that begin with a label"), remedy)
    return text_table(source.name, text, notes)


def _is_table(text: str, delimiter: str | None, how: _How) -> bool:
    """Whether lines without a telling name are rows of a table: numbers, tabs, well-known names over them, or the same commas in many."""
    if delimiter is None or (not how.labelled and how.columns.layout == "text" and delimiter != "\t"):
        return False
    head = [line for line in text[:100_000].split("\n") if line.strip()][:50]
    rows = [line.split() if delimiter == " " else line.strip("\r").split(delimiter) for line in head]
    if len({len(row) for row in rows}) != 1:
        return False
    numeric = all(is_number(cell) or is_missing(cell) for row in rows[1:] or rows for cell in row[1:-1] or row)
    return delimiter in " \t" or len(rows) >= _REGULAR or numeric or has_header([cell.strip() for cell in rows[0]], rows[1:])


def _folder(folder: Traversable, how: _How) -> Source:
    """What a folder holds: parts, classes, idx files, a training file with its partners, or one file."""
    entries = data_files(folder)
    files, folders = [entry for entry in entries if entry.is_file()], [entry for entry in entries if entry.is_dir()]
    if not entries:
        raise DataError(folder.name, tr("the folder is empty"), tr("give a folder with data"))
    if any(IDX.search(file.name) for file in files):
        return idx_source(folder.name, files)
    roles = {role: entry for entry in folders if (role := role_of(entry.name, whole=True)) is not None}
    if "train" in roles:
        return _part_folders(folder.name, roles, how)
    empty = [entry for entry in folders if not data_files(entry)]
    classes = [entry for entry in folders if is_class_folder(entry)]
    if classes and not files and len(classes) + len(empty) == len(folders):
        if empty:
            raise DataError(
                folder.name,
                tr("the folder of class {title!r} is empty", title=empty[0].name),
                tr("put files into it, or remove it"),
            )
        return Source(folder.name, class_folders(folder.name, folders, how.encoding))
    if files and not folders and all(PICTURE.search(file.name) for file in files) and not how.labelled:
        return Source(folder.name, loose_pictures(folder.name, files))
    if files and not folders and all(SOUND.search(file.name) for file in files):
        return named_sounds(folder.name, files) if how.labelled else Source(folder.name, loose_sounds(folder.name, files))
    return _folder_of_files(folder, files, folders, how)


def _part_folders(name: str, parts: dict[str, Traversable], how: _How) -> Source:
    train = _folder(parts["train"], how)
    again = how._replace(columns=train.columns)
    others = {part: _folder(parts[part], again).train for part in ("valid", "test") if part in parts}
    return replace(train, name=name, **others)


def _folder_of_files(folder: Traversable, files: Sequence[Traversable], folders: Sequence[Traversable], how: _How) -> Source:
    if any(map(_is_tabular, files)):  # pictures and recordings beside a table are what its cells name
        files = [file for file in files if not is_media(file)]
    foreign = [file for file in files if _FOREIGN.search(file.name)]
    if foreign and len(foreign) == len(files):
        raise DataError(
            folder.name,
            tr("files such as {foreign} are not read; expected {read}", foreign=foreign[0].name, read=_READ),
            tr("convert them to one of these"),
        )
    if not files:
        listing = ", ".join(entry.name for entry in folders[:8])
        raise DataError(
            folder.name,
            tr(
                "{count} folders, no data file: {listing}{more}",
                count=len(folders),
                listing=listing,
                more=" ..." if len(folders) > 8 else "",
            ),
            tr("name one, for example {folder}/{name}", folder=folder.name, name=folders[0].name),
        )
    train = [file for file in files if role_of(file.name) == "train"]
    if not train and len(files) == 1 and role_of(files[0].name) is None:
        train = list(files)
    if len(train) == 1:
        return replace(_with_partners(train[0], files, how), name=folder.name)
    classes = classes_of(files) if not train and not any(role_of(file.name) for file in files) else None
    if classes is not None and not foreign and not any(map(_is_tabular, files)):
        return Source(folder.name, class_files(folder.name, classes, how.encoding))
    listing = ", ".join(file.name for file in files[:8]) + (" ..." if len(files) > 8 else "")
    if not train and any(role_of(file.name) for file in files):
        raise DataError(
            folder.name,
            tr("a test part without its training part: {listing}", listing=listing),
            tr("put the training file beside it, or name one file"),
        )
    what = tr("{count} training files", count=len(train)) if train else tr("{count} files", count=len(files))
    raise DataError(
        folder.name,
        tr("{what}, and it is not clear which to read: {listing}", what=what, listing=listing),
        tr("name one, for example {folder}/{name}", folder=folder.name, name=(train or files)[0].name),
    )


def _is_tabular(file: Traversable) -> bool:
    return bool(re.search(r"(?i)\.(csv|tsv|tab|jsonl?|ndjson|parquet|pq|arrow|feather|ipc|npz|ts)(\.gz)?$", file.name))


def _said(examples: Examples, note: str) -> Examples:
    return replace(examples, notes=(*examples.notes, note))


def _check_alike(train: Examples, other: Examples) -> None:
    """Whether two parts hold the same kind of input, with the same channels."""
    if train.kind != other.kind:
        raise DataError(
            other.names[0],
            tr("expected {wanted} as in the training part, got {got}", wanted=train.kind, got=other.kind),
            tr("give parts of one kind"),
        )
    if train.kind in ("series", "image") and train.inputs[0].shape[-1] != other.inputs[0].shape[-1]:
        channels = train.inputs[0].shape[-1], other.inputs[0].shape[-1]
        raise DataError(
            other.names[0],
            tr("expected {wanted} channels as in the training part, got {got}", wanted=channels[0], got=channels[1]),
            tr("give parts with the same channels"),
        )
