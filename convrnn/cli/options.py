"""What several verbs are asked in the same words, each once: options with their help, and how what was typed is read. Knows no verb."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from convrnn.cli.verb import TYPED, shown
from convrnn.core.language import tr

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A folder that `convrnn train` wrote.")]
Task = Annotated[str | None, typer.Option(help="classify or regress; inferred from the target if not given.")]
Input = Annotated[list[str] | None, typer.Option(help="Input column; may be repeated.")]
Target = Annotated[str | None, typer.Option(help="Target column.")]
Group = Annotated[str | None, typer.Option(help="Column whose rows stay in one part.")]
Id = Annotated[str | None, typer.Option(help="Column that says which series a row belongs to.")]
Time = Annotated[str | None, typer.Option(help="Column that orders the rows of a series.")]
Encoding = Annotated[str | None, typer.Option(help="Of text files; recognised if not given.")]
SameEncoding = Annotated[str | None, typer.Option("--encoding", help="Of text files; as in training if not given.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training part.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def command_line(context: typer.Context) -> str:
    """What was typed."""
    return shlex.join(["convrnn", *context.meta[TYPED]])


def refuse_others(context: typer.Context, what: str, free: tuple[str, ...]) -> None:
    """Raises `UsageError` where anything but what is free was typed with --resume: the run, or the study, knows the rest."""
    from convrnn.core.errors import UsageError

    for parameter in context.command.params:
        name = parameter.name or ""
        if was_typed(context, name) and name not in (*free, "lang"):
            raise UsageError(
                "--resume",
                tr("goes on with what {what} was asked for, got {got} too", what=what, got=shown(parameter)),
                tr("leave {shown} out", shown=shown(parameter)),
            )


def refuse(given: Mapping[str, Any], reason: str, remedy: str) -> None:
    """Raises `UsageError` for the first of these options that has a value: nothing would come of it."""
    from convrnn.core.errors import UsageError

    for option, value in given.items():
        if value is not None:
            raise UsageError(option, reason, remedy)


def require_file_place(option: str, path: Path) -> None:
    """Raises `UsageError` where no file can be written, before the work that it is for."""
    from convrnn.core.errors import UsageError

    if path.is_dir():
        raise UsageError(option, tr("{path} is a folder, expected a file", path=path), tr("choose another"))
    if not path.parent.is_dir():
        raise UsageError(option, tr("there is no folder {folder}", folder=path.parent), tr("make it first, or choose another"))


def was_typed(context: typer.Context, name: str) -> bool:
    """Whether a parameter was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


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


def reading(
    task: str | None,
    input: list[str] | None,
    target: str | None,
    group: str | None,
    id: str | None,
    time: str | None,
    encoding: str | None,
    valid: str | None,
    test: str | None,
) -> dict[str, Any]:
    """How data are read and divided, as `convrnn.train` and `convrnn.compare` are told of it.

    Raises:
        UsageError: a task that is none.
    """
    from convrnn.core.errors import UsageError

    if task not in (None, "classify", "regress"):
        raise UsageError("--task", tr("expected classify or regress, got {got!r}", got=task))
    parts = {"valid": _share_or_path(valid), "test": _share_or_path(test)}
    return {"task": task, "input": input or [], "target": target, "group": group, "id": id, "time": time, "encoding": encoding, **parts}


def _share_or_path(value: str | None) -> float | str | None:
    """A number is a share of the rows, anything else the path of a file."""
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return value
