"""The trainings of a study, in worker processes, each once. Knows folders and orders; what an order means, the worker knows.

    run            all jobs, trials of a pair before its seeds; then what only a quiet machine tells, set by set
    _Schedule      which jobs are left, and which open up when one ends

A study goes on from its folder alone: what is settled there is not done again, a training that was cut off goes on from its checkpoint.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

from convrnn.core.errors import JobError
from convrnn.core.files import write
from convrnn.core.language import tr
from convrnn.study.folder import choose_rate, chosen_rate, failures, run_of, settled, tidy
from convrnn.study.plan import TUNING_SEED, DataSet, Job, Pair, Plan, home
from convrnn.study.progress import Ended, Told
from convrnn.study.tune import rates
from convrnn.study.workers import Crew, Hire, Message, Order


class Lost(NamedTuple):
    """A job that could not be done for a reason outside of it; `turn` sorts them."""

    turn: tuple[int, ...]
    what: str
    why: str


def run(study: Path, plan: Plan, workers: int, hire: Hire, told: Told) -> None:
    """Does what is left of a study.

    Raises:
        JobError: a worker died or the disk is full; what else could be done was, and the study can be resumed.
        KeyboardInterrupt: Ctrl-C; trainings have written their checkpoints.
    """
    with Crew(hire, workers) as crew:
        lost = _train(crew, study, plan, told)
        lost += _measure(crew, study, plan, told)
    if lost:
        first = min(lost)
        why = tr("{why} (and {more} more)", why=first.why, more=len(lost) - 1) if len(lost) > 1 else first.why
        raise JobError(first.what, why, tr("go on with --resume {folder}", folder=study))


def unfinished(study: Path, plan: Plan) -> list[DataSet]:
    """The sets whose rows are needed once more: something is to be trained or measured on them."""
    failed = {(each.set, each.arm) for each in failures(study, plan)}
    left = {
        pair.set
        for pair in plan.pairs
        if (pair.set, pair.arm) not in failed
        and (_unmeasured(study, plan, pair) or not all(settled(home(study, pair) / f"seed-{seed}") for seed in range(plan.seeds)))
    }
    return [each for each in plan.sets if each.name in left]


def _train(crew: Crew, study: Path, plan: Plan, told: Told) -> list[Lost]:
    schedule = _Schedule(study, plan)
    lost: list[Lost] = []
    told.begin(plan.jobs, schedule.done, schedule.work)
    jobs: dict[tuple[int, ...], Job] = {}

    def give(some: Iterable[Job]) -> None:
        for job in some:
            jobs[job.turn] = job
            crew.give(Order(job.turn, _training(study, plan, job)))

    give(schedule.ready())
    for event in crew.events():
        job = jobs[event.order.turn]
        if event.message is None:
            told.started(job, _label(plan, job))
        elif "ended" not in event.message:
            told.at(job, event.message["at"])
        elif (why := _end(study, plan, job, event.message, told)) is not None:
            lost.append(Lost(job.turn, _label(plan, job), why))
        else:
            give(schedule.after(job))
            told.total(schedule.total, schedule.work)
    return lost


class _Schedule:
    """See the top of the file."""

    def __init__(self, study: Path, plan: Plan) -> None:
        self._study, self._plan = study, plan
        places = range(len(plan.pairs))
        self._left = [self._open(place, "trial") for place in places]
        seeds = [self._open(place, "seed") for place in places]
        self.total = plan.jobs
        self.done = plan.jobs - sum(map(len, self._left)) - sum(map(len, seeds))
        self.work = sum(plan.pairs[job.place].seconds for job in chain(*self._left, *seeds))

    def ready(self) -> Iterator[Job]:
        """The jobs that wait for no other, at the beginning."""
        for place, left in enumerate(self._left):
            yield from left or self._seeds(place)

    def after(self, job: Job) -> Iterator[Job]:
        """The jobs that waited for this one, which has ended."""
        self.work -= self._plan.pairs[job.place].seconds
        left = self._left[job.place]
        if job in left:
            left.remove(job)
            if not left:
                yield from self._seeds(job.place)

    def _seeds(self, place: int) -> Iterator[Job]:
        """The seeds of a pair, whose trials are done; none where no trial could be trained."""
        left = self._open(place, "seed")
        if self._plan.trials > 1 and choose_rate(self._study, self._plan, self._plan.pairs[place]) is None:
            self.total -= len(left)
            self.work -= len(left) * self._plan.pairs[place].seconds
            return
        yield from left

    def _open(self, place: int, kind: Literal["trial", "seed"]) -> list[Job]:
        """The jobs of a pair that are not settled, in order, since an idle worker takes the first that it is given.

        What is settled is tidied up, in case that a kill came in between.
        """
        count = self._plan.seeds if kind == "seed" else self._plan.trials if self._plan.trials > 1 else 0
        jobs = [Job(place, kind, number) for number in range(count)]
        over = [job for job in jobs if settled(run_of(self._study, self._plan, job))]
        for job in over:
            tidy(run_of(self._study, self._plan, job))
        return [job for job in jobs if job not in over]


def _training(study: Path, plan: Plan, job: Job) -> dict[str, Any]:
    """What a worker is told of a job: arguments of `convrnn.train`, and the command that does the same."""
    pair = plan.pairs[job.place]
    options = plan.options_of(pair)
    if job.kind == "trial":
        options |= {"rate": rates(pair.rate, plan.trials)[job.number], "seed": TUNING_SEED}
    else:
        tuned = {"rate": chosen_rate(study, pair)} if plan.trials > 1 else {}
        options |= {**tuned, "seed": plan.arm_of(pair).first_seed + job.number}
    about, model = plan.set_of(pair), plan.arm_of(pair).model
    return {
        "do": "train",
        "data": about.data,
        "digest": about.digest,
        "model": model,
        "reading": plan.reading,
        "options": options,
        "out": str(run_of(study, plan, job)),
        "trial": job.kind == "trial",
        "command": _command(about.data, model, plan.reading, options),
    }


def _command(data: str, model: Any, reading: Any, options: dict[str, Any]) -> str:
    """What to type to train the same once more; the file of a spec is called model.yaml."""
    words = ["convrnn", "train", data, "--model", model if isinstance(model, str) else "model.yaml"]
    for name, value in reading.items():
        for each in value if isinstance(value, list) else [value]:
            words += [] if each is None else [f"--{name}", str(each)]
    for key, value in options.items():
        words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"]
    return shlex.join(words)


def _end(study: Path, plan: Plan, job: Job, message: Message, told: Told) -> str | None:
    """Takes in what became of a job; gives why it has to be done again, None: it has not."""
    run, work = run_of(study, plan, job), plan.pairs[job.place].seconds
    match message["ended"]:
        case "done":
            tidy(run)
            told.ended(job, Ended(_label(plan, job), message["said"], message["seconds"], work))
        case "failed":
            run.mkdir(parents=True, exist_ok=True)
            write(run / "failed.json", json.dumps({"why": message["why"]}, ensure_ascii=False) + "\n")
            tidy(run)
            told.ended(job, Ended(_label(plan, job), tr("cannot be trained: {why}", why=message["why"]), None, work))
        case _:
            told.ended(job, Ended(_label(plan, job), tr("is not done: {why}", why=message["why"]), None, work))
            return message["why"]
    return None


def _label(plan: Plan, job: Job) -> str:
    pair = plan.pairs[job.place]
    fold = "" if pair.fold is None else f", fold {pair.fold}"
    return f"{pair.set}, {pair.arm}{fold}, {job.kind} {job.number}"


def _measure(crew: Crew, study: Path, plan: Plan, told: Told) -> list[Lost]:
    """Latency and the like of every pair all of whose seeds are there, one at a time: what ran beside would be in the figures."""
    failed = {(each.set, each.arm) for each in failures(study, plan)}
    lost: list[Lost] = []
    for place, pair in enumerate(plan.pairs):
        if (pair.set, pair.arm) in failed or not _unmeasured(study, plan, pair):
            continue
        label = tr("{set}, {arm}, costs", set=pair.set, arm=pair.arm)
        crew.give(Order((place,), {"do": "measure", "home": str(home(study, pair))}))
        for event in crew.events():
            if event.message is None:
                told.started(label, label)
            elif "ended" in event.message:
                told.ended(label, None)
                lost += [] if event.message["ended"] == "done" else [Lost((len(plan.pairs) + place,), label, event.message["why"])]
    return lost


def _unmeasured(study: Path, plan: Plan, pair: Pair) -> bool:
    """Whether its costs can be measured, and have not been; of folds the first alone tells them."""
    if pair.fold:
        return False
    place = home(study, pair)
    return all(settled(place / f"seed-{seed}") for seed in range(plan.seeds)) and not (place / "costs.json").is_file()
