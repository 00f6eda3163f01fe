"""Folders of classes: pictures, recordings or texts in one folder a class, or one file of lines a class; recordings whose names say what
they are. Knows no table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources.abc import Traversable
from typing import Any

from convrnn.core.errors import DataError
from convrnn.core.language import tr
from convrnn.data.examples import Examples, Source, Target
from convrnn.data.named_sounds import read_names
from convrnn.data.opening import content, data_files, decode, lines, role_of
from convrnn.data.pictures import PICTURE, pictures
from convrnn.data.sounds import SOUND, sound, sound_notes

_TEXT = re.compile(r"(?i)\.(txt|text)(\.gz)?$")


def is_class_folder(folder: Traversable) -> bool:
    """Whether a folder holds pictures, recordings or single texts only, so that its own name is their class."""
    entries = data_files(folder)
    kinds = (is_media(entry) or (_TEXT.search(entry.name) and role_of(entry.name) is None) for entry in entries)
    return bool(entries) and all(entry.is_file() for entry in entries) and all(kinds)


def class_folders(name: str, folders: Sequence[Traversable], encoding: str | None = None) -> Examples:
    """Pictures, recordings or texts in one folder a class.

    Args:
        name: of the whole, for errors.
        folders: one a class.
        encoding: of texts; None: recognised.

    Raises:
        DataError: kinds mixed, a damaged picture or recording.
    """
    files = [(folder.name, file) for folder in folders for file in data_files(folder)]
    shown, sounds = (sum(bool(ending.search(file.name)) for _, file in files) for ending in (PICTURE, SOUND))
    if len(files) not in (shown, sounds) and (shown or sounds):
        raise DataError(
            name,
            tr(
                "expected pictures, recordings or texts, got {pictures} picture(s), {sounds} recording(s) and {texts} text(s)",
                pictures=shown,
                sounds=sounds,
                texts=len(files) - shown - sounds,
            ),
            tr("keep one kind"),
        )
    targets: list[Target] = [title for title, _ in files]
    names = [f"{title}/{file.name}" for title, file in files]
    said = (tr("{name}: one folder a class, {folders}", name=name, folders=", ".join(folder.name for folder in folders[:20])),)
    if sounds:
        recorded = [sound(content(file).data, title) for title, (_, file) in zip(names, files, strict=True)]
        notes = (*said, *sound_notes(name, recorded))
        return Examples("audio", list(recorded), targets, names, target_name="folder", task="classify", notes=notes)
    if shown:
        inputs, notes = pictures(name, ((content(file).data, title) for title, (_, file) in zip(names, files, strict=True)))
        return Examples("image", list(inputs), targets, names, target_name="folder", task="classify", notes=(*said, *notes))
    texts, notes = _whole_texts([file for _, file in files], encoding)
    return Examples("text", list(texts), targets, names, target_name="folder", task="classify", notes=(*said, *notes))


def loose_pictures(name: str, files: Sequence[Traversable]) -> Examples:
    """Pictures without classes, to predict."""
    inputs, notes = pictures(name, ((content(file).data, file.name) for file in files))
    return Examples("image", list(inputs), None, [file.name for file in files], notes=notes)


def loose_sounds(name: str, files: Sequence[Traversable]) -> Examples:
    """Recordings without classes, to predict."""
    recorded = [sound(content(file).data, file.name) for file in files]
    return Examples("audio", list(recorded), None, [file.name for file in files], notes=sound_notes(name, recorded))


def named_sounds(name: str, files: Sequence[Traversable]) -> Source:
    """Recordings whose names say what they are.

    Raises:
        DataError: the names say nothing, or a recording is damaged.
    """
    named = read_names(name, [file.name for file in files])
    if named is None:
        some = ", ".join(file.name for file in files[:3])
        problem = tr("{count} recordings, and their names do not say what they are: {some}, ...", count=len(files), some=some)
        remedy = tr("put them into one folder a class, call them LABEL_INDEX.wav, or give a table with a column of file names")
        raise DataError(name, problem, remedy)
    loose = loose_sounds(name, files)
    labelled = replace(loose, targets=list(named.labels), target_name="name", task="classify", notes=(named.said, *loose.notes))
    parts = {part: labelled.subset(rows) for part, rows in named.parts.items()}
    return Source(name, parts["train"], parts.get("valid"), parts.get("test"))


def is_media(file: Traversable) -> bool:
    """Whether a file is a picture or a recording, by its name."""
    return bool(PICTURE.search(file.name) or SOUND.search(file.name))


def classes_of(files: Sequence[Traversable]) -> dict[str, Traversable] | None:
    """One file of lines a class: names that differ in one part only, such as `rt-polarity.pos.gz` and `rt-polarity.neg.gz`; else None."""
    split = [re.split(r"[._\-\s]", re.sub(r"(?i)\.gz$", "", file.name)) for file in files]
    if len(files) < 2 or len({len(parts) for parts in split}) != 1:
        return None
    varying = [place for place in range(len(split[0])) if len({parts[place] for parts in split}) > 1]
    if len(varying) != 1 or len({parts[varying[0]] for parts in split}) != len(files):
        return None
    return {parts[varying[0]]: file for parts, file in zip(split, files, strict=True)}


def class_files(name: str, files: dict[str, Traversable], encoding: str | None = None) -> Examples:
    """Lines of text, one file a class.

    Raises:
        DataError: a file that is empty or no text.
    """
    inputs: list[Any] = []
    targets: list[Target] = []
    names: list[str] = []
    notes = [tr("{name}: one file a class, {files}", name=name, files=", ".join(files))]
    for title, file in files.items():
        text, said = decode(content(file), encoding)
        notes += [tr("{name}: {note}", name=file.name, note=note) for note in said]
        for number, line in lines(text):
            inputs.append(line.strip())
            targets.append(title)
            names.append(f"{file.name}:{number}")
    return Examples("text", inputs, targets, names, target_name="label", task="classify", notes=tuple(notes))


def _whole_texts(files: Sequence[Traversable], encoding: str | None) -> tuple[list[str], tuple[str, ...]]:
    decoded = [decode(content(file), encoding) for file in files]
    counts = Counter(note for _, said in decoded for note in said)
    return [text.strip() for text, _ in decoded], tuple(
        tr("{count} files: {note}", count=count, note=note) for note, count in counts.items()
    )
