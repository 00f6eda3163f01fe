"""`convrnn train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from convrnn.cli import console, options
from convrnn.core.columns import wrapped
from convrnn.core.language import tr
from convrnn.core.numerals import fixed, places
from convrnn.core.terms import called

NAME = "train"


def run(
    context: typer.Context,
    data: Annotated[str | None, typer.Argument(help="A built-in name (see `convrnn datasets`) or a path.", show_default=False)] = None,
    task: options.Task = None,
    model: Annotated[str | None, typer.Option(help="A name (see `convrnn models`) or a YAML spec.")] = None,
    input: options.Input = None,
    target: options.Target = None,
    group: options.Group = None,
    id: options.Id = None,
    time: options.Time = None,
    encoding: options.Encoding = None,
    valid: Annotated[str | None, typer.Option(help="Share of the rows, or a file, to watch while training.")] = None,
    test: Annotated[str | None, typer.Option(help="Share of the rows, or a file, to measure on.")] = None,
    epochs: options.Epochs = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order, dropout and augmentation; 0 if not given.")] = None,
    device: options.Device = None,
    set: Annotated[list[str] | None, typer.Option(help="KEY=VALUE of training, model, modality, task or split; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to write; runs/DATA-MODEL if not given.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with a run that was cut off.")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a model on DATA, measure it, write run and report."""
    from convrnn.api import folder, runs
    from convrnn.core.errors import UsageError

    say = console.voice(json, quiet)
    if resume is not None:
        options.refuse_others(context, tr("the run"), ("resume", "json", "quiet"))
        finished = runs.resume(resume, say=say, watch=_watch(json or quiet))
    else:
        if not data:
            raise UsageError("DATA", tr("is missing"), tr("give a built-in name or a path: `convrnn train digits`"))
        given: dict[str, Any] = {"seed": seed, "epochs": epochs, "device": device}
        finished = runs.train(
            data,
            model=model,
            **options.reading(task, input, target, group, id, time, encoding, valid, test),
            out=out or folder.default_folder(data, model),
            another=out is None,
            command=options.command_line(context),
            say=say,
            watch=_watch(json or quiet),
            **options.chosen_options(given, set or []),
        )
    if json:
        console.as_json({"run": str(finished.folder), "model": finished.model.name, **finished.metrics, "finding": finished.finding})
        return
    for text in _result(finished):
        console.line(text)


def _watch(off: bool) -> Any:
    from convrnn.training.progress import watcher

    return watcher(quiet=off)


def _result(run: Any) -> list[str]:
    """The figures, part by part, and where the run is."""
    parts = {part: values for part, values in run.metrics.items() if part in ("test", "valid", "train")}
    names = list(dict.fromkeys(name for values in parts.values() for name in values))
    at = {name: places(values[name] for values in parts.values() if name in values) for name in names}
    rows = [[called(part), *(fixed(values[name], at[name]) if name in values else "" for name in names)] for part, values in parts.items()]
    lines = ["", *console.table(["", *map(called, names)], rows, right=range(1, len(names) + 1)), ""]
    lines += [*wrapped(run.finding, 79), ""]
    lines.append(
        tr(
            "{seconds:.1f} s of training, {parameters:,} parameters, run: {folder}",
            seconds=run.metrics["seconds"]["train"],
            parameters=run.metrics["parameters"],
            folder=run.folder,
        )
    )
    return lines
