"""Picture files -> arrays, through Pillow. Knows no folder and no label."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError
from convrnn.core.language import tr

PICTURE = re.compile(r"(?i)\.(png|jpe?g|bmp|gif|tiff?|webp|pgm|ppm)$")
"""Names of picture files."""


class Read(NamedTuple):
    """A picture, and what was done to it that is worth saying."""

    pixels: NDArray[Any]
    deep: bool = False
    over_white: bool = False


def pictures(name: str, files: Iterable[tuple[bytes, str]]) -> tuple[list[NDArray[Any]], tuple[str, ...]]:
    """Pictures as stored, with one number of channels, turned upright as the camera says, and what to tell the user.

    Args:
        name: of the whole, for what is told.
        files: what each file holds, and where it stands.

    Returns:
        `[H, W, 1]` grey or, if any is in colour, `[H, W, 3]`: uint8, or float32 in 0..255 of 16 bits, which keep their precision and mean
        the same as bytes do; and the notes.

    Raises:
        DataError: Pillow is not installed; a file is damaged, or has pixels without a known full scale.
    """
    read = [_picture(data, where) for data, where in files]
    total, grey = len(read), sum(each.pixels.shape[-1] == 1 for each in read)
    deep, clear = sum(each.deep for each in read), sum(each.over_white for each in read)
    notes: list[str] = []
    if clear:
        notes.append(
            tr("{name}: {count} of {all} pictures are transparent in places; they are read over white", name=name, count=clear, all=total)
        )
    if 0 < deep < total:
        notes.append(
            tr("{name}: {count} of {all} pictures have 16 bits, the rest 8; all are read in 0..255", name=name, count=deep, all=total)
        )
    if grey in (0, total):
        return [each.pixels for each in read], tuple(notes)
    notes.append(
        tr("{name}: {grey} of {all} pictures are grey, the rest in colour; all are read as colour", name=name, grey=grey, all=total)
    )
    return [each.pixels.repeat(3, axis=-1) if each.pixels.shape[-1] == 1 else each.pixels for each in read], tuple(notes)


def _picture(data: bytes, where: str) -> Read:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise DataError(where, tr("pictures need Pillow, which is not installed"), tr("pip install 'convrnn[train]'")) from error
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode[0] in "IF":
                return _deep(np.asarray(image), image.info.get("transparency"), where)
            clear = image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255)
            grey = image.mode in ("1", "L", "La", "LA")
            if clear:  # the colours under what is transparent are whatever a program left there, mostly black
                ground = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(ground, image.convert("RGBA"))
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            where, tr("expected a picture, got {got} bytes that are none or damaged", got=len(data)), tr("replace or remove the file")
        ) from error
    return Read(pixels[..., None] if grey else pixels, over_white=clear)


def _deep(values: NDArray[Any], transparent: int | None, where: str) -> Read:
    """A grey picture of 16 bits, in units of bytes."""
    if values.dtype.kind == "f" or not 0 <= values.min(initial=0) <= values.max(initial=0) <= 65535:
        raise DataError(
            where,
            tr("expected pixels of 8 or 16 bits, got {got}, whose full scale the file does not say", got=values.dtype),
            tr("save it with 16 bits, or give arrays (.npz)"),
        )
    clear = values == transparent
    pixels = np.where(clear, 255.0, values / 257.0).astype(np.float32)
    return Read(pixels[..., None], True, bool(clear.any()))
