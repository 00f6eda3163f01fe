"""`convrnn bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convrnn.cli import console
from convrnn.cli.options import Json, refuse
from convrnn.cli.shapes import shape as parsed
from convrnn.core.language import listed, tr

if TYPE_CHECKING:
    from convrnn.api.bench import Cost, Speed, Work
    from convrnn.layers.base import Layer

NAME = "bench"

_UNITS = 128
_SHAPE = "64"
_FRAMES = 128


def run(
    folder: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A folder that `convrnn train` wrote; left out: layers.", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME|SPEC.yaml", help="In place of the usual recurrences.")] = None,
    batch: Annotated[int, typer.Option(help="Rows of a batch.")] = 32,
    frames: Annotated[int | None, typer.Option(help=f"Of each row; {_FRAMES} by default, of a RUN the median it learned from.")] = None,
    shape: Annotated[str | None, typer.Option(help=f"Of a frame: channels, or H,C or H,W,C; ids:N for N symbols; {_SHAPE}.")] = None,
    hidden: Annotated[int | None, typer.Option(help=f"Units of the usual recurrences; {_UNITS} by default.")] = None,
    train: Annotated[bool, typer.Option("--train", help="Forward and backward of a batch.")] = False,
    infer: Annotated[bool, typer.Option("--infer", help="Answers of a batch, and of one row.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="One frame more of one stream.")] = False,
    json: Json = False,
) -> None:
    """Measure this machine, and layers or a model on it.

    Times are medians; beside them the share of the machine's matrix speed, and torch.nn where it has the layer. With none of --train,
    --infer and --stream, all that apply are measured.
    """
    for option, value in (("--batch", batch), ("--frames", frames), ("--hidden", hidden)):
        _require_positive(option, value)
    if folder is not None:
        layers_only = {"--model": model, "--shape": shape, "--hidden": hidden, "--train": train or None}
        refuse(layers_only, tr("is for layers, not for a RUN"), tr("leave it out"))
        nets, frames = _of_run(folder, frames)
    elif model is not None:
        refuse({"--hidden": hidden}, tr("is for the usual recurrences, not for --model"), tr("leave it out"))
        frames = frames or _FRAMES
        nets = _of_model(model, shape or _SHAPE, frames)
    else:
        frames = frames or _FRAMES
        nets = _usual(hidden or _UNITS, shape or _SHAPE)
    asked = {"train": train, "infer": infer, "step": stream}
    _measure(nets, batch, frames, [work for work, wanted in asked.items() if wanted], folder is None, json)


def _measure(nets: list[tuple[str, Layer]], batch: int, frames: int, asked: list[str], trains: bool, json: bool) -> None:
    """Prints what was found, each net as soon as it is known."""
    from convrnn.api.bench import costs, speed

    chosen = [(name, net, _works(net, asked, trains)) for name, net in nets]
    now = speed()
    if json:
        found = [{"name": name, "costs": [each._asdict() for each in costs(net, batch, frames, works, now)]} for name, net, works in chosen]
        about = {key: value for key, value in now._asdict().items() if key != "product"}
        console.as_json({"machine": about, "frames": frames, "nets": found})
        return
    for text in _machine_lines(now):
        console.line(text)
    for name, net, works in chosen:
        console.line(f"\n{name}")
        for text in _table(costs(net, batch, frames, works, now)):
            console.line(text)
        if not net.streams and not asked:
            console.line("  " + tr("does not stream: it needs the whole row"))


def _works(net: Layer, asked: list[str], trains: bool) -> list[Work]:
    """What is measured of a net; raises `NotStreamable` where a step is asked of one that has none."""
    if "step" in asked:
        net.require_streams()
    wanted: dict[Work, bool] = {
        "train": "train" in asked or (not asked and trains),
        "infer": "infer" in asked or not asked,
        "row": "infer" in asked or not asked,
        "step": "step" in asked or (not asked and net.streams),
    }
    return [work for work, is_wanted in wanted.items() if is_wanted]


def _usual(units: int, shape: str) -> list[tuple[str, Layer]]:
    from convrnn.api.bench import usual

    return [(repr(spec), spec.build(parsed(shape))) for spec in usual(units)]


def _of_model(model: str, shape: str, frames: int) -> list[tuple[str, Layer]]:
    from convrnn.api.bench import zoo_body
    from convrnn.zoo import SPEC_FILES, from_file

    place = Path(model)
    spec = from_file(place) if place.suffix in SPEC_FILES else zoo_body(model, parsed(shape), frames)
    return [(model, spec.build(parsed(shape)))]


def _of_run(folder: Path, frames: int | None) -> tuple[list[tuple[str, Layer]], int]:
    """The net of a run, and how many frames its rows have."""
    from convrnn.api.records import median_frames
    from convrnn.deploy import load

    model = load(folder)
    return [(f"{folder} ({model.name})", model.net)], frames or median_frames(folder)


def _require_positive(option: str, value: int | None) -> None:
    from convrnn.core.errors import UsageError

    if value is not None and value < 1:
        raise UsageError(option, tr("expected at least 1, got {got}", got=value), tr("for example {option} 32", option=option))


def _machine_lines(now: Speed) -> list[str]:
    threads = tr("1 thread") if now.threads == 1 else tr("{count} threads", count=now.threads)
    load = "" if now.load is None else tr("load before {load}", load=now.load)
    return [
        listed((now.processor, threads, load)),
        tr("torch {version}, compiled kernels: {kernels}", version=now.torch, kernels=now.instruction_set),
        tr(
            "matrix product {sgemm:,.0f} GF/s in float32 (sgemm), memory {memory:.1f} GB/s",
            sgemm=now.sgemm / 1e9,
            memory=now.memory / 1e9,
        ),
    ]


def _table(found: list[Cost]) -> list[str]:
    head = [f"  {tr('work')}", tr("time"), tr("frames/s")]
    rows = [[_named(each), _time(each.seconds), f"{each.frames_per_second:,.0f}"] for each in found]
    if any(each.sgemm_share is not None for each in found):
        head.append(tr("of sgemm"))
        for row, each in zip(rows, found, strict=True):
            row.append("" if each.sgemm_share is None else f"{100 * each.sgemm_share:.0f} %")
    if any(each.torch_seconds is not None for each in found):
        head += ["torch.nn", tr("its time / ours")]
        for row, each in zip(rows, found, strict=True):
            assert each.torch_seconds is not None and each.torch_ratio is not None
            row += [_time(each.torch_seconds), f"{each.torch_ratio:.2f}"]
    return console.table(head, rows, right=range(1, len(head)))


def _named(each: Cost) -> str:
    """What was done, for people."""
    match each.work:
        case "train":
            return "  " + tr("train, {rows} x {frames} frames", rows=each.rows, frames=each.frames)
        case "infer" | "row":
            return "  " + tr("infer, {rows} x {frames} frames", rows=each.rows, frames=each.frames)
        case "step":
            return "  " + tr("stream, 1 frame more")


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"
