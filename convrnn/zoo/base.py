"""What a zoo entry is: a function from the fingerprint of the data to the spec of a body. Knows no model, no data and no training.

A body is all of a model but its head: the task appends `Linear(K)`, and a `GlobalPool` before it where the body still has time.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from convrnn.core.checks import wanted_by
from convrnn.core.errors import SpecError, UsageError
from convrnn.core.language import declared, either, tr
from convrnn.core.seq import Ids, Shape
from convrnn.core.spec import unknown_name
from convrnn.layers.base import Spec

Kind = Literal["series", "text", "image", "audio"]

FEW_SYMBOLS = 32
"""Of an alphabet of bases or amino acids, with the letters for those that are not sure."""

Value = bool | int | float | str | None
"""What an option or a setting may be."""


@dataclass(frozen=True)
class Fingerprint:
    """What an entry may know of the data: sizes, nothing of the values. It comes from the training part only.

    Attributes:
        kind: what each row is.
        in_shape: what a frame looks like after the modality: `(C,)` series and audio (its bands), `(H, C)` image, `Ids(n)` text.
        classes: number of labels; None: the target is a number.
        rows: rows to train on.
        lengths: the fewest, the median and the most frames of a row.

    Example:
        >>> Fingerprint("series", (12,), 9, 270, (7, 15, 26)).fixed_length is None
        True
    """

    kind: Kind
    in_shape: Shape | Ids
    classes: int | None
    rows: int
    lengths: tuple[int, int, int]

    @classmethod
    def of(cls, kind: Kind, in_shape: Shape | Ids, lengths: Sequence[int], classes: int | None = None) -> Self:
        """The fingerprint of rows with these numbers of frames."""
        ordered = sorted(int(n) for n in lengths)
        three = (ordered[0], ordered[len(ordered) // 2], ordered[-1]) if ordered else (0, 0, 0)
        return cls(kind, in_shape, classes, len(ordered), three)

    @property
    def fixed_length(self) -> int | None:
        """The number of frames that every row has; None: they differ."""
        return self.lengths[0] if self.lengths[0] == self.lengths[2] else None

    @property
    def aligned(self) -> bool:
        """Whether rows are texts of one length in at most 32 symbols, such as the bases to both sides of a site.

        Example:
            >>> Fingerprint("text", Ids(6), 3, 2_871, (60, 60, 60)).aligned, Fingerprint("text", Ids(6), 3, 2_871, (40, 60, 60)).aligned
            (True, False)
        """
        return isinstance(self.in_shape, Ids) and self.in_shape.size <= FEW_SYMBOLS and self.fixed_length is not None

    @property
    def channels(self) -> int:
        """Channels of a frame; for text the number of symbols."""
        return self.in_shape.size if isinstance(self.in_shape, Ids) else self.in_shape[-1]


class Paper(NamedTuple):
    """Where a model comes from.

    Attributes:
        authors: as it is cited.
        year: of publication.
        title: of the paper.
        arxiv: its number there; empty: it has none.
    """

    authors: str
    year: int
    title: str
    arxiv: str = ""

    def __str__(self) -> str:
        return f"{self.authors} ({self.year}), {self.title}" + (f", arXiv {self.arxiv}" if self.arxiv else "")


class Option(NamedTuple):
    """A declared option of an entry.

    Attributes:
        name: of the keyword.
        default: None: chosen by a rule from the fingerprint.
        meaning: one line for people.
        check: what the value must be.
    """

    name: str
    default: Value
    meaning: str
    check: TypeAdapter[Any]


@dataclass(frozen=True)
class Entry:
    """A named family of bodies.

    Attributes:
        name: on the command line. It means the same mathematics for ever.
        line: what it is, in a line.
        about: what it is, in full.
        papers: where it comes from.
        kinds: the kinds of input it takes.
        options: what may be set, by name.
        settings: training settings that the entry fixes, by field of `convrnn.training.Settings`; `settings_for` adds those that depend on
        the data. version: raised when defaults or rules change; stored with a run. Runs keep the resolved spec, so old ones stay as they
        were. make: the function that was registered.
    """

    name: str
    line: str
    about: str
    papers: tuple[Paper, ...]
    kinds: tuple[Kind, ...]
    options: Mapping[str, Option]
    settings: Mapping[str, Value]
    version: int
    make: Callable[..., Spec]

    def spec(self, data: Fingerprint, **options: Value) -> Spec:
        """The body for data of this fingerprint.

        Args:
            data: sizes of the training part.
            options: some of `self.options`; the others have their defaults.

        Raises:
            UsageError: the entry does not take this kind of input.
            SpecError: an unknown option, or a value that does not fit; the option is named.
            ShapeError: the entry cannot take rows or frames of this shape.
        """
        if data.kind not in self.kinds:
            others = ", ".join(name for name in names() if data.kind in get(name).kinds)
            raise UsageError(
                self.name,
                tr("takes {names}, got {got}", names=either(self.kinds), got=data.kind),
                tr("for {kind}: {others}", kind=data.kind, others=others),
            )
        return self.make(data, **{name: self._checked(name, value) for name, value in options.items()})

    def settings_for(self, data: Fingerprint) -> dict[str, Any]:
        """Recommended training settings: `scaled_settings` of the data, then what the entry fixes.

        Where rows are aligned, a tenth of the symbols is hidden in training: each place is then read beside others that may be unsure.
        """
        hidden = {"augment": [{"augmentation": "word_dropout", "rate": 0.1}]} if data.aligned else {}
        return {**scaled_settings(data), **hidden, **self.settings}

    def _checked(self, name: str, value: Value) -> Value:
        if name not in self.options:
            raise unknown_name(f"{self.name}.options", name, list(self.options))
        try:
            return self.options[name].check.validate_python(value)
        except ValidationError as error:
            wanted = either(list(dict.fromkeys(map(wanted_by, error.errors()))))
            raise SpecError(
                f"{self.name}.{name}", tr("expected {wanted}, got {got!r}", wanted=wanted, got=value), declared(self.options[name].meaning)
            ) from None


_ENTRIES: dict[str, Entry] = {}


def entry(
    name: str, *, kinds: Sequence[Kind], papers: Sequence[Paper] = (), settings: Mapping[str, Value] | None = None, version: int = 1
) -> Callable[[Callable[..., Spec]], Callable[..., Spec]]:
    """Decorator: enters a function `make(data, *, option=default, ...) -> Spec` in the zoo.

    Its docstring says what the model is; its keyword arguments are the options, each annotated with a type that carries its check and
    meaning.

    Raises:
        ValueError: the name is taken.
    """

    def enter(make: Callable[..., Spec]) -> Callable[..., Spec]:
        if name in _ENTRIES:
            raise ValueError(f"the zoo has a {name!r} already")
        about = inspect.getdoc(make) or ""
        _ENTRIES[name] = Entry(
            name,
            about.partition("\n")[0],
            about,
            tuple(papers),
            tuple(kinds),
            MappingProxyType(_options(make)),
            MappingProxyType(dict(settings or {})),
            version,
            make,
        )
        return make

    return enter


def _options(make: Callable[..., Spec]) -> dict[str, Option]:
    found: dict[str, Option] = {}
    for name, parameter in inspect.signature(make, eval_str=True).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        meaning = FieldInfo.from_annotation(parameter.annotation).description or ""
        found[name] = Option(name, parameter.default, meaning, TypeAdapter(parameter.annotation, config=ConfigDict(strict=True)))
    return found


def names() -> tuple[str, ...]:
    """Every entry, in order of the alphabet."""
    return tuple(sorted(_ENTRIES))


def get(name: str) -> Entry:
    """An entry by name.

    Raises:
        SpecError: there is none; the nearest name is given.
    """
    if name not in _ENTRIES:
        raise unknown_name("model", name, list(names()))
    return _ENTRIES[name]


SPEC_FILES = (".yaml", ".yml", ".json")
"""How names of files end that hold a spec."""


def from_file(path: str | Path) -> Spec:
    """A body that the user wrote: a YAML (or JSON) spec in a file.

    Raises:
        UsageError: the file cannot be read.
        SpecError: it is not a spec; file and place are named.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else tr("it is not UTF-8 text")
        raise UsageError(
            str(path), tr("could not be read: {reason}", reason=reason), tr("give a YAML spec or a name of the zoo")
        ) from error
    try:
        return from_yaml(text)
    except SpecError as error:
        raise SpecError(f"{path}: {error.where}", error.problem, error.remedy) from None


def from_yaml(text: str) -> Spec:
    """A body as YAML or JSON text; raises `SpecError`."""
    return Spec.from_yaml(text)


def scaled_settings(data: Fingerprint) -> dict[str, Value]:
    """Epochs and batch size by the number of rows: about 1,500 steps, in 5 to 500 epochs.

    Batches grow with the rows: few rows need many noisy steps, many rows are there to be gone through fast. 16 below 500, 32 below 5,000,
    64 below 20,000, then 128. A few tens of rows need hundreds of epochs: the runs published on the UCR archive make 1,500 to 2,000.
    """
    batch = next((size for rows, size in ((500, 16), (5_000, 32), (20_000, 64)) if data.rows < rows), 128)
    steps = math.ceil(max(data.rows, 1) / batch)
    return {"batch": batch, "epochs": min(500, max(5, round(1_500 / steps)))}
