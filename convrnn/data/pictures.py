"""Picture files -> arrays, through Pillow. Knows no folder and no label."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError
from convrnn.core.language import tr

PICTURE = re.compile(r"(?i)\.(png|jpe?g|bmp|gif|tiff?|webp|pgm|ppm)$")
"""Names of picture files."""


def picture(data: bytes, where: str) -> NDArray[Any]:
    """A picture as stored, turned upright as its camera says: uint8 `[H, W, 1]` grey or `[H, W, 3]` colour; 16 bits: float32 in 0..1.

    Raises:
        DataError: Pillow is not installed, or the file is damaged.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise DataError(where, tr("pictures need Pillow, which is not installed"), tr("pip install 'convrnn[train]'")) from error
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                return np.asarray(image, np.float32)[..., None] / 65535.0
            grey = image.mode in ("1", "L", "LA")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            where, tr("expected a picture, got {got} bytes that are none or damaged", got=len(data)), tr("replace or remove the file")
        ) from error
    return pixels[..., None] if grey else pixels


def alike(name: str, pictures: Sequence[NDArray[Any]]) -> tuple[list[NDArray[Any]], tuple[str, ...]]:
    """Pictures with one number of channels: grey ones among colour ones get three equal channels, and it is said."""
    grey = sum(pixels.shape[-1] == 1 for pixels in pictures)
    if grey in (0, len(pictures)):
        return list(pictures), ()
    joined = [np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels for pixels in pictures]
    return joined, (
        tr(
            "{name}: {grey} of {all} pictures are grey, the rest in colour; all are read as colour", name=name, grey=grey, all=len(pictures)
        ),
    )
