"""`convrnn compare articles`: the study of the five articles planned and begun, with an estimate of its time beforehand.

What it consists of is data in `study/articles.py`; a set that is not there is said and left out. Trainings, tables, statistics and report
are those of any study (`compare.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from convrnn.api.options import plain
from convrnn.api.planning import Asked, Refused, left_out, on_set, refuse, said_of
from convrnn.api.prepare import Prepared, Say, with_head
from convrnn.api.rows import Reading, source_of
from convrnn.core.errors import ConvrnnError, UsageError
from convrnn.core.language import both, tr
from convrnn.deploy.describe import multiply_adds
from convrnn.study.articles import GROUNDS, Ground, entered
from convrnn.study.plan import VERSION, DataSet, Pair, Plan
from convrnn.zoo import get

TRIALS = 3
"""Learning rates for each arm on each set."""

SPEED = 1.6e10
"""Multiply-adds a second of one thread in training, of nets as small as these on a machine of 2020: for the estimate alone."""

STEP = 0.004
"""Seconds of a step beside its products, likewise."""


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
    """A set with its arms, and how long all trainings on it take by the estimate."""

    about: DataSet
    pairs: list[Pair]
    refused: list[Refused]
    seconds: float


def plan_articles(asking: Asking, name: str, workers: int, say: Say) -> Plan:
    """The plan of the study.

    Args:
        asking: what of it.
        name: of the folder.
        workers: trainings at once, for the estimate.
        say: told of each set, of what is left out, and of the time that it will take.

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
    plan = Plan(
        VERSION, name, asking.command, sets, arms, asking.seeds, None, TRIALS, skipped, {}, plain(asking.options), pairs, judged=True
    )
    hours = sum(each.seconds for each in found) / workers / 3_600
    say(tr("{runs} trainings, about {hours:.1f} h with {workers} at once", runs=plan.jobs, hours=hours, workers=workers))
    return plan


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
    work: list[float] = []

    def seen(pair: Pair, prepared: Prepared) -> None:
        work.append(_seconds(pair, prepared))

    about: DataSet | None = None
    pairs: list[Pair] = []
    refused: list[Refused] = []
    for equal in (True, False):
        some = [each.arm for each in needed if each.equal == equal]
        budget = ground.budget if equal else None
        asked = Asked([data], some, asking.seeds, budget, TRIALS, Reading(), options, asking.command)
        refuse(asked)
        here = on_set(asked, label, data, source, seen)
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
        sum(work) * (asking.seeds + TRIALS),
    )


def _place(ground: Ground, folder: Path | None) -> str | None:
    """What to read a set from; None: it is not there."""
    inside, _, name = ground.data.partition("DIR/")
    if inside or not name:
        return ground.data
    place = None if folder is None else folder / name
    return str(place) if place is not None and place.exists() else ground.packaged


def _seconds(pair: Pair, prepared: Prepared) -> float:
    """How long a training of a pair takes, about: products of forward and backward, and the rest of each step."""
    net = prepared.model.net
    if pair.solved:
        body = get(prepared.model.name).spec(prepared.sizes, **{**prepared.choices.model, **pair.solved})
        _, net = with_head(body, prepared.model.task, prepared.model.modality)
    rows = len(prepared.encoded["train"].targets)
    frames = max(1, int(median(prepared.encoded["train"].encoded.lengths.tolist())))
    settings = prepared.settings
    products = 3 * rows * multiply_adds(net, frames)
    return settings.epochs * (products / SPEED + STEP * rows / settings.batch)
