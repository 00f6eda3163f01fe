"""Pictures -> float32 `[W, H, C]` with time along the width: range and mean learned from the training part, heights made equal on request.

Knows no file format and no model. A line of handwriting or print is a sequence from left to right; so is, column by column, any picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from convrnn.core.errors import DataError, SpecError
from convrnn.core.language import tr
from convrnn.core.spec import register
from convrnn.core.terms import part_named
from convrnn.modality.base import Encoded, Examples, Floats, Modality, numbers
from convrnn.modality.resample import resize

# Brightness of red, green and blue (ITU-R BT.601), as in every "convert to grey".
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@register("image")
class Image(Modality):
    """Grey and colour pictures, of any widths.

    A pixel x of colour c becomes `(x - offset_c) / spread_c`.

    Attributes:
        height: pictures are brought to this height, their width in proportion (unequal widths are unequal lengths); None: they stay as they
            are, and must all have one height.
        scale: `unit`: what training uses lies in 0..1 (bytes and fractions of them: 0..255, unless training stays within their lower
            half, as in digits of 0..16; otherwise least to largest, where 0..1 stays as it is). `standard`: mean 0 and standard deviation 1
            over all training pixels of a colour. `none`: as they are.
        high: learned; pixels along the height.
        offsets, spreads: learned; one a colour (1: grey, 3: red, green, blue; other numbers are taken as they come).
        whole: learned; training pixels are whole numbers, so that a picture of fractions 0..1 would be taken for black, and is refused.
        largest: learned; the largest training pixel.

    Example:
        >>> import numpy as np
        >>> image = Image(high=2, offsets=(0.0,), spreads=(255.0,), whole=True, largest=255.0)
        >>> image.encode(np.array([[0, 255, 0], [51, 0, 0]], dtype=np.uint8))[:, :, 0].round(3).tolist()
        [[0.0, 0.2...], [1.0, 0.0], [0.0, 0.0]]
    """

    choices = ("height", "scale")

    height: Annotated[int, Field(ge=1)] | None = field(default=None, kw_only=False)
    scale: Literal["unit", "standard", "none"] = "unit"
    high: int = 0
    offsets: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    whole: bool = True
    largest: float = 0.0

    def check(self) -> None:
        """What was learned fits together."""
        if len(self.offsets) != len(self.spreads):
            raise SpecError(
                "image.offsets",
                tr("expected one a colour, got {got} for {spreads} spreads", got=len(self.offsets), spreads=len(self.spreads)),
            )
        if any(not spread > 0 for spread in self.spreads):
            raise SpecError("image.spreads", tr("expected numbers above 0, got {got}", got=min(self.spreads)))

    @property
    def fitted(self) -> bool:
        """See `Modality.fitted`."""
        return bool(self.offsets)

    def shape(self) -> tuple[int, ...]:
        """`(H, C)`."""
        return (self.high, len(self.offsets))

    def encode(self, raw: Any, name: str = "input") -> Floats:
        """Pixels `[H, W]` or `[H, W, C]` -> float32 `[W, H, C]`; see `Modality.encode`.

        A colour picture turns grey for a grey model; a grey one is all three colours of a colour model.
        """
        self.require_fitted()
        pixels_HWC = _pixels(raw, name)
        self._require_units(pixels_HWC, name)
        pixels_HWC = _recoloured(pixels_HWC, len(self.offsets), name)
        high, wide = pixels_HWC.shape[:2]
        if high != self.high:
            if self.height is None:
                raise DataError(name, tr("expected a picture {high} pixels high, got {got}", high=self.high, got=high), _HEIGHT_REMEDY)
            pixels_HWC = resize(pixels_HWC, self.high, max(round(wide * self.high / high), min(wide, 1)))
        with np.errstate(over="ignore"):
            encoded = self._scaled(pixels_HWC[None])[0]
        if not np.isfinite(encoded).all():
            raise DataError(
                name,
                tr("a pixel of {value:g} is too far from those of training to be scaled", value=np.abs(pixels_HWC).max()),
                tr("mend the picture"),
            )
        return encoded

    def encode_all(self, inputs: Sequence[Any] | NDArray[Any], names: Sequence[str] | None = None) -> Encoded | list[Encoded]:
        """See `Modality.encode_all`; pictures of bytes, all of the shape that training had, are scaled thousands at a time."""
        self.require_fitted()
        if not self._alike(inputs):
            return super().encode_all(inputs, names)
        wide = np.asarray(inputs[0]).shape[1]
        encoded_NWHC = np.empty((len(inputs), wide, self.high, len(self.offsets)), dtype=np.float32)
        step = _at_a_time(encoded_NWHC[0].size)
        for start in range(0, len(inputs), step):
            block = np.asarray(inputs[start : start + step])
            encoded_NWHC[start : start + step] = self._scaled(block.reshape(len(block), self.high, wide, -1))
        return encoded_NWHC

    def describe(self) -> str:
        """See `Modality.describe`."""
        self.require_fitted()
        colours = {1: tr("grey"), 3: tr("colour")}.get(len(self.offsets), tr("{count} colours", count=len(self.offsets)))
        resized = "" if self.height is None else tr(", resized with their width in proportion")
        how = {"unit": "0..1", "standard": tr("mean 0, standard deviation 1"), "none": tr("as they are")}[self.scale]
        return tr(
            "pictures, {colours}, {high} pixels high{resized}; time runs along the width; pixels: {how}",
            colours=colours,
            high=self.high,
            resized=resized,
            how=how,
        )

    def notes(self, examples: Examples) -> tuple[str, ...]:
        """Pictures that are resized, turned grey or turned to colour. See `Modality.notes`."""
        self.require_fitted()
        shapes = [_pixels(raw, examples.names[row]).shape for row, raw in enumerate(examples.inputs)]
        resized = sum(shape[0] != self.high for shape in shapes)
        recoloured = sum(shape[2] != len(self.offsets) for shape in shapes)
        said = [tr("pictures resized to {high} pixels of height: {count:,}", high=self.high, count=resized)] if resized else []
        if recoloured:
            grey = len(self.offsets) == 1
            said.append(
                tr("pictures turned grey: {count:,}", count=recoloured)
                if grey
                else tr("pictures turned to colour: {count:,}", count=recoloured)
            )
        return tuple(said)

    def _learn(self, examples: Examples) -> Self:
        pictures = [_pixels(raw, examples.names[row]) for row, raw in enumerate(examples.inputs)]
        if not any(picture.size for picture in pictures):
            raise DataError(
                tr("{part} part", part=part_named("train")), tr("expected at least one pixel, got none"), tr("give rows that hold pictures")
            )
        high = self.height or pictures[0].shape[0]
        colours = max(picture.shape[2] for picture in pictures)
        for row, picture in enumerate(pictures):
            if self.height is None and picture.shape[0] != high:
                wanted = tr("expected a picture {high} pixels high, as {name} is", high=high, name=examples.names[0])
                raise DataError(examples.names[row], tr("{wanted}, got {got}", wanted=wanted, got=picture.shape[0]), _HEIGHT_REMEDY)
            pictures[row] = _recoloured(picture, colours, examples.names[row])
        least = float(min(block.min() for block in _blocks(pictures)))
        largest = float(max(block.max() for block in _blocks(pictures)))
        whole = all(_whole(block) for block in _blocks(pictures))
        low, spread = 0.0, 1.0
        if self.scale == "unit":
            low, spread = _unit(least, largest, whole, all(picture.dtype == np.uint8 for picture in pictures))
        offsets, spreads = np.full(colours, low), np.full(colours, spread)
        if self.scale == "standard":
            offsets, spreads = _standard(pictures)
        return replace(self, high=high, offsets=tuple(offsets.tolist()), spreads=tuple(spreads.tolist()), whole=whole, largest=largest)

    def _scaled(self, pixels_NHWC: NDArray[Any]) -> Floats:
        turned = pixels_NHWC.transpose(0, 2, 1, 3).astype(np.float32, order="C")
        turned -= np.array(self.offsets, dtype=np.float32)
        turned /= np.array(self.spreads, dtype=np.float32)
        return turned

    def _alike(self, inputs: Sequence[Any] | NDArray[Any]) -> bool:
        """Whether all are byte pictures of one shape that `_scaled` can take as they are."""
        if isinstance(inputs, np.ndarray):
            kinds = {(inputs.shape[1:], inputs.dtype)}
        else:
            kinds = {(raw.shape, raw.dtype) if isinstance(raw, np.ndarray) else None for raw in inputs}
        kind = kinds.pop() if len(kinds) == 1 and len(inputs) else None
        if kind is None:
            return False
        shape, dtype = kind
        return self.whole and dtype == np.uint8 and (*shape, 1)[:3] == (self.high, *shape[1:2], len(self.offsets)) and len(shape) in (2, 3)

    def _require_units(self, pixels: NDArray[Any], name: str) -> None:
        """Bytes where training had fractions, or fractions where it had bytes, would be encoded as all white or all black."""
        if not pixels.size:
            return
        if self.whole and self.largest > 1 and pixels.max() <= 1 and not _whole(pixels):
            wanted = tr("expected whole numbers up to {largest:g} as in training", largest=self.largest)
            raise DataError(name, tr("{wanted}, got fractions of 1", wanted=wanted), _UNITS_REMEDY)
        # Fractions may be a little brighter than any of training; sixteen times full scale they are none (16-bit files are 0..255).
        most = max(self.largest, 1) if pixels.dtype.kind in "ui" else 16 if self.largest <= 1 else np.inf
        if not self.whole and pixels.max() > most:
            wanted = tr("expected fractions up to {largest:g} as in training", largest=self.largest)
            raise DataError(name, tr("{wanted}, got numbers up to {got:g}", wanted=wanted, got=pixels.max()), _UNITS_REMEDY)


_UNITS_REMEDY = tr("give the pixels in the units of training")
_HEIGHT_REMEDY = tr("give height=N, the height in pixels to bring all pictures to")


# ---- raw pixels


def _pixels(raw: Any, name: str) -> NDArray[Any]:
    """`[H, W, C]` of real numbers that float32 can hold."""
    array = numbers(raw, name, tr("pixels [height, width, colours]"))
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or not array.shape[0] or not array.shape[2]:
        raise DataError(
            name,
            tr("expected pixels [height, width] or [height, width, colours], got shape {got}", got=array.shape),
            tr("give a grey or colour picture"),
        )
    if array.dtype.kind == "f" and not (np.abs(array) <= np.finfo(np.float32).max).all():
        raise DataError(name, tr("expected finite pixels, got NaN or infinity"), tr("mend the picture"))
    return array


def _recoloured(pixels_HWC: NDArray[Any], colours: int, name: str) -> NDArray[Any]:
    """The picture with another number of colours: grey to colour and back; nothing else can be guessed."""
    had = pixels_HWC.shape[2]
    if had == colours:
        return pixels_HWC
    if (had, colours) == (1, 3):
        return pixels_HWC.repeat(3, axis=2)
    if (had, colours) == (3, 1):
        grey = (pixels_HWC.astype(np.float32) @ _LUMA)[:, :, None]
        return grey.round() if pixels_HWC.dtype.kind in "ui" else grey
    raise DataError(
        name,
        tr("expected {wanted} colour(s), got {got}", wanted=colours, got=had),
        tr("save it as grey or as red, green and blue, without transparency"),
    )


def _whole(pixels: NDArray[Any]) -> bool:
    return pixels.dtype.kind in "ui" or bool((pixels == np.rint(pixels)).all())


# ---- what is learned


def _unit(least: float, largest: float, whole: bool, every_byte: bool) -> tuple[float, float]:
    """Offset and spread that bring the range of training to 0..1; see `Image.scale`."""
    if least >= 0.0 and 127 < largest <= 255 and (every_byte or not whole):  # fractions of bytes: 16 bits
        return 0.0, 255.0
    if not whole and least >= 0.0 and 0.5 < largest <= 1.0:
        return 0.0, 1.0
    return least, (largest - least) or 1.0


def _standard(pictures: Sequence[NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each colour, in float64; 1 for a colour that is constant."""
    count = sum(len(block) for block in _blocks(pictures))
    mean = sum(block.sum(axis=0, dtype=np.float64) for block in _blocks(pictures)) / count
    square = sum(np.square(block - mean).sum(axis=0) for block in _blocks(pictures)) / count
    deviation = np.sqrt(np.asarray(square))
    # A constant colour's deviation is a rounding error of its mean, not always 0.
    return np.asarray(mean), np.where(deviation > 1e-12 * np.maximum(np.abs(mean), 1e-12), deviation, 1.0)


def _blocks(pictures: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """All pixels `[P, C]`, some pictures at a time."""
    step = _at_a_time(max(picture.size for picture in pictures))
    for start in range(0, len(pictures), step):
        block = np.concatenate([picture.reshape(-1, picture.shape[2]) for picture in pictures[start : start + step]])
        if len(block):
            yield block


def _at_a_time(size: int) -> int:
    """How many pictures of so many pixels to work on at once: about 4 million pixels, so that no second copy of a whole set is made."""
    return max(1, 2**22 // max(size, 1))
