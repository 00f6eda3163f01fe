"""`convrnn inspect`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from convrnn.cli import console, inspect_row
from convrnn.cli.options import Json, refuse, require_file_place
from convrnn.cli.shapes import shape as parsed
from convrnn.core.language import listed, tr
from convrnn.core.terms import called, sort_named

NAME = "inspect"


def run(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SPEC|DATA", help="A run folder, a spec (YAML, or JSON with --shape), or data (a built-in name or a path)."
        ),
    ],
    shape: Annotated[str | None, typer.Option(help="Of a SPEC's frames: channels, or H,C or H,W,C; ids:N for N symbols.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames of the row whose work and latency are told of a SPEC; 100 by default.")] = None,
    row: Annotated[str | None, typer.Option(metavar="FILE:N", help="Look inside a RUN while it reads the example in line N.")] = None,
    layer: Annotated[str | None, typer.Option(help="With --row: this layer only, by its place.")] = None,
    units: Annotated[int | None, typer.Option(help="With --row: so many units of each layer; 3 by default.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="With --row: draw the layer, or the first recurrence.")] = None,
    json: Json = False,
) -> None:
    """Say what a run, a spec or data are.

    Of a run and a spec: layers, shapes, parameters, reach, work, latency; of data: rows, lengths, labels.
    Of one row that a run reads: the prediction, and what went on in every layer.
    """
    from convrnn.core.errors import UsageError

    place = Path(what)
    is_run, is_spec = (place / "model.json").is_file(), _is_spec(place, shape)
    if row is None:
        refuse({"--layer": layer, "--units": units, "--plot": plot}, tr("belongs to --row"), tr("add --row FILE:N, or leave it out"))
    elif not is_run:
        raise UsageError("--row", tr("looks inside a run, and {what} is none", what=what), tr("give the folder that `convrnn train` wrote"))
    if not is_spec:
        refuse({"--shape": shape, "--frames": frames}, tr("is for a SPEC"), tr("leave it out"))
    if row is not None:
        _look(place, row, layer, units, plot, json)
        return
    found = _of_run(place) if is_run else _of_spec(place, shape, 100 if frames is None else frames) if is_spec else _of_data(what)
    if json:
        console.as_json(found)
        return
    for text in _lines(found):
        console.line(text)


def _is_spec(place: Path, shape: str | None) -> bool:
    """Whether a file is a spec by its name; JSON may be rows too: it is one where a shape is given, as every spec needs."""
    from convrnn.zoo import SPEC_FILES

    return place.suffix in SPEC_FILES and (place.suffix != ".json" or shape is not None) and place.is_file()


def _look(place: Path, row: str, layer: str | None, units: int | None, plot: Path | None, json: bool) -> None:
    if json:
        refuse({"--units": units}, tr("is for the table; --json has them all"), tr("leave it out"))
    if plot is not None:
        require_file_place("--plot", plot)
    inspect_row.run(place, row, layer, 3 if units is None else units, plot, json)


def _of_run(place: Path) -> dict[str, Any]:
    from convrnn.api.records import median_frames, model_summary
    from convrnn.deploy import load

    model = load(place)
    found = {"model": model_summary(model.name, model.spec.to_yaml(), model.net, median_frames(place))}
    return {**found, "input": model.modality.describe(), "task": model.task.to_dict(), "biases": _biases(model.net)}


def _of_spec(place: Path, shape: str | None, frames: int) -> dict[str, Any]:
    from convrnn.api.records import model_summary
    from convrnn.core.errors import UsageError
    from convrnn.zoo import from_file

    if frames < 1:
        raise UsageError("--frames", tr("expected at least 1, got {got}", got=frames), tr("for example --frames 100"))
    spec = from_file(place)
    if shape is None:
        raise UsageError(
            "--shape",
            tr("is missing: a spec infers its widths from what goes in"),
            tr("for example --shape 12, --shape 28,1, --shape ids:5000"),
        )
    net = spec.build(parsed(shape))
    return {"model": model_summary(place.stem, spec.to_yaml(), net, frames), "biases": _biases(net)}


def _of_data(what: str) -> dict[str, Any]:
    from convrnn.data import read, task_of

    source = read(what)
    parts = {name: part for name, part in (("train", source.train), ("valid", source.valid), ("test", source.test)) if part is not None}
    task, reason = task_of(source.train)
    return {
        "data": {
            "name": source.name,
            "kind": source.train.kind,
            "task": task,
            "because": reason,
            "channels": list(source.train.channel_titles),
            "parts": {name: _part(part, task) for name, part in parts.items()},
            "notes": list(source.notes),
        }
    }


def _part(examples: Any, task: str) -> dict[str, Any]:
    from convrnn.core.labels import label, to_number

    sizes = sorted(len(raw) if examples.kind != "image" else raw.shape[1] for raw in examples.inputs)
    found: dict[str, Any] = {"rows": len(examples), "length": {"min": sizes[0], "median": sizes[len(sizes) // 2], "max": sizes[-1]}}
    if examples.kind == "audio":
        from convrnn.data.sounds import sound_facts

        found["sound"] = sound_facts(examples.inputs)
    targets = examples.targets or []
    if task == "classify":
        found["classes"] = dict(sorted(Counter(label(target) for target in targets).items()))
    else:
        numbers = [to_number(target) or 0.0 for target in targets]
        found["target"] = {"min": min(numbers), "mean": sum(numbers) / len(numbers), "max": max(numbers)} if numbers else {}
    return found


def _biases(net: Any) -> str:
    """Where torch would count more: it has a second, redundant bias."""
    from convrnn.layers.recurrent import GRU, LSTM, RNN

    extra = 0
    for _, layer in net.walk():
        spec = layer.made_from
        # The others have no counterpart there.
        if isinstance(spec, RNN | GRU | LSTM) and not (isinstance(spec, LSTM) and spec.coupled):
            one = len(spec.symbols) * spec.features - (spec.features if spec.inner_bias else 0)
            extra += one * spec.layers * (2 if spec.bidirectional else 1)
    if not extra:
        return ""
    return tr("recurrent layers have one bias a gate, as in the papers and in Keras; torch.nn would count {extra:,} more", extra=extra)


def _lines(found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    if "model" in found:
        lines += _model_lines(found["model"])
    lines += [tr("input: {input}", input=found["input"])] if found.get("input") else []
    lines += [tr("biases: {biases}", biases=found["biases"])] if found.get("biases") else []
    if "data" in found:
        lines += _data_lines(found["data"])
    return lines


def _model_lines(model: dict[str, Any]) -> list[str]:
    about = tr(
        "{name}: {parameters:,} parameters, past {past}, lookahead {lookahead}, {streams}",
        name=model["name"],
        parameters=model["parameters"],
        past=_reach(model["past"]),
        lookahead=_reach(model["lookahead"]),
        streams=tr("streams") if model["streams"] else tr("whole rows only"),
    )
    work = tr(
        "a row of {frames:,} frame(s): {multiply_adds:,} multiply-adds, {latency:.2f} ms",
        frames=model["frames"],
        multiply_adds=model["multiply_adds"],
        latency=model["latency_ms"],
    )
    rows = [
        [
            each["path"],
            each["out"],
            f"{each['parameters']:,}",
            f"{each['multiply_adds']:,}",
            _reach(each["past"]),
            _reach(each["lookahead"]),
            f"{each['latency_ms']:.2f}",
            each["layer"],
        ]
        for each in model["layers"]
    ]
    head = [tr("place"), tr("out"), tr("params"), tr("mult-adds"), tr("past"), tr("ahead"), "ms", tr("layer")]
    return [about, work, "", *console.table(head, rows, right=range(2, 7)), ""]


def _reach(frames: int | None) -> str:
    return tr("all") if frames is None else str(frames)


def _sound_lines(sound: dict[str, Any]) -> list[str]:
    seconds = sound["seconds"]
    rates = ", ".join(tr("{count:,} at {rate:,} Hz", count=count, rate=int(rate)) for rate, count in sound["rates"].items())
    channels = ", ".join(tr("{count:,} of {number} channel(s)", count=count, number=number) for number, count in sound["channels"].items())
    lasting = tr("{min:.2f} to {max:.2f} s, median {median:.2f} s, {total:,.0f} s in all", **seconds)
    return [f"  {lasting}", f"  {rates}; {channels}"]


def _data_lines(data: dict[str, Any]) -> list[str]:
    lines: list[str] = [tr("{name}: {kind}, {because}", name=data["name"], kind=sort_named(data["kind"]), because=data["because"])]
    for name, part in data["parts"].items():
        length = part["length"]
        lines.append(
            tr(
                "{part}: {rows:,} rows, lengths {least} to {most}, median {median}",
                part=called(name),
                rows=part["rows"],
                least=length["min"],
                most=length["max"],
                median=length["median"],
            )
        )
        if "sound" in part:
            lines += _sound_lines(part["sound"])
        if "classes" in part:
            shown = [f"{label} {count}" for label, count in list(part["classes"].items())[:12]]
            more = len(part["classes"]) - len(shown)
            names = ", ".join(shown)
            names = tr("{listed} and {more} more", listed=names, more=more) if more else names
            lines.append("  " + tr("{count} labels: {names}", count=len(part["classes"]), names=names))
        elif part.get("target"):
            told = {"min": tr("least"), "mean": tr("mean"), "max": tr("largest")}
            lines.append("  " + tr("target: {values}", values=listed(f"{told[key]} {value:.6g}" for key, value in part["target"].items())))
    return [*lines, *(tr("note: {note}", note=note) for note in data["notes"])]
