"""`--help` in Chinese: typer counts characters, of which a Chinese one takes two columns, and has headings of its own. Knows no verb."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convrnn.cli import console
from convrnn.core.columns import wrapped
from convrnn.core.language import declared, tr

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperGroup

COLUMNS = 100
"""Of paragraphs, on a wide terminal."""


def of_verb(verb: TyperCommand, context: Any) -> str:
    """Usage, what the verb does, its arguments and options."""
    records = {"argument": list[Sequence[str]](), "option": list[Sequence[str]]()}
    for parameter in verb.get_params(context):
        record = _record(parameter, context)
        if record is not None:
            records[parameter.param_type_name].append(record)
    return "\n".join(
        [
            *_beginning(verb, context),
            *_section(tr("Arguments"), records["argument"]),
            *_section(tr("Options"), records["option"]),
        ]
    )


def of_verbs(verbs: TyperGroup, context: Any) -> str:
    """Usage, options, and a line for each verb."""
    records = [_record(parameter, context) for parameter in verbs.get_params(context)]
    commands = [(name, verbs.commands[name]) for name in verbs.list_commands(context)]
    lines = [(name, declared(command.help or "").partition("\n")[0]) for name, command in commands]
    return "\n".join(
        [
            *_beginning(verbs, context),
            *_section(tr("Options"), [record for record in records if record is not None]),
            *_section(tr("Commands"), lines),
            "",
            declared(verbs.epilog or ""),
        ]
    )


def _beginning(command: TyperCommand | TyperGroup, context: Any) -> list[str]:
    usage = tr("Usage: {command}", command=" ".join([context.command_path, *command.collect_usage_pieces(context)]))
    columns = min(shutil.get_terminal_size((80, 24)).columns, COLUMNS) - 2
    paragraphs = declared(command.help or "").split("\n\n")
    return [usage, *(line for each in paragraphs for line in ("", *(f"  {part}" for part in wrapped(each, columns))))]


def _record(parameter: Any, context: Any) -> Sequence[str] | None:
    """How it is typed, and what it means; typer's notes on defaults are behind that."""
    record = parameter.get_help_record(context)
    if record is None:
        return None
    text = declared(parameter.help or "")
    notes = re.sub(r"^\[|\]$", "", record[1][len(parameter.help or "") :].strip())
    said = [
        tr("default: {value}", value=note.removeprefix("default: ")) if note.startswith("default: ") else tr("required")
        for note in notes.split("; ")
        if note
    ]
    return record[0], f"{text} [{'; '.join(said)}]" if said else text


def _section(heading: str, records: Sequence[Sequence[str]]) -> list[str]:
    if not records:
        return []
    rows = [(f"  {first}", second) for first, second in records]
    return ["", tr("{heading}:", heading=heading), *console.table(rows[0], rows[1:])]
