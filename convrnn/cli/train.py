"""`convrnn train`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from convrnn.cli import console
from convrnn.cli.verb import TYPED
from convrnn.core.columns import wrapped
from convrnn.core.language import tr
from convrnn.core.terms import called

NAME = "train"


def run(
    context: typer.Context,
    data: Annotated[str | None, typer.Argument(help="A built-in name (see `convrnn datasets`) or a path.", show_default=False)] = None,
    task: Annotated[str | None, typer.Option(help="classify or regress; inferred from the target if not given.")] = None,
    model: Annotated[str | None, typer.Option(help="A name (see `convrnn models`) or a YAML spec.")] = None,
    input: Annotated[list[str] | None, typer.Option(help="Input column; may be repeated.")] = None,
    target: Annotated[str | None, typer.Option(help="Target column.")] = None,
    group: Annotated[str | None, typer.Option(help="Column whose rows stay in one part.")] = None,
    id: Annotated[str | None, typer.Option(help="Column that says which series a row belongs to.")] = None,
    time: Annotated[str | None, typer.Option(help="Column that orders the rows of a series.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of text files; recognised if not given.")] = None,
    valid: Annotated[str | None, typer.Option(help="Share of the rows, or a file, to watch while training.")] = None,
    test: Annotated[str | None, typer.Option(help="Share of the rows, or a file, to measure on.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training part.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order, dropout and augmentation; 0 if not given.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1.")] = None,
    set: Annotated[list[str] | None, typer.Option(help="KEY=VALUE of training, model, modality, task or split; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to write; runs/DATA-MODEL if not given.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with a run that was cut off.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train a model on DATA, measure it, write run and report."""
    from convrnn.api import folder, runs
    from convrnn.core.errors import UsageError

    typed = context.meta[TYPED]
    say = _quiet if quiet else console.aside if json else console.told
    if resume is not None:
        refuse_others(context, tr("the run"), ("resume", "json", "quiet"))
        finished = runs.resume(resume, say=say, watch=_watch(json or quiet))
    else:
        if not data:
            raise UsageError("DATA", tr("is missing"), tr("give a built-in name or a path: `convrnn train digits`"))
        given: dict[str, Any] = {"seed": seed, "epochs": epochs, "device": device}
        finished = runs.train(
            data,
            model=model,
            task=chosen_task(task),
            input=input or [],
            target=target,
            group=group,
            id=id,
            time=time,
            encoding=encoding,
            valid=share_or_path(valid),
            test=share_or_path(test),
            out=out or folder.default_folder(data, model),
            command=shlex.join(["convrnn", *typed]),
            say=say,
            watch=_watch(json or quiet),
            **chosen_options(given, set or []),
        )
    if json:
        console.as_json({"run": str(finished.folder), "model": finished.model.name, **finished.metrics, "finding": finished.finding})
        return
    for text in _result(finished):
        console.line(text)


def refuse_others(context: typer.Context, what: str, free: tuple[str, ...]) -> None:
    """Raises `UsageError` where anything but what is free was typed with --resume: the run, or the study, knows the rest."""
    from convrnn.core.errors import UsageError

    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and name not in (*free, "lang"):
            shown = parameter.opts[0] if parameter.param_type_name == "option" else name.upper()
            raise UsageError(
                "--resume",
                tr("goes on with what {what} was asked for, got {got} too", what=what, got=shown),
                tr("leave {shown} out", shown=shown),
            )


def chosen_options(flags: dict[str, Any], pairs: list[str]) -> dict[str, Any]:
    """Flags and `--set` together; a key given both ways is an error."""
    from convrnn.api.options import parse
    from convrnn.core.errors import UsageError

    chosen = parse(pairs)
    for name, value in flags.items():
        if value is None:
            continue
        if name in chosen:
            raise UsageError("--set", tr("{name} is given twice, by --{name} too", name=name), tr("give it once"))
        chosen[name] = value
    return chosen


def chosen_task(name: str | None) -> Any:
    from convrnn.core.errors import UsageError

    if name not in (None, "classify", "regress"):
        raise UsageError("--task", tr("expected classify or regress, got {got!r}", got=name))
    return name


def share_or_path(value: str | None) -> float | str | None:
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return value


def _watch(off: bool) -> Any:
    from convrnn.training.progress import watcher

    return watcher(quiet=off)


def _result(run: Any) -> list[str]:
    """The figures, part by part, and where the run is."""
    parts = {part: values for part, values in run.metrics.items() if part in ("test", "valid", "train")}
    names = list(dict.fromkeys(name for values in parts.values() for name in values))
    rows = [[called(part), *(f"{values[name]:.4f}" if name in values else "" for name in names)] for part, values in parts.items()]
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


def _quiet(text: str) -> None:
    """Says nothing."""
