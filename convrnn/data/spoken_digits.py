"""The Free Spoken Digit Dataset from a cache or from where its authors keep it, checked against one digest. Knows no model.

Jackson, Souza, Flaks, Pan, Nicolas & Thite 2018, github.com/Jakobovski/free-spoken-digit-dataset, at the commit of 2024-05-02: 3,000
recordings at 8 kHz, six speakers, CC BY-SA 4.0. `named_sounds.py` says how its names fix the parts.
"""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request
import zipfile
from importlib.resources.abc import Traversable
from pathlib import Path

from convrnn.core.errors import JobError
from convrnn.core.files import write
from convrnn.core.language import tr
from convrnn.data.examples import Source
from convrnn.data.folders import named_sounds
from convrnn.data.opening import data_files

NAME = "fsdd"

ARCHIVE = "https://codeload.github.com/Jakobovski/free-spoken-digit-dataset/zip/26eb9aaf76e81b692f806f9140c2d2777410d7a1"

DIGEST = "45a9b976ba3397a2fd5c70a9f2e43c34f442a3a6be47392ecfc41174b678f37e"
"""SHA-256 over the recordings in order of their names, each name before its bytes: however they are packed, it is the same."""


def load(folder: Path) -> Source:
    """The set, from `recordings.zip` in a folder; it is fetched where it is not there.

    Raises:
        JobError: it is not there and cannot be fetched, or it is not the set.
    """
    place = folder / "recordings.zip"
    if not place.exists():
        _fetch(place)
    found = _recordings(place.read_bytes())
    if found is None:
        raise JobError(str(place), tr("is not the Free Spoken Digit Dataset"), tr("remove it, and it is fetched again"))
    return named_sounds(NAME, data_files(found))


def _fetch(place: Path) -> None:
    remedy = tr(
        "put a zip of the folder recordings of github.com/Jakobovski/free-spoken-digit-dataset there: {place}, or name one as DATA",
        place=place,
    )
    try:
        with urllib.request.urlopen(ARCHIVE, timeout=60) as response:
            packed = response.read()
    except (urllib.error.URLError, OSError) as error:
        raise JobError(NAME, tr("could not be downloaded ({error})", error=error), remedy) from error
    if _recordings(packed) is None:
        raise JobError(NAME, tr("what was downloaded has another checksum and was not kept"), remedy)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JobError(
            str(place.parent),
            tr("could not be made: {error}", error=error.strerror),
            tr("set CONVRNN_CACHE to a folder that can be written"),
        ) from error
    write(place, packed)


def _recordings(packed: bytes) -> Traversable | None:
    """The folder of recordings in an archive; None: there is none, or it holds something else."""
    try:
        top = zipfile.Path(zipfile.ZipFile(io.BytesIO(packed)))
        folders = [entry / "recordings" for entry in (top, *(each for each in top.iterdir() if each.is_dir()))]
        found = next((folder for folder in folders if folder.is_dir()), None)
        return found if found is not None and digest(found) == DIGEST else None
    except zipfile.BadZipFile:
        return None


def digest(folder: Traversable) -> str:
    """See `DIGEST`."""
    total = hashlib.sha256()
    for file in data_files(folder):
        total.update(file.name.encode())
        total.update(file.read_bytes())
    return total.hexdigest()
