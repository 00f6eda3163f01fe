"""What typer says of a command line that cannot be used, in the language of this context. Knows typer's sentences; no verb."""

from __future__ import annotations

import re
from collections.abc import Callable

from convrnn.core.language import tr

_SAID: tuple[tuple[str, Callable[..., str]], ...] = (
    (
        r"No such option: (?P<option>\S+) \(Possible options: (?P<known>.*)\)",
        lambda option, known: tr("No such option: {option} (Possible options: {known})", option=option, known=known),
    ),
    (r"No such option: (?P<option>\S+)", lambda option: tr("No such option: {option}", option=option)),
    (
        r"No such command (?P<name>'.*?')\. Did you mean (?P<known>.*)\?",
        lambda name, known: tr("No such command {name}. Did you mean {known}?", name=name, known=known),
    ),
    (r"No such command (?P<name>'.*')", lambda name: tr("No such command {name}", name=name)),
    (r"Missing argument (?P<name>'.*')", lambda name: tr("Missing argument {name}", name=name)),
    (r"Missing option (?P<name>'.*')", lambda name: tr("Missing option {name}", name=name)),
    (r"Option (?P<name>'.*') requires an argument", lambda name: tr("Option {name} requires an argument", name=name)),
    (r"Option (?P<name>'.*') does not take a value", lambda name: tr("Option {name} does not take a value", name=name)),
    (r"Got unexpected extra argument\(s\) \((?P<names>.*)\)", lambda names: tr("Got unexpected extra argument(s) ({names})", names=names)),
    (
        r"Invalid value for (?P<name>'.*?'): (?:Value )?(?P<value>'.*') is not a valid (?P<kind>.*)",
        lambda name, value, kind: tr(
            "Invalid value for {name}: {value} is not a valid {kind}",
            name=name,
            value=value,
            kind=_KINDS[kind]() if kind in _KINDS else kind,
        ),
    ),
    (
        r"Invalid value for (?P<name>'.*?'): Input should be a valid integer, unable to parse string as an integer",
        lambda name: tr("Invalid value for {name}: Input should be a valid integer, unable to parse string as an integer", name=name),
    ),
    (
        r"Invalid value for (?P<name>'.*?'): Input should be a valid number, unable to parse string as a number",
        lambda name: tr("Invalid value for {name}: Input should be a valid number, unable to parse string as a number", name=name),
    ),
    (r"Invalid value for (?P<name>'.*?'): (?P<why>.*)", lambda name, why: tr("Invalid value for {name}: {why}", name=name, why=why)),
)
_KINDS: dict[str, Callable[[], str]] = {"integer": lambda: tr("integer"), "int": lambda: tr("integer"), "float": lambda: tr("number")}


def told(sentence: str) -> str:
    """A sentence of typer's without its full stop; one that is not known here stays as it is."""
    for pattern, say in _SAID:
        if found := re.fullmatch(pattern, sentence):
            return say(**found.groupdict())
    return sentence
