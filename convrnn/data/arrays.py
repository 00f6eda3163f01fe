"""Files of arrays: idx (the format of MNIST, LeCun et al., 1998) and NumPy's `.npz`. Knows no table, no text and no picture format.

Nothing is ever unpickled.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError
from convrnn.core.language import both, tr
from convrnn.data.examples import Examples, Kind, Source
from convrnn.data.memory import from_arrays
from convrnn.data.opening import Content, content

IDX = re.compile(r"(?i)(images|labels)[-.]idx\d+-ubyte(\.gz)?$")
"""The name of an idx file, as MNIST and its successors call theirs."""

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_INPUTS = ("x", "data", "inputs", "input", "values", "series", "images")
_TARGETS = ("y", "target", "targets", "label", "labels", "class")


def read_idx(source: Content) -> NDArray[Any]:
    """The array of an idx file.

    Raises:
        DataError: a wrong magic number, or fewer or more bytes than its sizes say.
    """
    data = source.data
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or not 1 <= data[3] <= 8:
        raise DataError(
            source.name,
            tr("expected the magic number of an idx file such as 00 00 08 03, got {got}", got=data[:4].hex(" ")),
            tr("download it again"),
        )
    rank, dtype = data[3], np.dtype(_TYPES[data[2]])
    if len(data) < 4 + 4 * rank:
        raise DataError(source.name, tr("the header is cut off"), tr("download it again"))
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    expected = 4 + 4 * rank + math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise DataError(
            source.name,
            tr("expected {wanted} bytes for sizes {sizes}, got {got}", wanted=expected, sizes=shape, got=len(data)),
            tr("download it again"),
        )
    return np.frombuffer(data, dtype, offset=4 + 4 * rank).reshape(shape)


def idx_source(name: str, files: Sequence[Traversable], chosen: Traversable | None = None) -> Source:
    """The parts that idx files form: `train-...` with `t10k-...` or `test-...`, images with labels.

    Args:
        name: of the source.
        files: what lies in the folder.
        chosen: one image file to be the training part; None: the one with `train` in its name.

    Raises:
        DataError: images without labels, labels without images, more than one training part.
    """
    images = {file.name: file for file in files if IDX.search(file.name) and "images" in file.name.lower()}
    labels = {file.name: file for file in files if IDX.search(file.name) and "labels" in file.name.lower()}
    if chosen is not None and chosen.name not in images:
        raise DataError(chosen.name, tr("these are labels"), tr("name their images, {images_of}", images_of=_images_of(chosen.name)))
    train = [file for title, file in images.items() if "train" in title.lower()] if chosen is None else [chosen]
    if not train and len(images) == 1:
        train = list(images.values())
    if len(train) != 1:
        found = ", ".join(images) or tr("none")
        raise DataError(
            name,
            tr("expected one file of training images, got {got}", got=found),
            tr("name one of them, or give the folder with the four files of MNIST"),
        )
    test = [images[title] for title in _test_names(train[0].name) if title in images]
    return Source(name, _idx_examples(train[0], labels), None, _idx_examples(test[0], labels) if test else None)


def _idx_examples(images: Traversable, labels: dict[str, Traversable]) -> Examples:
    partner = _labels_of(images.name)
    found = [file for title, file in labels.items() if re.sub(r"\.gz$", "", title) == re.sub(r"\.gz$", "", partner)]
    if not found:
        raise DataError(images.name, tr("its labels are missing: expected {partner} beside it", partner=partner), tr("put the file there"))
    x, y = read_idx(content(images)), read_idx(content(found[0]))
    if x.ndim not in (3, 4):
        raise DataError(images.name, tr("expected images [N, H, W], got sizes {got}", got=x.shape), tr("name the file of images"))
    if y.ndim != 1 or len(y) != len(x):
        raise DataError(
            found[0].name,
            tr("expected {wanted} labels, one an image, got sizes {got}", wanted=len(x), got=y.shape),
            tr("the two files are not a pair: download them again"),
        )
    x = x if x.dtype == np.uint8 else x.astype(np.float32)
    pictures = x[..., None] if x.ndim == 3 else x
    names = [f"{images.name}:{row}" for row in range(1, len(x) + 1)]
    return Examples("image", list(pictures), [str(value) for value in y.tolist()], names, target_name="label", task="classify")


def _labels_of(images: str) -> str:
    return re.sub(r"idx\d+", "idx1", re.sub(r"(?i)images", "labels", images))


def _images_of(labels: str) -> str:
    return re.sub(r"idx\d+", "idx3", re.sub(r"(?i)labels", "images", labels))


def _test_names(train: str) -> list[str]:
    stems = [re.sub(r"(?i)train", word, train) for word in ("t10k", "test")]
    names = [name for stem in stems for name in (stem, re.sub(r"\.gz$", "", stem), f"{re.sub(r'[.]gz$', '', stem)}.gz")]
    return [name for name in dict.fromkeys(names) if name != train]


def npz_source(source: Content, title: str, labelled: bool = True, kind: Kind | None = None) -> Source:
    """The parts in an `.npz` file: `X`, `x`, `data` or `inputs`, `y`, `target` or `labels`, perhaps `lengths`; or `X_train`, `y_train` ...

    Raises:
        DataError: not an `.npz` file, pickled objects in it, unknown keys, or unequal numbers of rows.
    """
    arrays = _npz_arrays(source)
    parts = {part: _npz_part(source.name, arrays, part, labelled, kind) for part in ("train", "valid", "test")}
    whole = _npz_part(source.name, arrays, "", labelled, kind)
    train = parts["train"] or whole
    if train is None:
        keys = ", ".join(sorted(arrays)) or "none"
        raise DataError(
            source.name,
            tr("expected a key X (or x, data, inputs; X_train), got {got}", got=keys),
            tr("save it as np.savez(file, X=..., y=...)"),
        )
    return Source(title, train, parts["valid"], parts["test"])


def _npz_arrays(source: Content) -> dict[str, NDArray[Any]]:
    if not source.data.startswith(b"PK"):
        raise DataError(source.name, tr("expected an .npz archive, got something else"), tr("save it with np.savez"))
    try:
        with np.load(io.BytesIO(source.data), allow_pickle=False) as loaded:
            return {key: loaded[key] for key in loaded.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise DataError(source.name, tr("the archive is damaged ({error})", error=error), tr("save it again with np.savez")) from error
    except ValueError as error:
        remedy = tr("save rows of unequal length padded to [N, T, C] with an array `lengths`, or as JSONL")
        raise DataError(source.name, tr("it holds Python objects, and pickles are never loaded"), remedy) from error


def _npz_part(name: str, arrays: dict[str, NDArray[Any]], part: str, labelled: bool, kind: Kind | None) -> Examples | None:
    find = _finder(name, arrays, part)
    x_key, y_key, lengths_key = find(_INPUTS), find(_TARGETS), find(("lengths", "length"))
    if x_key is None:
        return None
    if y_key is None and labelled:
        raise DataError(
            f"{name}:{x_key}",
            tr("expected targets under a key such as {x_key}, got none", x_key=x_key.lower().replace("x", "y")),
            tr("save it as np.savez(file, X=..., y=...)"),
        )
    return from_arrays(
        arrays[x_key],
        None if y_key is None else arrays[y_key],
        lengths=None if lengths_key is None else arrays[lengths_key],
        kind=kind,
        name=f"{name}:{x_key}",
    )


def _finder(name: str, arrays: dict[str, NDArray[Any]], part: str) -> Callable[[tuple[str, ...]], str | None]:
    endings = {"": ("",), "train": ("_train", "train"), "test": ("_test", "test"), "valid": ("_valid", "_val", "_dev", "valid", "val")}[
        part
    ]
    starts = {"": (), "train": ("train_",), "test": ("test_",), "valid": ("valid_", "val_", "dev_")}[part]

    def find(stems: tuple[str, ...]) -> str | None:
        wanted = {f"{stem}{ending}" for stem in stems for ending in endings} | {f"{start}{stem}" for stem in stems for start in starts}
        found = [key for key in arrays if key.lower() in wanted]
        if len(found) > 1:
            raise DataError(name, tr("the keys {names} play the same part", names=both(list(found))), tr("keep one of them"))
        return found[0] if found else None

    return find
