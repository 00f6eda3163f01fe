"""The page: one HTML file with its style and figures inside, no script and no network. Knows records, scores and markup.

A section that has nothing to show (a run still going on, a regression without classes) is left out, heading included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from convrnn.core import numerals
from convrnn.core.language import spoken, tr
from convrnn.core.numerals import NONE, count, decimal, percent
from convrnn.core.terms import named, part_named, sort_named
from convrnn.report import beside
from convrnn.report.curves import Finding
from convrnn.report.markup import SLOTS, Column, Markup, escape, fill, join, table, tag
from convrnn.report.records import Run, messages
from convrnn.report.scores import COUNTED, Classified, Regressed, training_counts, wilson

PARTS = ("train", "valid", "test")
LANGUAGE_TAGS = {"en": "en", "zh": "zh-CN"}
LONG = 14  # rows from which a table of lesser interest is folded


def page(run: Run, sections: Sequence[Markup]) -> str:
    """The whole document of a run."""
    foot = fill(tr("Written by convrnn from the records of the run {folder}.", folder=SLOTS[0]), tag("code", run.folder))
    return document(title(run), sections, foot)


def document(name: str, sections: Sequence[Markup], foot: Markup) -> str:
    """A whole document under a title."""
    style = resources.files("convrnn.report").joinpath("page.css").read_text(encoding="utf-8")
    head = [
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", name),
        Markup(f"<style>{style}</style>"),
    ]
    body = tag("main", tag("h1", name), *sections)
    whole = join([body, tag("footer", foot)])
    return f'<!doctype html>\n<html lang="{LANGUAGE_TAGS[spoken()]}">\n<head>{join(head)}</head>\n<body>{whole}</body>\n</html>\n'


def title(run: Run) -> str:
    """What was trained on what."""
    model, data = (run.model or {}).get("name"), (run.data or {}).get("name")
    return tr("{model} on {data}", model=model, data=data) if model and data else str(model or data or run.folder)


def section(heading: str, *content: Markup) -> Markup:
    """A part of the page under its heading; nothing where there is no content."""
    return tag("section", tag("h2", heading), *content) if any(content) else Markup()


def plot(svg: Markup, caption: str = "", heading: str = "", wide: bool = False) -> Markup:
    """A figure under its heading with what to look for in it; a wide one scrolls sideways on a narrow screen."""
    box = tag("div.wide", svg) if wide else svg
    return tag("figure.plot", *([tag("h3", heading)] if heading else []), box, *([tag("figcaption", caption)] if caption else []))


def headline(run: Run, scores: Classified | Regressed | None) -> Markup:
    """The result in one number, how sure it is, what it is compared with, and the command that made it."""
    command = tag("pre.command", tag("code", run.command)) if run.command else Markup()
    return join([_result(run, scores), _by_part(run), command])


def findings(found: Sequence[Finding]) -> Markup:
    """What the learning curves show, in sentences."""
    mood = {
        "converged": "div.finding.good",
        "diverged": "div.finding.bad",
        "oscillates": "div.finding.bad",
        "overfitting": "div.finding.bad",
        "worsening": "div.finding.bad",
    }
    return join(
        tag(mood.get(each.kind, "div.finding"), tag("p", each.sentence), *([tag("p", each.remedy)] if each.remedy else []))
        for each in found
    )


def classes(scores: Classified, numbered: bool) -> Markup:
    """Precision, recall, F1 and support by class; folded where there are very many."""
    columns = [Column(tr("class")), *(Column(name, True) for name in (tr("precision"), tr("recall"), "F1", tr("rows")))]
    if numbered:
        columns = [Column(tr("no."), True), *columns]
    rows = []
    for number, each in enumerate(scores.per_class(), start=1):
        row = [each.label or tr("(empty)"), *(_bar(share) for share in (each.precision, each.recall, each.f1)), count(each.support)]
        rows.append([str(number), *row] if numbered else row)
    return tag("div", tag("h3", tr("By class")), folded(table(columns, rows), tr("{count} classes", count=len(rows)), len(rows) > 3 * LONG))


def confused(scores: Classified) -> Markup:
    """The most frequent confusions, where there are more than the two that a matrix shows at once."""
    worst = scores.confusions(10)
    if not worst or len(scores.labels) < 3:
        return Markup()
    columns = [Column(tr("true class")), Column(tr("predicted")), Column(tr("rows"), True), Column(tr("of its class"), True)]
    support = dict(zip(scores.labels, scores.counts.sum(axis=1).tolist(), strict=True))
    rows = [[true or tr("(empty)"), said or tr("(empty)"), count(times), percent(times / support[true])] for true, said, times in worst]
    return tag("div", tag("h3", tr("Most frequent confusions")), table(columns, rows))


def key(labels: Sequence[str]) -> Markup:
    """What the numbers in the figures stand for."""
    names = tag("ol.key", *(tag("li", label or tr("(empty)")) for label in labels))
    return join([tag("p.under", tr("Classes are numbered in the figures:")), names])


def confusion_caption(scores: Classified) -> str:
    """How to read the confusion matrix."""
    if len(scores.labels) <= COUNTED:
        return tr("Rows are true classes, columns predicted ones; numbers are rows, the shade is the share of the true class.")
    return tr("Rows are true classes, columns predicted ones; the shade is the share of the true class.")


def calibration_caption(scores: Classified) -> str:
    """What the reliability diagram says, with the expected calibration error."""
    mean = sum(each.confidence * each.rows for each in scores.bins) / scores.rows
    gap = mean - scores.right / scores.rows
    if abs(gap) < 0.02:
        lean = tr("on the whole as sure as it should be")
    else:
        size = percent(abs(gap))
        lean = tr("on the whole too sure by {gap}", gap=size) if gap > 0 else tr("on the whole too modest by {gap}", gap=size)
    return tr(
        "Expected calibration error {error} (ten bins). The model is {lean}. Lines are 95\u202f% intervals.",
        error=percent(scores.ece),
        lean=lean,
    )


def _sound(parts: Mapping[str, Any]) -> str | None:
    """Durations and rates of recordings, over all parts."""
    found = [part["sound"] for part in parts.values() if part.get("sound")]
    if not found:
        return None
    shortest, longest = min(each["seconds"]["min"] for each in found), max(each["seconds"]["max"] for each in found)
    rates = sorted({int(rate) for each in found for rate in each["rates"]})
    return tr(
        "{shortest:.2f} to {longest:.2f} s, {rates} Hz", shortest=shortest, longest=longest, rates=", ".join(f"{rate:,}" for rate in rates)
    )


def data(run: Run) -> Markup:
    """The parts, their lengths, classes, channels, and what was noticed when the files were read."""
    record = run.data or {}
    parts = {name: part for name, part in (record.get("parts") or {}).items() if part}
    lengths = (tr("shortest length"), tr("median length"), tr("longest length"))
    columns = [Column(tr("part")), Column(tr("rows"), True), *(Column(name, True) for name in lengths)]
    rows = []
    for name, part in parts.items():
        length = part.get("length") or {}
        rows.append([part_named(name), *map(numerals.cell, (part.get("rows"), *(length.get(each) for each in ("min", "median", "max"))))])
    channels = [str(name) for name in record.get("channels") or ()]
    facts: dict[str, Any] = {
        tr("kind"): sort_named(str(record.get("kind", ""))) or None,
        tr("task"): sort_named(str(record.get("task", ""))) or None,
        tr("channels"): len(channels) or None,
        tr("sound"): _sound(parts),
        tr("classes"): len(training_counts(run)) or None,
        tr("missing values"): record.get("missing") or None,
    }
    notes = [tag("li", note) for note in messages(record)]
    return join(
        [
            _facts(facts),
            *([table(columns, rows)] if rows else []),
            _class_rows(parts),
            *([folded(tag("p", ", ".join(channels)), tr("Channels"), len(channels) > 2 * LONG, heading=True)] if len(channels) > 1 else []),
            *([tag("h3", tr("Noticed while reading")), tag("ul.notes", *notes)] if notes else []),
        ]
    )


def model(run: Run) -> Markup:
    """Size, reach and speed of the model, its layers, its spec."""
    record = run.model or {}
    past, lookahead = record.get("past"), record.get("lookahead")
    facts: dict[str, Any] = {
        tr("parameters"): record.get("parameters"),
        tr("receptive field"): None if "past" not in record else _reach(past, lookahead),
        tr("lookahead"): None if "lookahead" not in record else _frames(lookahead),
        tr("frames out per frame in"): str(record["ratio"]) if record.get("ratio") else None,
        tr("multiply-adds of a row"): _work(record["multiply_adds"], record["frames"]) if "multiply_adds" in record else None,
        tr("latency"): numerals.seconds(record["latency_ms"] / 1000) if record.get("latency_ms") is not None else None,
        tr("streams"): record.get("streams"),
    }
    spec = record.get("spec_yaml")
    written = [tag("h3", tr("Spec")), tag("pre", tag("code", str(spec).rstrip()))] if spec else []
    return join([_facts(facts), _layers(record.get("layers") or ()), *written])


def configuration(run: Run) -> Markup:
    """Seed, times, task and the configuration, whole."""
    metrics = run.metrics or {}
    spent = metrics.get("seconds")
    times = spent if isinstance(spent, Mapping) else {"": spent} if spent is not None else {}
    facts: dict[str, Any] = {
        tr("seed"): None if metrics.get("seed") is None else str(metrics["seed"]),
        tr("epochs"): len(run.epochs) or None,
    }
    spent_on = {"train": tr("training time"), "measure": tr("measuring time"), "": tr("time")}
    facts |= {spent_on.get(name, name): numerals.seconds(float(value)) for name, value in times.items()}
    facts |= {name: value for name, value in (run.task or {}).items() if isinstance(value, str | int | float)}
    config = tag("details", tag("summary", "config.yaml"), tag("pre", tag("code", run.config.rstrip()))) if run.config.strip() else Markup()
    return join([_facts(facts), config])


def _result(run: Run, scores: Classified | Regressed | None) -> Markup:
    if isinstance(scores, Classified):
        return _accuracy(run, scores)
    return _recorded(run) if scores is None else _error(run, scores)


def _accuracy(run: Run, scores: Classified) -> Markup:
    share, low_high = scores.right / scores.rows, wilson(scores.right, scores.rows)
    places = 1 if scores.rows < 2000 else 2
    base = scores.majority[1] / scores.rows
    said = [
        tag(
            "p",
            tr(
                "{right:,} of {rows:,} {part} rows are right. 95\u202f% interval: {low} to {high} (Wilson).",
                right=scores.right,
                rows=scores.rows,
                part=part_named(run.part),
                low=percent(low_high.low, places),
                high=percent(low_high.high, places),
            ),
        ),
        tag("p.under", beside.majority(scores, places)),
    ]
    number = tag(
        "div",
        tag("div.value", percent(share, places)),
        tag("div.what", tr("{part} {metric}", part=part_named(run.part), metric=named("accuracy"))),
    )
    marks = (
        ("band", f"left: {low_high.low:.2%}; width: {low_high.high - low_high.low:.2%}"),
        ("base", f"left: {base:.2%}"),
        ("mark", f"left: {share:.2%}"),
    )
    scale = tag(
        "div.scale", *(tag(f"span.{name}", attributes={"style": place}) for name, place in marks), attributes={"aria-hidden": "true"}
    )
    between = tr("band: interval, dotted: most frequent class")
    ends = tag(
        "div.ends",
        tag("span", tr("{number}\u202f%", number=0)),
        tag("span", between),
        tag("span", tr("{number}\u202f%", number=100)),
    )
    return join([tag("div.headline", number, tag("div", *said)), scale, ends])


def _error(run: Run, scores: Regressed) -> Markup:
    interval = scores.interval()
    part = part_named(run.part)
    over = tr("Mean absolute error over {rows:,} {part} rows.", rows=len(scores.truth), part=part)
    if interval:
        over = tr("{over} 95\u202f% interval: {low} to {high}.", over=over, low=decimal(interval.low), high=decimal(interval.high))
    spread = tr("root mean squared error {error}.", error=decimal(scores.rmse))
    explained = tr("R\u00b2 {r2:.3f}, {spread}", r2=scores.r2, spread=spread) if math.isfinite(scores.r2) else spread
    said = [tag("p", over), tag("p", explained), tag("p.under", beside.median(scores))]
    what = tr("{part} {metric}", part=part, metric=named("mae"))
    number = tag("div", tag("div.value", decimal(scores.mae)), tag("div.what", what))
    return tag("div.headline", number, tag("div", *said))


def _recorded(run: Run) -> Markup:
    """The result of a run whose single answers were not kept: what its metrics say."""
    metrics = (run.metrics or {}).get(run.part) or {}
    name = next((name for name in ("accuracy", "mae", "r2") if isinstance(metrics.get(name), int | float)), None)
    if name is None:
        return tag("p", tr("There are no answers to rows with a known target in this run (yet)."))
    value = percent(metrics[name]) if name == "accuracy" else decimal(metrics[name])
    rows = (((run.data or {}).get("parts") or {}).get(run.part) or {}).get("rows")
    said = [tag("p", tr("Over {rows:,} {part} rows.", rows=rows, part=part_named(run.part)))] if rows else []
    if rows and name == "accuracy":
        low, high = wilson(round(metrics[name] * rows), rows)
        said.append(tag("p", tr("95\u202f% interval: {low} to {high} (Wilson).", low=percent(low), high=percent(high))))
    number = tag("div", tag("div.value", value), tag("div.what", tr("{part} {metric}", part=part_named(run.part), metric=named(name))))
    return tag("div.headline", number, tag("div", *said))


def _by_part(run: Run) -> Markup:
    """Every recorded metric of every part."""
    parts = {name: run.metrics[name] for name in PARTS if isinstance((run.metrics or {}).get(name), Mapping)} if run.metrics else {}
    names = list(dict.fromkeys(name for part in parts.values() for name, value in part.items() if isinstance(value, int | float)))
    if not names:
        return Markup()
    columns = [Column(tr("part")), *(Column(named(name), True) for name in names)]
    return table(columns, [[part_named(name), *(numerals.cell(_real(part.get(each))) for each in names)] for name, part in parts.items()])


def _class_rows(parts: Mapping[str, Mapping[str, Any]]) -> Markup:
    counts = {name: {str(label): int(n) for label, n in part["classes"].items()} for name, part in parts.items() if part.get("classes")}
    labels = list(dict.fromkeys(label for part in counts.values() for label in part))
    if not labels:
        return Markup()
    columns = [Column(tr("class")), *(Column(tr("{part} rows", part=part_named(name)), True) for name in counts)]
    largest = {name: max(part.values()) for name, part in counts.items()}
    rows = [
        [
            label or tr("(empty)"),
            *(_bar(part.get(label, 0) / max(1, largest[name]), count(part.get(label, 0))) for name, part in counts.items()),
        ]
        for label in labels
    ]
    return folded(table(columns, rows), tr("Classes"), len(rows) > LONG, heading=True)


def _layers(layers: Sequence[Mapping[str, Any]]) -> Markup:
    if not layers:
        return Markup()
    heads = {
        "parameters": tr("parameters"),
        "multiply_adds": tr("multiply-adds"),
        "past": tr("past"),
        "lookahead": tr("lookahead"),
        "latency_ms": tr("latency, ms"),
    }
    numbers = [name for name in heads if any(name in layer for layer in layers)]
    columns = [Column(tr("layer")), Column(tr("place")), Column(tr("output")), *(Column(heads[name], True) for name in numbers)]
    rows = []
    for layer in layers:
        words = [tag("code", str(layer.get("layer", ""))), str(layer.get("path", "")), tag("code", str(layer.get("out", "")))]
        rows.append([*words, *(_reach_cell(name, layer) for name in numbers)])
    return join([tag("h3", tr("Layers")), table(columns, rows)])


def _reach_cell(name: str, layer: Mapping[str, Any]) -> str:
    if name not in layer:
        return NONE
    if name == "latency_ms" and layer[name] is not None:
        return f"{layer[name]:,.3f}"
    return tr("unbounded") if layer[name] is None and name in ("past", "lookahead") else numerals.cell(layer[name])


def _work(terms: int, frames: int) -> str:
    return tr("{count:,} at {frames}", count=terms, frames=numerals.frames(frames))


def _reach(past: int | None, lookahead: int | None) -> str:
    return tr("the whole row") if past is None or lookahead is None else _frames(past + 1 + lookahead)


def _frames(number: int | None) -> str:
    return tr("to the end of the row") if number is None else numerals.frames(number)


def _facts(facts: Mapping[str, Any]) -> Markup:
    """Small facts side by side; None is left out."""
    known = [tag("div", tag("dt", name), tag("dd", numerals.cell(value))) for name, value in facts.items() if value is not None]
    return tag("dl.facts", *known) if known else Markup()


def folded(content: Markup, name: str, fold: bool, heading: bool = False) -> Markup:
    """Content under a name that opens it, or, where it need not be folded, under its heading if it wants one."""
    if fold:
        return tag("details", tag("summary", name), content)
    return join([tag("h3", name), content]) if heading else content


def _bar(share: float, text: str = "") -> Markup:
    """A number over a bar as long as its share; without text the share itself."""
    if not math.isfinite(share):
        return escape(NONE)
    return tag("span.bar", text or f"{share:.3f}", attributes={"style": f"--share: {share:.1%}"})


def _real(value: Any) -> float | int | None:
    return value if isinstance(value, int | float) else None
