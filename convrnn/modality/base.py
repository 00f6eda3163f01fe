"""What every modality is: raw inputs -> arrays of frames, with what was learned from the training part kept in a record.

Knows no file, no batch and no model. Nothing here needs torch: an encoder runs wherever numpy does.

Shape legend: T frames, C channels, W and H width and height of a picture; time runs along W.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError, NotStreamable, SpecError, UsageError
from convrnn.core.language import tr
from convrnn.core.spec import Record, registered

if TYPE_CHECKING:
    from convrnn.core.seq import Ids

Floats = NDArray[np.float32]
"""Encoded frames of a series `[T, C]`, a recording `[T, mels]` or a picture `[W, H, C]`."""

Encoded = NDArray[Any]
"""float32 frames, or int64 ids `[T]`."""


class Examples(Protocol):
    """What a modality needs to know of one part; `convrnn.data.Examples` is one."""

    @property
    def inputs(self) -> Sequence[Any]:
        """One raw input a row."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Where each row stands, `file:row`; errors begin with it."""
        ...

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of a series; empty: they have none."""
        ...


class LiveEncoder(Protocol):
    """One live input; `Modality.stream()` opens it."""

    def push(self, raw: Any, name: str = "input") -> Encoded:
        """The next piece, encoded; raises `DataError` where it cannot be used."""
        ...


class Modality(Record, ABC):
    """How raw inputs of one kind become frames.

    The fields are of two sorts: what the user chooses, which have defaults, and what `fit` learns from the training part, which are empty
    until then. The fitted record is all that prediction needs; it is stored in the run's `model.json`.
    """

    family = "modality"
    choices: ClassVar[tuple[str, ...]] = ()
    """The fields that the user chooses; the others are learned."""

    @classmethod
    def fit(cls, examples: Examples, options: Self | None = None) -> Self:
        """Learns from the training part, and from nothing else.

        Args:
            examples: the training part.
            options: a record of this class whose choices to follow (what it has learned, if anything, is ignored); None: the defaults.

        Raises:
            DataError: a row that cannot be used, by name; or nothing to learn from.
            SpecError: the options are for another kind of input.
        """
        if options is not None and not isinstance(options, cls):
            raise SpecError(
                cls.family,
                tr("expected options for {name}, the kind of the inputs, got {got!r}", name=cls.name, got=options.name),
                tr("give {name} options", name=cls.name),
            )
        fitted = (options or cls())._learn(examples)
        assert fitted.fitted, fitted
        return fitted

    @property
    @abstractmethod
    def fitted(self) -> bool:
        """Whether it has learned what `encode` needs."""

    @abstractmethod
    def shape(self) -> tuple[int, ...] | Ids:
        """What a frame looks like, for `spec.build`: `(C,)`, `(H, C)` or `Ids(n)`."""

    @abstractmethod
    def encode(self, raw: Any, name: str = "input") -> Encoded:
        """One raw input -> its frames; a pure function, without augmentation.

        Args:
            raw: as in `Examples.inputs`.
            name: what to call it in an error.

        Raises:
            DataError: it cannot be used.
            UsageError: nothing has been learned yet.
        """

    @abstractmethod
    def describe(self) -> str:
        """One line for people: what was chosen and what was learned."""

    @abstractmethod
    def notes(self, examples: Examples) -> tuple[str, ...]:
        """What encoding these rows does that their owner should know of (filled, cut, unknown), counted; sentences without a full stop."""

    @abstractmethod
    def _learn(self, examples: Examples) -> Self: ...

    def stream(self) -> LiveEncoder:
        """What encodes a live input a piece after the other, to the frames that `encode` makes of the whole.

        Raises:
            NotStreamable: this kind of input, or what was chosen for it, is encoded whole only.
        """
        raise NotStreamable(
            self.name,
            tr("cannot stream: only series are encoded piece by piece"),
            tr("give `encode` the whole row, or a stream of recordings the samples as they are"),
        )

    def front(self) -> dict[str, Any] | None:
        """The layer that makes the same frames of a live signal, as its stored form; None: frames are made by `encode` alone."""
        return None

    @property
    def masks(self) -> int:
        """How many of the last channels are masks (1: the value was missing) rather than measurements."""
        return 0

    def encode_all(self, inputs: Sequence[Any] | NDArray[Any], names: Sequence[str] | None = None) -> Encoded | list[Encoded]:
        """Every input encoded: one stacked array `[N, T, ...]` where all come out in one shape, else a list.

        Row i equals `encode(inputs[i])` bit for bit.

        Args:
            inputs: raw inputs, or one stacked array of them.
            names: what to call them in an error; None: `input 1`, `input 2`, ...

        Raises:
            DataError: the first row that cannot be used.
        """
        return stacked([self.encode(raw, row_name(names, row)) for row, raw in enumerate(inputs)])

    def encode_examples(self, examples: Examples) -> Encoded | list[Encoded]:
        """`encode_all` of a part, its channels first brought into the order that was learned.

        Raises:
            DataError: a row that cannot be used, or a channel that is missing.
        """
        return self.encode_all(examples.inputs, examples.names)

    def require_fitted(self) -> None:
        """Raises `UsageError` where nothing has been learned yet."""
        if not self.fitted:
            raise UsageError(self.name, tr("has learned nothing yet"), tr("use {name}.fit(training_part)", name=type(self).__name__))


class Collated(NamedTuple):
    """A batch of floats before it becomes tensors.

    Attributes:
        values: `[B, T, ...]`, zero beyond a row's length.
        lengths: int64 `[B]`; None: every row has T frames.
        targets: float32 `[B, K]`: one-hot labels (or weights of labels), or K numbers.
    """

    values: Floats
    lengths: NDArray[np.int64] | None
    targets: Floats


class Augmentation(Record):
    """A random change of encoded training rows that does not change what they mean.

    Off unless asked for; the identity at strength 0; keeps dtype and finiteness, and never writes into its input. All chance comes from the
    generator given, so the same generator state gives the same change.

    Attributes:
        kinds: the kinds of input it is for.
    """

    family = "augmentation"
    kinds: ClassVar[tuple[str, ...]] = ()

    def before(self, raw: Any, rng: np.random.Generator) -> Any:
        """One raw input, changed before it is encoded; most augmentations act on what is encoded and return it as it is."""
        return raw

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """One encoded row, changed.

        Args:
            array: series `[T, C]`, ids `[T]`, recording `[T, mels]` or picture `[W, H, C]`.
            rng: where chance comes from.
            masks: how many of a series' last channels are masks, which take no noise (`Modality.masks`).
        """
        return array

    def mix(self, batch: Collated, rng: np.random.Generator) -> Collated:
        """A batch whose rows are mixed with each other; most augmentations act on single rows and return it as it is."""
        return batch


def modality_for(kind: str) -> type[Modality]:
    """The modality of a kind of input.

    Raises:
        SpecError: there is none of that name.
    """
    known = registered(Modality.family)
    if kind not in known:
        raise SpecError(Modality.family, tr("unknown kind {kind!r}", kind=kind), tr("known: {names}", names=", ".join(known)))
    found = known[kind]
    assert issubclass(found, Modality)
    return found


def row_name(names: Sequence[str] | None, row: int) -> str:
    """What to call a row in an error."""
    return names[row] if names is not None else f"input {row + 1}"


def stacked(arrays: list[Encoded]) -> Encoded | list[Encoded]:
    """One array where all have the same shape (and there are any), else the list."""
    return np.stack(arrays) if arrays and all(array.shape == arrays[0].shape for array in arrays) else arrays


def numbers(raw: Any, name: str, what: str) -> NDArray[Any]:
    """An array of real numbers.

    Raises:
        DataError: it holds something else, or rows of unequal length.
    """
    try:
        array = np.asarray(raw)
    except ValueError as error:  # numpy's words for a ragged nested list
        raise DataError(
            name, tr("expected {wanted}, got rows of unequal length", wanted=what), tr("make every frame as wide as the others")
        ) from error
    if array.dtype.kind not in "buif":
        raise DataError(name, tr("expected {wanted}, got values of type {got}", wanted=what, got=array.dtype), tr("give numbers only"))
    return array.astype(np.uint8) if array.dtype.kind == "b" else array
