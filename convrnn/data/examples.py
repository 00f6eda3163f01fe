"""What reading gives: examples of one part, and the parts of a source. Knows no file format, no modality and no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["series", "text", "image", "audio"]
"""What one input is; the modality of the same kind turns it into frames."""

Task = Literal["classify", "regress"]
"""What is learned: one of several labels, or a number."""

Target = str | int | float
"""A target as the file has it: `str` from text files, `float` where the format says that it is a number."""

Layout = Literal["", "wide", "cells", "long", "text", "image", "audio", "lines"]
"""How a table holds its inputs; empty: to be recognised."""


def _readable(texts: list[Any]) -> list[Any]:
    """The same list; where a text holds what UTF-8 cannot say (the name of a file in another encoding), one with `\\udcff` in its place.

    Such names and labels go into records, figures and other programs, all of which take UTF-8 only.
    """
    try:
        "".join(text for text in texts if isinstance(text, str)).encode()
    except UnicodeEncodeError:
        return [text.encode(errors="backslashreplace").decode() if isinstance(text, str) else text for text in texts]
    return texts


@dataclass(frozen=True, eq=False)
class Examples:
    """One part (train, valid or test) as it was read, before any modality.

    Attributes:
        kind: what each input is.
        inputs: series: float32 `[T, C]`, NaN where a value is missing; text: `str`; image: uint8 or float32 `[H, W, C]`;
            audio: `modality.Sound`.
        targets: one a row as the file has them; None: there are none (prediction).
        names: `file:row` (the 1-based line or row that an editor shows) or the file's name.
        channels: names of the C channels of a series; empty: nothing names them, and they are told by their places.
        target_name: the column that the targets came from.
        groups: rows of one group must not be divided between parts; None: there are no groups.
        task: what the format or the user says the targets are for; None: the targets have to tell (`targets.task_of`).
        notes: what the user should be told: encoding, missing values, header, layout, in sentences without a full stop.
    """

    kind: Kind
    inputs: list[Any]
    targets: list[Target] | None
    names: list[str]
    channels: tuple[str, ...] = ()
    target_name: str = "target"
    groups: list[str] | None = None
    task: Task | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = len(self.inputs)
        assert len(self.names) == rows, (len(self.names), rows)
        assert self.targets is None or len(self.targets) == rows, (len(self.targets), rows)
        assert self.groups is None or len(self.groups) == rows, (len(self.groups), rows)
        object.__setattr__(self, "names", _readable(self.names))
        if self.targets is not None:
            object.__setattr__(self, "targets", _readable(self.targets))

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def channel_titles(self) -> tuple[str, ...]:
        """What to call the channels of a series: their names, or made ones where nothing names them."""
        if self.channels or self.kind != "series" or not self.inputs:
            return self.channels
        width = self.inputs[0].shape[-1]
        return ("value",) if width == 1 else tuple(f"channel {place}" for place in range(1, width + 1))

    def subset(self, rows: Sequence[int] | NDArray[np.int64]) -> Examples:
        """These rows, in this order; notes are about the whole and stay."""
        return replace(
            self,
            inputs=[self.inputs[row] for row in rows],
            targets=None if self.targets is None else [self.targets[row] for row in rows],
            names=[self.names[row] for row in rows],
            groups=None if self.groups is None else [self.groups[row] for row in rows],
        )


@dataclass(frozen=True)
class Columns:
    """How a file is read, above all which columns of a table play which part: as asked for, and, in `Source.columns`, as found.

    A run stores the found ones, so that a file given for prediction is read as the training file was.

    Attributes:
        inputs: columns that are the input; empty: all that nothing else claims.
        target: the target column; None: to be recognised.
        group: the column whose rows stay together in a split.
        id: long layout, the column that says which series a row belongs to.
        time: long layout, the column that orders the rows of a series.
        layout: how the table holds its inputs; empty: to be recognised.
        labels: lines of text, the words that stood before the texts, so that a file with them is told from one without.
        encoding: of text files, where the user gave it; None: to be recognised.
    """

    inputs: tuple[str, ...] = ()
    target: str | None = None
    group: str | None = None
    id: str | None = None
    time: str | None = None
    layout: Layout = ""
    labels: tuple[str, ...] = ()
    encoding: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values for a JSON file."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Columns:
        """The inverse of `to_json`."""
        return cls(**{**stored, "inputs": tuple(stored["inputs"]), "labels": tuple(stored["labels"])})


RECOGNISE = Columns()
"""Nothing named: everything is recognised."""


@dataclass(frozen=True)
class Source:
    """What `read` gives: the parts that the files themselves fix, else None.

    Attributes:
        name: the name to show: of the file without endings, of the folder, or of the built-in set.
        train: what to learn from.
        valid: the validation part, if the files fix one.
        test: the test part, if the files fix one.
        columns: how a table was read, to read the next one alike.
    """

    name: str
    train: Examples
    valid: Examples | None = None
    test: Examples | None = None
    columns: Columns = RECOGNISE

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of all parts, each once, in order."""
        parts = [part for part in (self.train, self.valid, self.test) if part is not None]
        return tuple(dict.fromkeys(note for part in parts for note in part.notes))
