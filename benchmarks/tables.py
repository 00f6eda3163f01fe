"""Records of contests as tables of 80 columns, with what was asked of them ("Must show"). Measures nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from statistics import geometric_mean, median
from typing import Any, NamedTuple

Record = dict[str, Any]

FLOOR = 0.95
"""No line of section 1 may be under this."""


class Goal(NamedTuple):
    """What was asked.

    Attributes:
        section: of "Must show".
        what: the layer; empty: each.
        rival: how its name begins.
        least: the figure may not be under this.
        each: of every line; else of their geometric mean.
        directions: of these lines only; 0: all.
    """

    section: int
    what: str
    rival: str
    least: float
    each: bool = False
    directions: int = 0


GOALS = (
    Goal(1, "gru", "torch.nn", 2.5),
    Goal(1, "rnn", "torch.nn", 2.5),
    Goal(1, "lstm", "torch.nn", 1.3),
    Goal(1, "gru", "packed", 3.5, directions=2),
    Goal(1, "lstm", "packed", 4.0, directions=2),
    Goal(1, "gru-before", "torch loop", 3.0),
    Goal(1, "", "", FLOOR, each=True),
    Goal(2, "", "sgemm", 0.75, each=True),
    Goal(3, "", "Keras", 1.5),
    Goal(3, "", "masked Keras", 3.0),
    Goal(3, "gru", "ONNX Runtime", 1.0),
    Goal(3, "lstm", "ONNX Runtime", 1.0),
    Goal(4, "scan", "memory", 0.60, each=True),
    Goal(4, "min-gru", "our GRU", 2.0, each=True),
    Goal(4, "min-gru", "log-space", 5.0, each=True),
    Goal(5, "", "ONNX Runtime", 0.5, each=True),
    Goal(6, "gru", "torch.nn", 1.7),
    Goal(6, "lstm", "torch.nn", 1.25),
    Goal(6, "", "packed", 2.5),
    Goal(6, "", "Keras", 1.7),
    Goal(7, "", "torch cell", 1.5),
    Goal(7, "", "Keras", 1.2),
)

CHUNK = "a chunk"
"""The rival of section 5 that is the same stream, fed many frames at once."""

_CASE = ("section", "what", "work", "rival", "shape", "directions", "ragged")


def line(record: Record) -> str:
    """One record, 78 columns."""
    rows, frames, channels, units = record["shape"]
    sizes = f"{rows:>4}{frames:>6}{channels:>5}{units:>5}{record['directions']:>5}  {'ragged' if record['ragged'] else 'full':6}"
    theirs = f"{record['theirs_ms']:>11.3f}{record['ratio']:>8.2f}" if "ratio" in record else " " * 19
    share = f"{record['share']:>7.2f}" if "share" in record else ""
    return f"{sizes}{record['ours_ms']:>11.3f}{theirs}{share}".rstrip()


def tables(records: Iterable[Record], judged: bool) -> Iterator[str]:
    """A table a layer, kind of work and rival: its lines, their geometric mean, the worst, and whether what was asked is met."""
    for (section, what, work, rival), lines in groupby(_merged(records), lambda record: tuple(record[key] for key in _CASE[:4])):
        group = list(lines)
        yield f"\n{section}. {what}, {work}, against {rival}"
        yield "   B     T   in    H  dir  rows        ours ms  theirs ms   ratio" + ("  share" if "share" in group[0] else "")
        yield from map(line, group)
        figures = [_figure(record) for record in group]
        worst = min(group, key=_figure)
        where = f"{tuple(worst['shape'])}, {worst['directions']} direction(s)"
        yield f"   geometric mean {geometric_mean(figures):.2f}, worst {min(figures):.2f} at {where}"
        if rival == CHUNK:
            yield f"   of a push of one frame {_fixed(group[0]):.0%} is there whatever it computes"
        for goal in _goals(section, what, rival) if judged else ():
            found = _found(goal, group)
            scope = "each line" if goal.each else "the mean"
            part = f" of {goal.directions} directions" if goal.directions else ""
            yield f"   asked of {scope}{part}: >= {goal.least:.2f}, found {found:.2f}: {'met' if found >= goal.least else 'MISSED'}"


def missed(records: Iterable[Record]) -> int:
    """How many goals of what was measured are not met."""
    keyed = groupby(_merged(records), lambda record: tuple(record[key] for key in _CASE[:4]))
    return sum(
        _found(goal, group) < goal.least
        for (section, what, _, rival), lines in keyed
        for group in [list(lines)]
        for goal in _goals(section, what, rival)
    )


def _goals(section: int, what: str, rival: str) -> list[Goal]:
    return [goal for goal in GOALS if goal.section == section and goal.what in ("", what) and rival.startswith(goal.rival)]


def _found(goal: Goal, group: Sequence[Record]) -> float:
    figures = [_figure(record) for record in group if goal.directions in (0, record["directions"])]
    return min(figures) if goal.each else geometric_mean(figures)


def _fixed(record: Record) -> float:
    """The part of a push that more frames do not add to: Python and dispatch."""
    return 1 - (record["ratio"] - 1) / (record["shape"][1] - 1)


def _figure(record: Record) -> float:
    """Their time over ours, or the share of the limit."""
    return record["ratio"] if "ratio" in record else record["share"]


def _merged(records: Iterable[Record]) -> list[Record]:
    """One record a case: the medians over processes, in the order of the tables."""
    by_case: dict[str, list[Record]] = {}
    for record in records:
        by_case.setdefault(str([record[key] for key in _CASE]), []).append(record)
    merged = [
        {key: median(record[key] for record in same) if isinstance(value, float) else value for key, value in same[0].items()}
        for same in by_case.values()
    ]
    order = {tuple(record[key] for key in _CASE[:4]): place for place, record in reversed(list(enumerate(merged)))}
    return sorted(merged, key=lambda record: order[tuple(record[key] for key in _CASE[:4])])
