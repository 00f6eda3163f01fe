"""The parts of the report of a study, as markup: verdict, leaderboard, pairs, heat maps, costs, commands. Knows records and words.

What it shows was computed before: `statistics.json` holds means and tests, `costs.jsonl` the costs. Figures come from `study_figures.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from convrnn.core.language import tr
from convrnn.core.numerals import MINUS, NONE, cell, count, decimal, fixed, percent, places, seconds
from convrnn.core.terms import named, sort_named
from convrnn.report.html import folded
from convrnn.report.markup import Column, Markup, join, table, tag
from convrnn.report.records import Json, json_object
from convrnn.report.study_records import Cost, Study
from convrnn.report.study_words import Verdict, between, overall, places_of, probability, short_count

LONG = 15  # rows from which a table of lesser interest is folded
CLASSES = 24  # columns of a heat map; of more classes those that differ most


class Price(NamedTuple):
    """One kind of cost: its field of `Cost`, its name, and how a number of it is written."""

    field: str
    name: Callable[[], str]
    written: Callable[[float], str]


def _milliseconds(value: float) -> str:
    return f"{value:.3g} ms"


def _memory(value: float) -> str:
    return f"{value:,.0f} MB"


def _size(value: float) -> str:
    return f"{value / 1e6:.2f} MB" if value >= 1e5 else f"{value / 1e3:.0f} kB"


PRICES = (
    Price("parameters", lambda: tr("parameters"), short_count),
    Price("multiply_adds", lambda: tr("multiply-adds of a row"), short_count),
    Price("latency_ms", lambda: tr("latency of a row"), _milliseconds),
    Price("push_ms", lambda: tr("latency of a pushed frame"), _milliseconds),
    Price("train_seconds", lambda: tr("time of a training"), seconds),
    Price("memory_mb", lambda: tr("memory in training"), _memory),
    Price("disk_bytes", lambda: tr("size on disk"), _size),
)


def headline(study: Study, verdicts: Sequence[Verdict]) -> Markup:
    """What the study shows, first of all; then what that rests on and holds for, and the command."""
    shown = [_verdict(each) for each in verdicts]
    if not shown:
        shown = [tag("p", tr("There are no statistics yet: the study is still going on."))]
    command = tag("pre.command", tag("code", study.command)) if study.command else Markup()
    return join([*shown, command])


def _verdict(verdict: Verdict) -> Markup:
    details = tag("ul.facts-list", *(tag("li", each) for each in verdict.details)) if verdict.details else Markup()
    notes = join(tag("p.under", each) for each in verdict.holds)
    return join([tag("p.verdict", verdict.headline), details, notes])


def key(arms: Sequence[str], swatches: Mapping[str, Markup], numbered: bool) -> Markup:
    """How each model is drawn in every picture, and the number that stands for it where names cannot be drawn."""
    items = [tag("li", swatches[arm], f"{number}: {arm}" if numbered else arm) for number, arm in enumerate(arms, start=1)]
    return tag("ul.models", *items)


def leaderboard(family: Json, costs: Sequence[Cost], swatches: Mapping[str, Markup]) -> Markup:
    """Mean, interval and average rank of each model; its size and the time of a training beside them."""
    several = len(family["sets"]) > 1
    columns = [Column(tr("model")), Column(named(family["metric"]), True), Column(tr("95% interval"), True)]
    columns += [Column(tr("average rank"), True), Column(tr("sets"), True)] if several else [Column(tr("deviation over seeds"), True)]
    shown = [price for price in PRICES if price.field in ("parameters", "train_seconds")]
    columns += [Column(price.name(), True) for price in shown]
    deviation, at = {each["arm"]: each["deviation"] for each in family["cells"]}, places_of(family)
    rows = []
    for line in family["leaderboard"]:
        rank = NONE if line["rank"] is None else f"{line['rank']:.2f}"
        beside = [rank, str(line["sets"])] if several else [NONE if (found := deviation[line["arm"]]) is None else fixed(found, at)]
        paid = [_paid(costs, family, line["arm"], price) for price in shown]
        rows.append([_name(line["arm"], swatches), fixed(line["mean"], at), between(line["low"], line["high"], at), *beside, *paid])
    explained = tr(
        "An interval says where the mean would lie with other seeds and other test rows (bootstrap over both). All models answer the same "
        "rows, so two whose intervals overlap may still differ: the pairs below tell."
    )
    return join([table(columns, rows), tag("p.under", explained)])


def costs_of(study: Study, family: Json, swatches: Mapping[str, Markup]) -> Markup:
    """Every cost of each model, its mean over the sets."""
    shown = [price for price in PRICES if any(getattr(cost, price.field) is not None for cost in study.costs)]
    if not shown:
        return Markup()
    columns = [Column(tr("model")), *(Column(price.name(), True) for price in shown)]
    rows = [[_name(arm, swatches), *(_paid(study.costs, family, arm, price) for price in shown)] for arm in family["arms"]]
    return table(columns, rows)


def _name(arm: str, swatches: Mapping[str, Markup]) -> Markup:
    return tag("span.model", swatches[arm], arm)


def _paid(costs: Sequence[Cost], family: Json, arm: str, price: Price) -> str:
    value = getattr(overall(costs, arm, family["sets"]), price.field)
    return NONE if value is None else price.written(value)


def pairs(family: Json) -> Markup:
    """Every pair with its test, those told apart first."""
    found = sorted(family["pairs"], key=lambda pair: (not pair["told"], pair["holm"]))
    if not found:
        return Markup()
    several = len(family["sets"]) > 1
    at = places_of(family)
    tally = [tr("won, tied, lost")] if several else []
    columns = [Column(tr("model ahead")), Column(tr("model behind"))]
    columns += [Column(name, True) for name in (tr("difference"), tr("interval"), *tally, "Holm p", "d_z", "A")]
    columns.append(Column(tr("verdict")))
    rows = []
    for pair in found:
        numbers = [fixed(pair["difference"], at), between(pair["low"], pair["high"], at)]
        numbers += [f"{pair['wins']}, {pair['ties']}, {pair['losses']}"] if several else []
        size = NONE if pair["d_z"] is None else f"{pair['d_z']:.2f}".replace("-", MINUS)
        numbers += [probability(pair["holm"]).removeprefix("= "), size, f"{pair['superiority']:.2f}"]
        rows.append(
            [pair["first"], pair["second"], *numbers, tag("span.model", tr("better") if pair["told"] else tr("cannot be told apart"))]
        )
    told = sum(pair["told"] for pair in found)
    name = tr("{told} of {pairs} pairs told apart", pairs=len(found), told=told)
    low, high = (percent(end(pair["level"] for pair in found), 2) for end in (min, max))
    explained = tr(
        "Each interval is as wide as its test asks for with so many pairs ({levels}), so that it leaves out 0 just where the pair "
        "is told apart. d_z: mean difference over its deviation (Cohen). A: how often a training of the one beats one of the other "
        "(Vargha and Delaney).",
        levels=low if low == high else tr("{low} to {high}", low=low, high=high),
    )
    if family["scope"] == "sets":
        explained += tr(" Where many sets tie, the interval may end at 0: the test rejects 0 and nothing beyond.")
    return join([folded(join([table(columns, rows), tag("p.under", explained)]), name, len(found) > LONG, heading=True), _omnibus(family)])


def _omnibus(family: Json) -> Markup:
    found = family["friedman"]
    if found is None or family["scope"] != "sets":
        return Markup()
    said = tr(
        "Friedman's test over {sets} sets and {models} models: p {p} (chi squared {chi:.2f}), Iman and Davenport's F {f}: p {f_p}.",
        sets=found["sets"],
        models=found["models"],
        p=probability(found["p"]),
        chi=found["chi_squared"],
        f=decimal(math.inf if found["f"] is None else found["f"]),
        f_p=probability(found["f_p"]),
    )
    return tag("p.under", said)


def by_set(family: Json) -> Markup:
    """Means by model and set; the shade says how far a model is above or below the mean of the models on that set."""
    if len(family["sets"]) < 2:
        return Markup()
    means = {(each["set"], each["arm"]): each["mean"] for each in family["cells"]}
    return _heat(family["sets"], family["arms"], means, family["better"] == "higher", tr("set"))


def by_class(study: Study, family: Json) -> Markup:
    """For each set of classes the recall of each class by model, mean over seeds; folded where there are several sets."""
    found = []
    for name in family["sets"]:
        own = [each for each in study.results if each.set == name and each.per_class and each.metric == family["metric"]]
        recalls: dict[tuple[str, str], list[float]] = {}
        for each in own:
            for label, recall in each.per_class.items():
                recalls.setdefault((label, each.arm), []).append(recall)
        if not recalls:
            continue
        means = {cell: sum(each) / len(each) for cell, each in recalls.items()}
        labels = list(dict.fromkeys(label for label, _ in means))
        arms = [arm for arm in family["arms"] if (labels[0], arm) in means]
        shown = _most_different(labels, arms, means)
        note = (
            []
            if len(shown) == len(labels)
            else [tag("p.under", tr("The {shown} of {count} classes that differ most.", shown=len(shown), count=len(labels)))]
        )
        heading = [tag("h3", name)] if len(family["sets"]) > 1 else []
        found.append(join([*heading, _heat(shown, arms, means, True, tr("class")), *note]))
    return folded(join(found), tr("Recall by class"), len(found) > 1, heading=True) if found else Markup()


def _most_different(labels: Sequence[str], arms: Sequence[str], means: Mapping[tuple[str, str], float]) -> list[str]:
    def spread(label: str) -> float:
        own = [means[label, arm] for arm in arms if (label, arm) in means]
        return max(own) - min(own)

    most = sorted(labels, key=spread, reverse=True)[:CLASSES]
    return [label for label in labels if label in most]


def _heat(columns: Sequence[str], arms: Sequence[str], means: Mapping[tuple[str, str], float], higher: bool, what: str) -> Markup:
    """A table whose cells are blue where a model is better than the mean of its column and orange where it is worse; the best is bold."""
    head = tag("tr", tag("th", tr("model")), *(tag("th", name or tr("(empty)"), attributes={"scope": "col"}) for name in columns))
    sign = 1 if higher else -1
    middle, best, at = {}, {}, {}
    for name in columns:
        own = [means[name, arm] for arm in arms if (name, arm) in means]
        middle[name], best[name], at[name] = sum(own) / len(own), max(own) if higher else min(own), places(own, 3)
    widest = max((abs(value - middle[name]) for (name, _), value in means.items() if name in middle), default=0.0) or 1.0
    rows = []
    for arm in arms:
        cells = [tag("th", arm, attributes={"scope": "row"})]
        for name in columns:
            value = means.get((name, arm))
            if value is None:
                cells.append(tag("td", NONE))
                continue
            gap = sign * (value - middle[name]) / widest
            style = f"--tone: var(--c{1 if gap > 0 else 2}); --share: {55 * math.sqrt(abs(gap)):.0f}%"
            cells.append(tag("td.best" if value == best[name] else "td", fixed(value, at[name]), attributes={"style": style}))
        rows.append(tag("tr", *cells))
    box = tag(
        "div.scroll",
        tag("table.heat", tag("thead", head), tag("tbody", *rows)),
        attributes={"tabindex": "0", "role": "region", "aria-label": what},
    )
    said = tr("Blue: better than the mean of these models in its column; orange: worse; the stronger the further. Bold: the best.")
    return join([box, tag("p.under", said)])


def compared(study: Study) -> Markup:
    """What was compared on what: models with their options, sets, and what was left out and why."""
    chosen: dict[tuple[str, str], list[Json]] = {}
    for each in study.results:
        chosen.setdefault((each.arm, each.set), []).append(each.options)
    arms = [[arm.name, arm.model, _options(arm.options)] for arm in study.arms]
    own = any(each.budget is not None for each in study.sets)  # else it stands among the facts
    sets = [
        [each.name, each.data, sort_named(each.kind), cell(each.rows), cell(each.classes), *([cell(each.budget)] if own else [])]
        for each in study.sets
    ]
    parts = [table([Column(tr("model")), Column(tr("built as")), Column(tr("options"))], arms)]
    heads = [Column(tr("set")), Column(tr("data")), Column(tr("kind")), Column(tr("rows"), True), Column(tr("classes"), True)]
    heads += [Column(tr("budget"), True)] if own else []
    parts += [tag("h3", tr("Data sets")), table(heads, sets)]
    solved = [[arm, name, _options(found[0])] for (arm, name), found in chosen.items() if found[0]]
    if solved:
        shown = table([Column(tr("model")), Column(tr("set")), Column(tr("solved and chosen"))], solved)
        parts.append(folded(shown, tr("Widths and rates: what was solved and chosen"), True))
    if study.skipped:
        rows = [[each.arm, each.set, each.why] for each in study.skipped]
        parts += [tag("h3", tr("Left out")), table([Column(tr("model")), Column(tr("set")), Column(tr("why"))], rows)]
    return join([_facts(study), *parts])


def _facts(study: Study) -> Markup:
    if any(each.budget is not None for each in study.sets):
        budget = tr("that of each set")
    elif study.budget is not None:
        budget = tr("{parameters} parameters", parameters=count(study.budget))
    else:
        budget = tr("none: each model at its own size")
    facts = {
        tr("seeds"): str(study.seeds),
        tr("folds"): None if study.folds is None else str(study.folds),
        tr("budget"): budget,
        tr("learning rates tried"): None if study.trials is None else str(study.trials),
    }
    return tag("dl.facts", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts.items() if value is not None))


def _options(options: Json) -> str:
    return (
        ", ".join(
            f"{key}={json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value}" for key, value in options.items()
        )
        or NONE
    )


def commands(study: Study) -> Markup:
    """The command of the study, that of its report, and that of each training of the first seed."""
    drawn = f"convrnn report {study.folder.resolve().name}"
    first = tag("pre.command", tag("code", "\n".join([*([study.command] if study.command else []), drawn])))
    single = []
    for each in study.results:
        summary = json_object(study.run(each) / "summary.json") if each.seed == min(other.seed for other in study.results) else None
        if summary and summary.get("command"):
            single.append(str(summary["command"]))
    if not single:
        return first
    said = tag("p.under", tr("Of the first seed; the others differ in their seed."))
    lines = tag("pre", tag("code", "\n".join(single)))
    return join([first, folded(join([said, lines]), tr("The commands of {count} trainings", count=len(single)), True)])
