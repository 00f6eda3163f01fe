"""The picture of gates over their input: for series, pictures and texts, in page and file; what caption and alternative text say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convrnn as cr
from convrnn.core.errors import DataError, UsageError
from convrnn.report import Inner, heatmap, render
from convrnn.report.fonts import Lettering
from convrnn.report.gates import activity, caption
from convrnn.report.records import read

Make = Callable[..., Path]
WHY = ("right, most sure", "right, least sure", "wrong, most sure")


def series(frames: tuple[int, ...] = (12, 30, 5), gates: str = "rz") -> dict[str, Any]:
    """Records of series of two channels."""
    rng = np.random.default_rng(0)
    records = [
        {
            "layer": "1.gru",
            "why": why,
            "name": f"test.csv:{number}",
            "target": "a",
            "label": "b" if "wrong" in why else "a",
            "probability": 0.9,
            "frames": count,
            "whole": count,
            "array": f"g{number}",
            "step": 1.0,
            "gates": {symbol: rng.uniform(0.2, 0.8, count).round(4).tolist() for symbol in gates},
        }
        for number, (why, count) in enumerate(zip(WHY, frames, strict=False))
    ]
    arrays = {f"g{number}": rng.normal(size=(count, 2)) for number, count in enumerate(frames)}
    return {"gates.json": records, "gates.npz": arrays}


def texts() -> dict[str, Any]:
    """Records of texts: Chinese, long, and with words that a Latin font does not draw."""
    words = [list("房间很干净"), [f"word{number}" for number in range(40)], ["好", "<b>", "x" * 60]]
    records = [
        {**record, "words": each, "frames": len(each), "whole": 87 if len(each) == 40 else len(each), "gates": {"f": [0.5] * len(each)}}
        for record, each in zip(series()["gates.json"], words, strict=True)
    ]
    return {"gates.json": [{key: value for key, value in record.items() if key != "array"} for record in records]}


def pictures() -> dict[str, Any]:
    made = series((8, 8, 8), gates="ifo")
    return {**made, "gates.npz": {key: np.full((6, 8, 1), 128, np.uint8) for key in made["gates.npz"]}}


RECORDS = {"series": series(), "one": series((1,)), "empty": series((0, 3)), "texts": texts(), "pictures": pictures()}


@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
def test_page_and_file_show_the_gates(make: Make, records: dict[str, Any]) -> None:
    folder = make("going_on", records)
    page = render(folder).read_text(encoding="utf-8")
    assert "Inside the recurrence" in page and (folder / "plots" / "gates.png").read_bytes().startswith(b"\x89PNG")
    assert "look for" in page and 'aria-label="Gates of 1.gru over the input' in page


def test_a_run_without_them_has_no_section(make: Make) -> None:
    assert "Inside the recurrence" not in render(make("going_on")).read_text(encoding="utf-8")


def test_caption_says_what_is_shown(make: Make) -> None:
    found = read(make("going_on", series())).gates
    assert caption(found) == (
        "The input, and below it how far each gate of 1.gru stands open (0 shut, 1 open; mean over its units): "
        "look for frames at which the curves move with the input."
    )
    assert caption(read(make("diverged", texts())).gates).startswith("How far each gate of 1.gru stands open")
    state = read(
        make("one_epoch", {**series(), "gates.json": [{**each, "gates": {"|h|": [0.1]}} for each in series()["gates.json"]]})
    ).gates
    assert "how strongly 1.gru answers (|h|, mean over its units)" in caption(state)


def test_titles_say_why_and_how_much_is_shown(make: Make) -> None:
    drawing = activity(read(make("diverged", texts())).gates, Lettering.find(()), ("a", "b"))
    assert drawing is not None
    titles = [axes.get_title() for axes in drawing.figure.axes]
    assert titles[0].startswith("right, most sure: a \u2192 a 90") and "first 40 of 87 tokens" in titles[1]
    marks = [mark.get_text() for mark in drawing.figure.axes[2].get_xticklabels()]
    assert marks == ["\u00b7", "<b>", "x" * 13 + "\u2026"], "a word without a glyph is a dot, a long one is cut"


def test_curves_stand_where_their_frames_do(make: Make) -> None:
    made = series((12,))
    made["gates.json"][0] |= {"step": 4.0, "gates": {"f": [0.2, 0.4, 0.9]}}
    drawing = activity(read(make("going_on", made)).gates, Lettering.find(()), ())
    assert drawing is not None
    (line,) = drawing.figure.axes[1].lines
    assert line.get_xydata().tolist() == [[0, 0.2], [4, 0.4], [8, 0.9]]  # pyright: ignore[reportAttributeAccessIssue]
    assert "f 0.20 to 0.90" in drawing.alt


def test_series_share_one_scale(make: Make) -> None:
    """A flat example beside a steep one stays flat."""
    made = series((12, 12))
    made["gates.npz"] = {"g0": np.linspace(0, 10, 12)[:, None], "g1": np.linspace(0, 1, 12)[:, None]}
    drawing = activity(read(make("going_on", made)).gates, Lettering.find(()), ())
    assert drawing is not None
    heights = [np.ptp(np.asarray(axes.lines[0].get_ydata())) for axes in drawing.figure.axes[:2]]
    assert heights[0] == pytest.approx(10 * heights[1])


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"gates": {}}, r"^gates\.json\[0\]\.gates: expected values by symbol"),
        ({"gates": {"r": ["x"]}}, r"^gates\.json\[0\]\.gates: expected lists of numbers"),
        ({"array": "g9"}, r"^gates\.json\[0\]\.array: expected a series or a picture"),
        ({"step": "far"}, r"^gates\.json\[0\]: step: expected a number"),
    ],
)
def test_damaged_records_are_named(make: Make, change: dict[str, Any], where: str) -> None:
    made = series()
    made["gates.json"][0] |= change
    with pytest.raises(DataError, match=where):
        read(make("going_on", made))


@pytest.mark.parametrize("array", [None, np.zeros((9, 2)), np.zeros((4, 9, 1), np.uint8)], ids=["words", "series", "picture"])
def test_heat_maps(array: np.ndarray | None) -> None:
    values = {"f": np.full((9, 3), 0.5), "g": np.linspace(-1, 1, 27).reshape(9, 3), "argmax": np.zeros((1, 3)), "none": np.zeros((0, 3))}
    words = tuple("九个字在这里为了画") if array is None else ()
    inner = Inner("0.lstm", 9, values, {"f": 1.0, "g": 1.0, "argmax": 9.0, "none": 1.0}, words, array, 9)
    assert heatmap(inner).startswith(b"\x89PNG")


def test_picture_of_a_trace(tmp_path: Path) -> None:
    """Of the first recurrence unless another layer is named; what cannot be drawn is said."""
    net = cr.Serial(cr.Window(4), cr.TimeDistributed(cr.Serial(cr.Conv(2), cr.GlobalPool("mean"))), cr.GRU(3)).build(2)
    trace = net.trace(cr.Seq(torch.randn(2, 9, 2), torch.tensor([9, 5])))
    for layer in (None, "2.gru", "0"):
        assert cr.picture(trace, tmp_path / "inside.png", layer, row=1).read_bytes().startswith(b"\x89PNG")
    for layer, row, message in (
        ("1.body.0.conv", 0, "picture: 1.body.0.conv reads frames one by one, not the rows of the net; print its table"),
        ("7", 0, "trace: no layer stands at '7'"),
        (None, 2, "row: expected 0..1, got 2"),
    ):
        with pytest.raises(UsageError) as error:
            cr.picture(trace, tmp_path / "none.png", layer, row=row)
        assert str(error.value).startswith(message)
    with pytest.raises(UsageError, match="no layer has inner values; choose one"):
        cr.picture(cr.Conv(2).build(2).trace(trace.x), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
