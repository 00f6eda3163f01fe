"""The page: one HTML file with its style and figures inside, no script and no network. Knows records, scores and markup.

A section that has nothing to show (a run still going on, a regression without classes) is left out, heading included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from convrnn.core.language import tr
from convrnn.report import numerals
from convrnn.report.curves import Finding
from convrnn.report.markup import Column, Markup, escape, join, table, tag
from convrnn.report.numerals import NONE, count, decimal, percent
from convrnn.report.records import Run
from convrnn.report.scores import COUNTED, Classified, Regressed, training_counts, wilson

PARTS = {"train": "training", "valid": "validation", "test": "test"}
LONG = 14  # rows from which a table of lesser interest is folded


def page(run: Run, sections: Sequence[Markup]) -> str:
    """The whole document."""
    style = resources.files("convrnn.report").joinpath("page.css").read_text(encoding="utf-8")
    head = [
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", title(run)),
        Markup(f"<style>{style}</style>"),
    ]
    foot = tag("footer", "Written by convrnn from the records of the run ", tag("code", run.folder), ".")
    body = tag("main", tag("h1", title(run)), *sections)
    return f'<!doctype html>\n<html lang="en">\n<head>{join(head)}</head>\n<body>{body}{foot}</body>\n</html>\n'


def title(run: Run) -> str:
    """What was trained on what."""
    model, data = (run.model or {}).get("name"), (run.data or {}).get("name")
    return f"{model} on {data}" if model and data else str(model or data or run.folder)


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
    }
    return join(
        tag(mood.get(each.kind, "div.finding"), tag("p", each.sentence), *([tag("p", each.remedy)] if each.remedy else []))
        for each in found
    )


def classes(scores: Classified, numbered: bool) -> Markup:
    """Precision, recall, F1 and support by class; folded where there are very many."""
    columns = [Column("class"), *(Column(name, True) for name in ("precision", "recall", "F1", "rows"))]
    if numbered:
        columns = [Column("no.", True), *columns]
    rows = []
    for number, each in enumerate(scores.per_class(), start=1):
        row = [each.label or "(empty)", *(_bar(share) for share in (each.precision, each.recall, each.f1)), count(each.support)]
        rows.append([str(number), *row] if numbered else row)
    return tag("div", tag("h3", "By class"), _folded(table(columns, rows), f"{len(rows)} classes", len(rows) > 3 * LONG))


def confused(scores: Classified) -> Markup:
    """The most frequent confusions, where there are more than the two that a matrix shows at once."""
    worst = scores.confusions(10)
    if not worst or len(scores.labels) < 3:
        return Markup()
    columns = [Column("true class"), Column("predicted"), Column("rows", True), Column("of its class", True)]
    support = dict(zip(scores.labels, scores.counts.sum(axis=1).tolist(), strict=True))
    rows = [[true or "(empty)", said or "(empty)", count(times), percent(times / support[true])] for true, said, times in worst]
    return tag("div", tag("h3", "Most frequent confusions"), table(columns, rows))


def key(labels: Sequence[str]) -> Markup:
    """What the numbers in the figures stand for."""
    names = tag("ol.key", *(tag("li", label or "(empty)") for label in labels))
    return join([tag("p.under", "Classes are numbered in the figures:"), names])


def confusion_caption(scores: Classified) -> str:
    """How to read the confusion matrix."""
    numbers = "numbers are rows, " if len(scores.labels) <= COUNTED else ""
    return f"Rows are true classes, columns predicted ones; {numbers}the shade is the share of the true class."


def calibration_caption(scores: Classified) -> str:
    """What the reliability diagram says, with the expected calibration error."""
    mean = sum(each.confidence * each.rows for each in scores.bins) / scores.rows
    gap = mean - scores.right / scores.rows
    lean = (
        "on the whole as sure as it should be"
        if abs(gap) < 0.02
        else f"on the whole too {'sure' if gap > 0 else 'modest'} by {percent(abs(gap))}"
    )
    return f"Expected calibration error {percent(scores.ece)} (ten bins). The model is {lean}. Lines are 95\u202f% intervals."


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
    columns = [Column("part"), Column("rows", True), *(Column(f"{name} length", True) for name in ("shortest", "median", "longest"))]
    rows = []
    for name, part in parts.items():
        length = part.get("length") or {}
        rows.append(
            [PARTS.get(name, name), *map(numerals.cell, (part.get("rows"), *(length.get(each) for each in ("min", "median", "max"))))]
        )
    channels = [str(name) for name in record.get("channels") or ()]
    facts = {
        "kind": record.get("kind"),
        "task": record.get("task"),
        "channels": len(channels) or None,
        "sound": _sound(parts),
        "classes": len(training_counts(run)) or None,
        "missing values": record.get("missing") or None,
    }
    notes = [tag("li", str(note)) for note in record.get("notes") or ()]
    return join(
        [
            _facts(facts),
            *([table(columns, rows)] if rows else []),
            _class_rows(parts),
            *([_folded(tag("p", ", ".join(channels)), "Channels", len(channels) > 2 * LONG, heading=True)] if len(channels) > 1 else []),
            *([tag("h3", "Noticed while reading"), tag("ul.notes", *notes)] if notes else []),
        ]
    )


def model(run: Run) -> Markup:
    """Size, reach and speed of the model, its layers, its spec."""
    record = run.model or {}
    past, lookahead = record.get("past"), record.get("lookahead")
    facts = {
        "parameters": record.get("parameters"),
        "receptive field": None if "past" not in record else _reach(past, lookahead),
        "lookahead": None if "lookahead" not in record else _frames(lookahead),
        "frames out per frame in": str(record["ratio"]) if record.get("ratio") else None,
        "latency": numerals.seconds(record["latency_ms"] / 1000) if record.get("latency_ms") is not None else None,
        "streams": record.get("streams"),
    }
    spec = record.get("spec_yaml")
    written = [tag("h3", "Spec"), tag("pre", tag("code", str(spec).rstrip()))] if spec else []
    return join([_facts(facts), _layers(record.get("layers") or ()), *written])


def configuration(run: Run) -> Markup:
    """Seed, times, task and the configuration, whole."""
    metrics = run.metrics or {}
    spent = metrics.get("seconds")
    times = spent if isinstance(spent, Mapping) else {"": spent} if spent is not None else {}
    facts: dict[str, Any] = {"seed": None if metrics.get("seed") is None else str(metrics["seed"]), "epochs": len(run.epochs) or None}
    facts |= {f"{PARTS.get(name, name)} time".strip(): numerals.seconds(float(value)) for name, value in times.items()}
    facts |= {name.replace("_", " "): value for name, value in (run.task or {}).items() if isinstance(value, str | int | float)}
    config = tag("details", tag("summary", "config.yaml"), tag("pre", tag("code", run.config.rstrip()))) if run.config.strip() else Markup()
    return join([_facts(facts), config])


def _result(run: Run, scores: Classified | Regressed | None) -> Markup:
    if isinstance(scores, Classified):
        return _accuracy(run, scores)
    return _recorded(run) if scores is None else _error(run, scores)


def _accuracy(run: Run, scores: Classified) -> Markup:
    share, low_high = scores.right / scores.rows, wilson(scores.right, scores.rows)
    places = 1 if scores.rows < 2000 else 2
    common, hits = scores.majority
    base = hits / scores.rows
    better = low_high.low > base
    verdict = "the interval lies above that." if better else "the model is no better, as far as these rows can tell."
    said = [
        tag(
            "p",
            f"{count(scores.right)} of {count(scores.rows)} {PARTS[run.part]} rows are right. ",
            f"95\u202f% interval: {percent(low_high.low, places)} to {percent(low_high.high, places)} (Wilson).",
        ),
        tag(
            "p.under",
            "Always answering the most frequent class, ",
            tag("b", common),
            f", would be right in {percent(base, places)}: {verdict}",
        ),
    ]
    number = tag("div", tag("div.value", percent(share, places)), tag("div.what", f"{PARTS[run.part]} accuracy"))
    marks = (
        ("band", f"left: {low_high.low:.2%}; width: {low_high.high - low_high.low:.2%}"),
        ("base", f"left: {base:.2%}"),
        ("mark", f"left: {share:.2%}"),
    )
    scale = tag(
        "div.scale", *(tag(f"span.{name}", attributes={"style": place}) for name, place in marks), attributes={"aria-hidden": "true"}
    )
    ends = tag("div.ends", tag("span", "0\u202f%"), tag("span", "band: interval, dotted: most frequent class"), tag("span", "100\u202f%"))
    return join([tag("div.headline", number, tag("div", *said)), scale, ends])


def _error(run: Run, scores: Regressed) -> Markup:
    interval = scores.interval()
    between = f" 95\u202f% interval: {decimal(interval.low)} to {decimal(interval.high)}." if interval else ""
    explained = f"R\u00b2 {scores.r2:.3f}, " if math.isfinite(scores.r2) else ""
    verdict = "better" if interval and interval.high < scores.baseline else "no better, as far as these rows can tell"
    said = [
        tag("p", f"Mean absolute error over {count(len(scores.truth))} {PARTS[run.part]} rows.{between}"),
        tag("p", f"{explained}root mean squared error {decimal(scores.rmse)}."),
        tag("p.under", f"Always answering the median of these rows would have {decimal(scores.baseline)}: the model is {verdict}."),
    ]
    number = tag("div", tag("div.value", decimal(scores.mae)), tag("div.what", f"{PARTS[run.part]} mean absolute error"))
    return tag("div.headline", number, tag("div", *said))


def _recorded(run: Run) -> Markup:
    """The result of a run whose single answers were not kept: what its metrics say."""
    metrics = (run.metrics or {}).get(run.part) or {}
    name = next((name for name in ("accuracy", "mae", "r2") if isinstance(metrics.get(name), int | float)), None)
    if name is None:
        return tag("p", "There are no answers to rows with a known target in this run (yet).")
    value = percent(metrics[name]) if name == "accuracy" else decimal(metrics[name])
    rows = (((run.data or {}).get("parts") or {}).get(run.part) or {}).get("rows")
    said = [tag("p", f"Over {count(rows)} {PARTS[run.part]} rows.")] if rows else []
    if rows and name == "accuracy":
        low, high = wilson(round(metrics[name] * rows), rows)
        said.append(tag("p", f"95\u202f% interval: {percent(low)} to {percent(high)} (Wilson)."))
    number = tag("div", tag("div.value", value), tag("div.what", f"{PARTS[run.part]} {name}"))
    return tag("div.headline", number, tag("div", *said))


def _by_part(run: Run) -> Markup:
    """Every recorded metric of every part."""
    parts = {name: run.metrics[name] for name in PARTS if isinstance((run.metrics or {}).get(name), Mapping)} if run.metrics else {}
    names = list(dict.fromkeys(name for part in parts.values() for name, value in part.items() if isinstance(value, int | float)))
    if not names:
        return Markup()
    columns = [Column("part"), *(Column(name.replace("_", " "), True) for name in names)]
    return table(columns, [[PARTS[name], *(numerals.cell(_real(part.get(each))) for each in names)] for name, part in parts.items()])


def _class_rows(parts: Mapping[str, Mapping[str, Any]]) -> Markup:
    counts = {name: {str(label): int(n) for label, n in part["classes"].items()} for name, part in parts.items() if part.get("classes")}
    labels = list(dict.fromkeys(label for part in counts.values() for label in part))
    if not labels:
        return Markup()
    columns = [Column("class"), *(Column(f"{PARTS.get(name, name)} rows", True) for name in counts)]
    largest = {name: max(part.values()) for name, part in counts.items()}
    rows = [
        [
            label or "(empty)",
            *(_bar(part.get(label, 0) / max(1, largest[name]), count(part.get(label, 0))) for name, part in counts.items()),
        ]
        for label in labels
    ]
    return _folded(table(columns, rows), "Classes", len(rows) > LONG, heading=True)


def _layers(layers: Sequence[Mapping[str, Any]]) -> Markup:
    if not layers:
        return Markup()
    numbers = [name for name in ("parameters", "past", "lookahead", "latency_ms") if any(name in layer for layer in layers)]
    heads = {"parameters": "parameters", "past": "past", "lookahead": "lookahead", "latency_ms": "latency, ms"}
    columns = [Column("layer"), Column("place"), Column("output"), *(Column(heads[name], True) for name in numbers)]
    rows = []
    for layer in layers:
        words = [tag("code", str(layer.get("layer", ""))), str(layer.get("path", "")), tag("code", str(layer.get("out", "")))]
        rows.append([*words, *(_reach_cell(name, layer) for name in numbers)])
    return join([tag("h3", "Layers"), table(columns, rows)])


def _reach_cell(name: str, layer: Mapping[str, Any]) -> str:
    if name not in layer:
        return NONE
    if name == "latency_ms" and layer[name] is not None:
        return f"{layer[name]:,.3f}"
    return "unbounded" if layer[name] is None and name in ("past", "lookahead") else numerals.cell(layer[name])


def _reach(past: int | None, lookahead: int | None) -> str:
    return "the whole row" if past is None or lookahead is None else _frames(past + 1 + lookahead)


def _frames(number: int | None) -> str:
    return "to the end of the row" if number is None else numerals.frames(number)


def _facts(facts: Mapping[str, Any]) -> Markup:
    """Small facts side by side; None is left out."""
    known = [tag("div", tag("dt", name), tag("dd", numerals.cell(value))) for name, value in facts.items() if value is not None]
    return tag("dl.facts", *known) if known else Markup()


def _folded(content: Markup, name: str, fold: bool, heading: bool = False) -> Markup:
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
