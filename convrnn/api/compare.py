"""`convrnn.compare`: models on the same rows with the same seeds, from a plan to the tables. One call; what is done in it stands elsewhere.

planning.py          what is compared: arms, sets, widths; articles.py the same for the study `articles`
study/engine.py      the trainings, in worker processes (`worker.py`)
study/folder.py      the tables; study/stats.py what they prove, study/judged.py of claims; report/study_render.py the page
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convrnn.api.articles import Asking, plan_articles
from convrnn.api.folder import RUNS
from convrnn.api.options import plain
from convrnn.api.planning import Asked, arms_of, plan_of
from convrnn.api.prepare import Say, TaskName
from convrnn.api.rows import Reading, source_of
from convrnn.core.errors import JobError, UsageError
from convrnn.core.language import tr
from convrnn.core.lock import locked
from convrnn.layers.base import Spec
from convrnn.report import Verdict, render_study, verdict
from convrnn.study import engine, judged, stats
from convrnn.study.articles import NAME
from convrnn.study.folder import read_lines, read_plan, refuse_existing, write_plan, write_tables
from convrnn.study.plan import Arm, Plan, Skipped
from convrnn.study.progress import Nobody, Told
from convrnn.study.workers import Hire
from convrnn.training.hooks import Interrupted
from convrnn.training.progress import clock


@dataclass(frozen=True, eq=False)
class Study:
    """A comparison that is done.

    Attributes:
        folder: of the study.
        results: the lines of `results.jsonl`, one a set, arm and seed, of folds one each: `{"set", "arm", "seed", "metric", "value", ...}`.
        costs: the lines of `costs.jsonl`, one a set and arm.
        skipped: arms that a set could not have, and why.
        statistics: what the results prove, as `statistics.json` has it.
        claims: of the study `articles`, what became of each claim, as `claims.json` has it.
        verdicts: the same in sentences, one for each metric.
    """

    folder: Path
    results: list[dict[str, Any]]
    costs: list[dict[str, Any]]
    skipped: Sequence[Skipped]
    statistics: dict[str, Any]
    claims: Sequence[dict[str, Any]] = ()

    @property
    def verdicts(self) -> list[Verdict]:
        """What the data show, and no more, in the language of this context."""
        return verdict(self.statistics)


def compare(
    data: str | Path | Sequence[str | Path],
    models: Sequence[str | Spec | Arm],
    *,
    seeds: int = 5,
    budget: int | None = None,
    trials: int = 1,
    folds: int | None = None,
    workers: int | None = None,
    task: TaskName | None = None,
    input: tuple[str, ...] | list[str] = (),
    target: str | None = None,
    group: str | None = None,
    id: str | None = None,
    time: str | None = None,
    encoding: str | None = None,
    valid: float | str | Path | None = None,
    test: float | str | Path | None = None,
    out: str | Path | None = None,
    command: str = "",
    say: Say | None = None,
    told: Told | None = None,
    **options: Any,
) -> Study:
    """Compares models: the same parts, the same seeds, the same tuning, and where asked the same number of parameters.

    Every training runs in a process of its own with one thread, so that results do not depend on how many run at once.

    Args:
        data: a built-in name or a path, or several.
        models: names of the zoo, paths of specs, specs, `[LABEL=]MODEL[:KEY=VALUE]...`, or arms.
        seeds: K; the seeds are 0 to K - 1.
        budget: parameters that every model is to have, head and embedding included: its width is solved to be within 5 %. None: each
            has its own width.
        trials: learning rates that are tried for each model on each set, on validation data; 1: the one that the model recommends.
        folds: K parts of the rows of a set, each the test part once, in place of one test part: a seed is trained K times, its figure is
            over all rows. Labels keep their shares, groups stay whole. Rates are chosen within each fold. None: no folds.
        workers: trainings at once; None: one a core.
        task: as for `convrnn.train`; so are `input`, `target`, `group`, `id`, `time`, `encoding`, `valid`, `test`.
        out: folder of the study to write; it must not exist. None: `runs/compare-DATA`.
        command: what was typed, for the report.
        say: where lines for people go; None: nowhere.
        told: shown the progress.
        options: of every arm, as for `convrnn.train`; those of an arm go before them.

    Raises:
        InputError: anything wrong with what was given; nothing was written.
        JobError: some runs could not be done (no space, a worker that died); all others were, and `resume_study` goes on.
        Interrupted: Ctrl-C (a KeyboardInterrupt); the message says how to go on.
    """
    paths = _paths(data)
    shares = [str(each) if isinstance(each, Path) else each for each in (valid, test)]
    reading = Reading(task, tuple(input), target, group, id, time, encoding, *shares)
    arms = arms_of(models)
    study = _default_folder(paths) if out is None else Path(out)
    refuse_existing(study)
    crew = _workers(workers)
    chosen = plain({**options, **({} if folds is None else {"folds": folds})})
    plan = plan_of(Asked(paths, arms, seeds, budget, trials, reading, chosen, command), study.name, say or _silent)
    return _begin(study, plan, crew, told or Nobody(), say or _silent)


def compare_articles(
    folder: str | Path | None = None,
    *,
    sets: Sequence[str] = (),
    seeds: int = 5,
    workers: int | None = None,
    out: str | Path | None = None,
    command: str = "",
    say: Say | None = None,
    told: Told | None = None,
    **options: Any,
) -> Study:
    """The study of the five articles: the main comparison, and a verdict for each of their claims in `claims.json` and the report.

    Args:
        folder: of the sets, as docs/results.md lists them; None: those that packages ship or convrnn makes. What is not there is said and
            left out.
        sets: labels of `convrnn.study.articles.GROUNDS` to take; empty: all.
        seeds: as for `compare`; so are `workers`, `command`, `say` and `told`.
        out: folder of the study to write; None: `runs/compare-articles`.
        options: of every arm, before those of the sets: `epochs=1` for a try.

    Raises:
        InputError, JobError, Interrupted: as for `compare`.
    """
    study = _default_folder([NAME]) if out is None else Path(out)
    refuse_existing(study)
    crew = _workers(workers)
    asking = Asking(None if folder is None else Path(folder), sets, seeds, plain(options), command)
    return _begin(study, plan_articles(asking, study.name, say or _silent), crew, told or Nobody(), say or _silent)


def resume_study(folder: str | Path, *, workers: int | None = None, say: Say | None = None, told: Told | None = None) -> Study:
    """Goes on with a study that was cut off; of one that is done the tables are written again. No run that is done is repeated.

    Raises:
        DataError: not the folder of a study, or other rows than it began with.
        InputError: rows that are needed once more and cannot be read.
        UsageError: another process is at work on it.
        JobError: as for `compare`.
    """
    study, crew = Path(folder), _workers(workers)
    read_plan(study)
    with locked(study) as lock:
        plan = read_plan(study)
        for each in engine.unfinished(study, plan):
            if each.digest is not None:
                source_of(each.data, None, Reading(**plan.reading), each.digest)
        return _go(study, plan, crew, told or Nobody(), lock, say or _silent)


def _begin(study: Path, plan: Plan, workers: int, told: Told, say: Say) -> Study:
    with _begun(study) as lock:
        refuse_existing(study)  # once more, now that nobody else can begin there
        write_plan(study, plan)
        busy = min(workers, plan.jobs)
        say(tr("{runs} trainings, about {time} with {workers} at once", runs=plan.jobs, time=clock(plan.seconds / busy), workers=busy))
        return _go(study, plan, workers, told, lock, say)


def _go(study: Path, plan: Plan, workers: int, told: Told, lock: int, say: Say) -> Study:
    log = study / "workers.log"
    try:
        engine.run(study, plan, min(workers, max(plan.jobs, 1)), Hire("convrnn.api.worker", log, lock), told)
    except KeyboardInterrupt:
        raise Interrupted("", tr("go on with --resume {folder}", folder=study)) from None
    finally:
        told.close()
        if log.is_file() and not log.stat().st_size:
            log.unlink()
    return finish(study, plan, say)


def finish(study: Path, plan: Plan, say: Say) -> Study:
    """What is made of the runs once all are there: tables, statistics, report. A machine that cannot draw has its study all the same."""
    write_tables(study, plan)
    statistics = json.loads(stats.write(study).read_text(encoding="utf-8"))
    claims = json.loads(judged.write(study).read_text(encoding="utf-8"))["claims"] if plan.judged else []
    try:
        say(tr("report: {page}", page=render_study(study)))
    except UsageError as error:
        say(tr("no report: {error}", error=error))
    results, costs = read_lines(study / "results.jsonl"), read_lines(study / "costs.jsonl")
    return Study(study, results, costs, read_plan(study).skipped, statistics, claims)


@contextmanager
def _begun(study: Path) -> Iterator[int]:
    """The folder of a study, locked."""
    try:
        study.mkdir(parents=True, exist_ok=True)
        with locked(study) as lock:
            yield lock
    except (NotADirectoryError, FileExistsError):
        raise UsageError("--out", tr("{folder} lies in a file, expected folders only", folder=study), tr("choose another")) from None
    except PermissionError as error:
        raise JobError(str(study), tr("could not be made: {reason}", reason=error.strerror), tr("choose another --out")) from error


def _paths(data: str | Path | Sequence[str | Path]) -> list[str]:
    """What names data; rows in memory are none, since every worker reads them for itself."""
    found = [data] if isinstance(data, str | Path) else data
    if not isinstance(found, list | tuple) or not all(isinstance(each, str | Path) for each in found):
        wanted = tr("expected names or paths, got {got}", got=type(data).__name__)
        raise UsageError("data", wanted, tr("write the rows to a file: every worker reads them for itself"))
    return [str(each) for each in found]


def _default_folder(data: Sequence[str]) -> Path:
    """`runs/compare-DATA`, with a number behind it if that is taken."""
    first = RUNS / f"compare-{Path(data[0]).name.split('.')[0] or 'data'}" if data else RUNS / "compare"
    return next(path for path in (first, *(first.with_name(f"{first.name}-{n}") for n in range(2, 10_000))) if not path.exists())


def _workers(given: int | None) -> int:
    if given is None:
        return os.cpu_count() or 1
    if given < 1:
        raise UsageError("--workers", tr("expected at least 1, got {got}", got=given), tr("for example {example}", example="--workers 2"))
    return given


def _silent(line: str) -> None:
    """Says nothing."""
