"""The error tree. Knows nothing of tensors, files or commands; says each error in the language of whoever reads it.

    ConvrnnError
    ├── InputError (ValueError)      what the user gave is wrong            exit code 2
    │   ├── SpecError                a field of a spec
    │   ├── ShapeError               widths or frames that do not fit together
    │   ├── DataError                a file, a table, a column, a row
    │   ├── UsageError               an option or an argument
    │   ├── NotStreamable            a layer whose state would grow with the sequence
    │   └── StateEnded               frames for a row that has ended
    └── JobError (RuntimeError)      the job failed: no space, lost file    exit code 1
        └── Diverged                 a loss or scores that are not finite

Every message is one line: where, what was expected and what came, what to do.
"""

from __future__ import annotations

from typing import Self

from convrnn.core.language import joined, said, tr


class ConvrnnError(Exception):
    """Base of all errors of this package: `where: problem; remedy`, in one line."""

    exit_code = 1

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        super().__init__(where, problem, remedy)
        self.where, self.problem, self.remedy = where, problem, remedy

    @property
    def message(self) -> str:
        """The line, in the language of this context."""
        line = tr("{where}: {problem}", where=self.where, problem=self.problem) if self.where else said(self.problem)
        return said(joined((line, self.remedy)))

    def within(self, place: str) -> Self:
        """The same error, seen from one level further out: `place.where`."""
        return type(self)(f"{place}.{self.where}" if self.where else place, self.problem, self.remedy)

    def __str__(self) -> str:
        return " ".join(self.message.split())


class InputError(ConvrnnError, ValueError):
    """What the user gave is wrong; nothing was written."""

    exit_code = 2


class SpecError(InputError):
    """A field of a spec is wrong or unknown."""


class ShapeError(InputError):
    """Widths, spaces or numbers of frames that do not fit together."""


class DataError(InputError):
    """A file, table, column or row that cannot be used."""


class UsageError(InputError):
    """An option or argument that cannot be used."""


class NotStreamable(InputError):
    """A layer whose state would grow with the sequence; names the layer and the remedy."""


class StateEnded(InputError):
    """Frames for a row that has already ended."""


class JobError(ConvrnnError, RuntimeError):
    """The job failed for a reason outside its input: no space, a lost file."""


class Diverged(JobError):
    """A training whose loss, gradient or scores are not finite: the same training will always end so."""
