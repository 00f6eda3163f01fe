"""The command line: one thin file a verb over `convrnn.api`. Nothing is imported before it is needed, so that `--help` answers at once."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from convrnn.cli import bench, compare, console, datasets, evaluate, export, inspect, models, predict, report, train, usage
from convrnn.cli.verb import Lang, Verb, Verbs, asked, with_language
from convrnn.core.errors import ConvrnnError, JobError, UsageError
from convrnn.core.language import joined, of_locale, speaking, speaking_everywhere, tr

app = typer.Typer(
    name="convrnn",
    cls=Verbs,
    help="Sequences to a trained, reported model: convolution and recurrence.",
    epilog="To begin: convrnn train digits",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
_TOO_LARGE = ("can't allocate memory", "size calculation overflowed", "Overflow when unpacking")
"""What torch says on the CPU of a tensor for which there is no room anywhere."""

_VERBS = (train, compare, evaluate, predict, inspect, report, export, models, datasets, bench)
for _verb in _VERBS:
    app.command(_verb.NAME, cls=Verb)(with_language(_verb.run))


def _version(asked: bool) -> None:
    if asked:
        from convrnn import __version__

        console.line(f"convrnn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)] = False,
    lang: Lang = None,
) -> None:
    """What holds for every verb. Without one the help is printed, with the exit code of bad usage."""
    if context.invoked_subcommand is None:
        console.aside(context.get_help())
        raise typer.Exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; errors are one line on standard error.

    Args:
        arguments: what was typed after `convrnn`; None: of this process.

    Returns:
        0: done; 1: the job failed (no space, lost file); 2: bad usage or bad input; 130: interrupted.
    """
    console.allow_any_text()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        language = asked(given)
    except UsageError as error:
        with speaking(of_locale()):
            return console.fail(str(error), error.exit_code)
    with speaking_everywhere(language):
        return _run(given)


def _run(given: list[str]) -> int:
    # Without typer's own `main`, which would turn a reader that has gone and Ctrl-C into exit statuses of its own.
    command = typer.main.get_command(app)
    try:
        with command.make_context("convrnn", given) as context:
            command.invoke(context)
        return 0
    except typer.Exit as error:
        return error.exit_code
    except ConvrnnError as error:
        return console.fail(str(error), error.exit_code)
    except typer.TyperException as error:
        return console.fail(_usage(error, given), 2)
    except BrokenPipeError:
        # The reader has gone (`| head`). What is only printed is as good as done; a training that was cut off is not.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if _typed_verb(given) not in (train.NAME, compare.NAME):
            return 0
        cut = tr("was closed before the work was done")
        return console.fail(str(JobError(tr("standard output"), cut, tr("send it to a file, or use --quiet"))), 1)
    except OSError as error:
        return _lost(error)
    except (MemoryError, RuntimeError, TypeError) as error:
        if not _is_lack_of_memory(error):
            raise
        return console.fail(
            str(JobError(tr("memory"), tr("there is less than this needs"), tr("make rows, batch or widths smaller"))), JobError.exit_code
        )
    except KeyboardInterrupt as error:
        return console.fail(str(error) or tr("interrupted"), 130)


def _typed_verb(given: Sequence[str]) -> str | None:
    """The verb that was typed, if any."""
    known = {each.NAME for each in _VERBS}
    return next((word for word in given if word in known), None)


def _lost(error: OSError) -> int:
    """A path that cannot be one is the user's mistake, all else the machine's."""
    where, reason = str(error.filename or tr("disk")), error.strerror or str(error) or tr("failed")
    if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP):
        return console.fail(str(UsageError(where, reason, tr("check the path"))), UsageError.exit_code)
    return console.fail(str(JobError(where, reason, tr("see to the disk and run it again"))), JobError.exit_code)


def _is_lack_of_memory(error: Exception) -> bool:
    """Of torch too, which is not imported for it: on the CPU it raises a bare `RuntimeError`, on a GPU a subclass."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or any(said in str(error) for said in _TOO_LARGE)


def _usage(error: typer.TyperException, given: Sequence[str]) -> str:
    verb = " ".join(filter(None, ("convrnn", _typed_verb(given))))
    text = " ".join(error.format_message().split()).rstrip(".")
    return joined((usage.told(text), tr("see `{verb} --help`", verb=verb)))
