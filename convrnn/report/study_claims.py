"""The claims of the articles and what became of each: `claims.json` -> sentences, a section of the report, a page in Markdown.

Knows the record alone: effects, intervals and verdicts were computed before.
"""

from __future__ import annotations

import math

from convrnn.core.language import both, spoken, tr
from convrnn.core.numerals import MINUS, NONE, fixed, percent
from convrnn.core.terms import named
from convrnn.report.markup import Column, Markup, join, table, tag
from convrnn.report.records import Json

COLUMNS = 7


def section(record: Json) -> Markup:
    """Every claim with its experiment, effect, interval and verdict."""
    return join([tag("p.under", explained(record)), table([Column(name) for name in heads()], rows(record))])


def markdown(record: Json) -> str:
    """The same as a table in Markdown."""
    lines = [heads(), ["---"] * COLUMNS, *([each.replace("|", "\\|") for each in row] for row in rows(record))]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines]) + "\n\n" + explained(record) + "\n"


def summary(record: Json) -> str:
    """Each claim with its verdict alone, as a table in Markdown."""
    lines = [[tr("claim"), tr("what is claimed"), tr("verdict")], ["---"] * 3]
    lines += [[claim["id"], claim["sentence"][spoken()], word(claim["verdict"])] for claim in record["claims"]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def heads() -> list[str]:
    """The columns."""
    return [tr("claim"), tr("what is claimed"), tr("experiment"), tr("data sets"), tr("effect"), tr("interval"), tr("verdict")]


def rows(record: Json) -> list[list[str]]:
    """A row for each claim with its verdict, then one for each of its comparisons where there are several."""
    found: list[list[str]] = []
    for claim in record["claims"]:
        said, parts = claim["sentence"][spoken()], [_part(part) for part in claim["parts"]]
        if len(parts) == 1:
            found.append([claim["id"], said, *parts[0]])
            continue
        found.append([claim["id"], said, tr("all of these:"), "", "", "", word(claim["verdict"])])
        found += [["", "", *part] for part in parts]
    return found


def word(verdict: str) -> str:
    """A verdict in the language of the context."""
    return {"held": tr("held"), "did not hold": tr("did not hold"), "cannot be told": tr("cannot be told")}[verdict]


def explained(record: Json) -> str:
    """What effects, intervals and verdicts are."""
    return tr(
        "An effect above 0 is as claimed. Of figures it is the mean difference over the sets, with an interval over seeds and test rows; "
        "of costs how much cheaper the first is. All intervals of one claim are right together with {level}. Held: the interval is above "
        "0 and the effect at least the margin; of \u201cno worse\u201d, above minus the margin. Did not hold: the interval leaves no room "
        "for that. P1 and P2 are planted: P1 is false and must not be told, P2 is true and must be.",
        level=percent(1 - record["alpha"], 0),
    )


def _part(part: Json) -> list[str]:
    if "arms" in part:
        done = tr("{told} of {pairs} pairs told apart", told=len(part["told"]), pairs=part["pairs"])
        return [tr("the best of {arms} depends on the set", arms=both(part["arms"])), _sets(part), done, NONE, word(part["verdict"])]
    names = {"first": part["first"], "second": part["second"], "what": _measured(part)}
    if part["relation"] == "better":
        said = tr("{first} better than {second}: {what}", **names)
    else:
        said = tr("{first} no worse than {second}: {what}", **names)
    effect = part["effect"]
    if effect is None:
        return [said, _sets(part), NONE, NONE, word(part["verdict"])]
    mean, low, high = (_shown(effect[key], part["measure"]) for key in ("mean", "low", "high"))
    interval = NONE if low is None or high is None else f"[{low},\u00a0{high}]"
    return [said, _sets(part), mean or NONE, interval, word(part["verdict"])]


def _measured(part: Json) -> str:
    names = {"train_seconds": tr("time of a training"), "multiply_adds": tr("multiply-adds of a row"), "parameters": tr("parameters")}
    return names.get(part["measure"]) or (named(part["metric"]) if part["metric"] else tr("test figure"))


def _sets(part: Json) -> str:
    """Where it was measured, and where it was not."""
    here = both(part["sets"]) if part["sets"] else tr("none")
    return tr("{sets}; not on {missing}", sets=here, missing=both(part["missing"])) if part["missing"] else here


def _shown(value: float | None, measure: str) -> str | None:
    """A difference as it is; the logarithm of a ratio of costs as the share that is saved."""
    if value is None:
        return None
    if measure == "quality":
        return fixed(value, 4)
    saved = -math.expm1(-value)
    return f"{100 * saved:+.0f}%".replace("-", MINUS)
