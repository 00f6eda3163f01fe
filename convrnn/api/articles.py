"""`convrnn compare articles`: the study of the five articles, planned.

What it consists of is data in `study/articles.py`; a set that is not there is said and left out. Trainings, tables, statistics and report
are those of any study (`compare.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from convrnn.api.options import plain
from convrnn.api.planning import Asked, Refused, left_out, on_set, refuse, said_of
from convrnn.api.prepare import Say
from convrnn.api.rows import Reading, source_of
from convrnn.core.errors import ConvrnnError, UsageError
from convrnn.core.language import both, tr
from convrnn.study.articles import GROUNDS, Ground, entered
from convrnn.study.plan import VERSION, DataSet, Pair, Plan

TRIALS = 3
"""Learning rates for each arm on each set."""


class Asking(NamedTuple):
    """What of the study is asked for.

    Attributes:
        folder: of the sets, as in docs/results.md; None: those alone that packages ship or convrnn makes.
        sets: labels of those to take; empty: all.
        seeds: how many.
        options: of all arms on all sets; they go before those of a set, and those of an arm before them.
        command: what was typed.
    """

    folder: Path | None
    sets: Sequence[str]
    seeds: int
    options: Mapping[str, Any]
    command: str


class _Planned(NamedTuple):
    """A set with its arms."""

    about: DataSet
    pairs: list[Pair]
    refused: list[Refused]


def plan_articles(asking: Asking, name: str, say: Say) -> Plan:
    """The plan of the study.

    Args:
        asking: what of it.
        name: of the folder.
        say: told of each set, and of what is left out.

    Raises:
        UsageError: a set that the study does not have; none of its sets is there.
    """
    if unknown := [each for each in asking.sets if each not in GROUNDS]:
        raise UsageError("DATA", tr("the study has no set {got}", got=both(unknown)), tr("known: {some}", some=", ".join(GROUNDS)))
    if asking.folder is not None and not asking.folder.is_dir():
        raise UsageError("--data", tr("expected a folder, got {got}", got=asking.folder), tr("give the one that holds the sets by name"))
    if "folds" in asking.options:
        raise UsageError("--folds", tr("is settled by the study `articles`"), tr("leave {shown} out", shown="--folds"))
    chosen = asking.sets or list(GROUNDS)
    found = [planned for label in GROUNDS if label in chosen and (planned := _planned(asking, label, say)) is not None]
    if not found:
        raise UsageError("--data", tr("none of the sets is there"), tr("give the folder that holds the sets by name"))
    pairs = [pair for each in found for pair in each.pairs]
    used = {pair.arm for pair in pairs}
    arms = [each.arm for each in entered() if each.arm.name in used]
    skipped = left_out([line for each in found for line in each.refused], say)
    sets = [each.about for each in found]
    options = plain(asking.options)
    return Plan(VERSION, name, asking.command, sets, arms, asking.seeds, None, TRIALS, skipped, {}, options, pairs, judged=True)


def _planned(asking: Asking, label: str, say: Say) -> _Planned | None:
    """One set with all arms that are needed on it; None, and a line that says why, where it cannot be had."""
    ground = GROUNDS[label]
    data = _place(ground, asking.folder)
    if data is None:
        say(tr("{set}: {place} is not there; left out", set=label, place=ground.data))
        return None
    try:
        source = source_of(data, None, Reading())
    except ConvrnnError as error:
        say(tr("{set}: {why}; left out", set=label, why=error))
        return None
    options = {**ground.options, **asking.options}
    needed = [each for each in entered() if label in each.sets]
    about: DataSet | None = None
    pairs: list[Pair] = []
    refused: list[Refused] = []
    for equal in (True, False):
        some = [each.arm for each in needed if each.equal == equal]
        budget = ground.budget if equal else None
        asked = Asked([data], some, asking.seeds, budget, TRIALS, Reading(), options, asking.command)
        refuse(asked)
        here = on_set(asked, label, data, source)
        about = about or here.about
        pairs += here.pairs
        refused += here.refused
    if about is None:
        left_out(refused, say)
        return None
    say(said_of(about))
    aside = {each.arm.name for each in needed if not each.on_board(label)}
    own = {key: value for key, value in ground.options.items() if key not in asking.options}
    return _Planned(
        replace(about, budget=ground.budget, options=own),
        [replace(pair, aside=pair.arm in aside) for pair in pairs],
        refused,
    )


def _place(ground: Ground, folder: Path | None) -> str | None:
    """What to read a set from; None: it is not there."""
    inside, _, name = ground.data.partition("DIR/")
    if inside or not name:
        return ground.data
    place = None if folder is None else folder / name
    return str(place) if place is not None and place.exists() else ground.packaged
