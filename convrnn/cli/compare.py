"""`convrnn compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convrnn.cli import console, options

if TYPE_CHECKING:
    from convrnn.api.compare import Study

NAME = "compare"

ARTICLES = "articles"
"""In place of DATA: the study that convrnn brings with it."""


def run(
    context: typer.Context,
    data: Annotated[
        list[str] | None,
        typer.Argument(help="Built-in names (see `convrnn datasets`) or paths. Or: articles [SET...].", show_default=False),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option(metavar="A,B,...", help="[LABEL=]NAME|SPEC.yaml[:KEY=VALUE]..., for example crnn,crnn:dropout=0.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each model on each set, with seeds 0, 1, ...")] = 5,
    budget: Annotated[int | None, typer.Option(metavar="PARAMS", help="Parameters for every model; its width is solved.")] = None,
    trials: Annotated[int, typer.Option(help="Learning rates tried for each, on validation data; 1: the recommended one.")] = 1,
    folds: Annotated[int | None, typer.Option(metavar="K", help="Each of K parts of the rows is the test part once.")] = None,
    workers: Annotated[int | None, typer.Option(help="Trainings at once, one thread each; one a core if not given.")] = None,
    task: options.Task = None,
    input: options.Input = None,
    target: options.Target = None,
    group: options.Group = None,
    id: options.Id = None,
    time: options.Time = None,
    encoding: options.Encoding = None,
    valid: Annotated[str | None, typer.Option(help="Share of the rows, or a file, to watch and to choose rates on.")] = None,
    test: Annotated[str | None, typer.Option(help="Share of the rows, or a file, to compare on.")] = None,
    epochs: options.Epochs = None,
    device: options.Device = None,
    set: Annotated[list[str] | None, typer.Option(help="KEY=VALUE for every model, as for train; repeatable.")] = None,
    folder: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Of `articles`: the folder that holds its sets.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the study; runs/compare-DATA if not given.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="STUDY", help="Go on with a study that was cut off.")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare models: the same rows, seeds and tuning, in parallel.

    A study is a folder of runs. --resume goes on after a kill at any moment and repeats no run that is done.

    `convrnn compare articles` is the study of the articles behind convrnn: models, sets and settings are
    given, and each claim gets a verdict.
    """
    from convrnn.api.compare import compare, compare_articles, resume_study
    from convrnn.api.planning import split_models
    from convrnn.core.errors import UsageError
    from convrnn.core.language import tr
    from convrnn.study.progress import teller

    say, told = console.voice(json, quiet), teller(json or quiet)
    if resume is not None:
        options.refuse_others(context, tr("the study"), ("resume", "workers", "json", "quiet", *(("data",) if data == [ARTICLES] else ())))
        study = resume_study(resume, workers=workers, say=say, told=told)
    else:
        common = dict[str, Any](seeds=seeds, workers=workers, out=out, say=say, told=told, command=options.command_line(context))
        common |= options.chosen_options({"epochs": epochs, "device": device, "folds": folds}, set or [])
        if data and data[0] == ARTICLES:
            _refuse_settled(context)
            study = compare_articles(folder, sets=data[1:], **common)
        else:
            if folder is not None:
                raise UsageError("--data", tr("belongs to the study `articles`"), tr("give what is compared on as DATA"))
            study = compare(
                data or [],
                [each for text in models or [] for each in split_models(text)],
                budget=budget,
                trials=trials,
                **options.reading(task, input, target, group, id, time, encoding, valid, test),
                **common,
            )
    if json:
        console.as_json(_facts(study))
        return
    for text in _told(study):
        console.line(text)
    console.line(tr("study: {folder}", folder=study.folder))


def _refuse_settled(context: typer.Context) -> None:
    """Raises `UsageError` for what the study `articles` settles itself."""
    from convrnn.core.errors import UsageError
    from convrnn.core.language import tr

    for name in ("models", "budget", "trials", "folds", "task", "input", "target", "group", "id", "time", "encoding", "valid", "test"):
        if options.was_typed(context, name):
            raise UsageError(f"--{name}", tr("is settled by the study `articles`"), tr("leave {shown} out", shown=f"--{name}"))


def _facts(study: Study) -> dict[str, Any]:
    skipped = [each._asdict() for each in study.skipped]
    return {
        "study": str(study.folder),
        "results": study.results,
        "costs": study.costs,
        "skipped": skipped,
        "statistics": study.statistics,
        **({"claims": study.claims} if study.claims else {}),
    }


def _told(study: Study) -> list[str]:
    """The leaderboard, what the data show, and what was left out."""
    from convrnn.core.columns import wrapped
    from convrnn.core.language import spoken, tr
    from convrnn.report import leaderboard, read_study
    from convrnn.report.study_claims import word

    lines = ["", *leaderboard(read_study(study.folder))]
    for found in study.verdicts:
        said = (found.headline, *found.details, *found.holds)
        lines += ["", *(part for sentence in said for part in wrapped(sentence, 79))]
    lines += (
        ["", *(f"{each['id']}  {word(each['verdict'])}: {each['sentence'][spoken()]}" for each in study.claims)] if study.claims else []
    )
    left_out = [tr("{set}: {arm} is left out: {why}", set=each.set, arm=each.arm, why=each.why) for each in study.skipped]
    return [*lines, "", *(part for sentence in left_out for part in wrapped(sentence, 79, "  "))]
