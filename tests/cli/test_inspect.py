"""`convrnn inspect RUN --row FILE:N`: what is printed, what `--json` and `--plot` give, what a run records for its report; and mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convrnn.cli import main
from convrnn.core.columns import width
from tests.cli.conftest import TINY, Said

Convrnn = Callable[..., Said]


@pytest.fixture(scope="module")
def reviews(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a GRU over words."""
    place = tmp_path_factory.mktemp("inspect") / "reviews"
    assert main(["train", str(files / "texts.tsv"), "--model", "gru", "--set", "width=8", "--out", str(place), *TINY]) == 0
    return place


def test_a_row_of_a_table_with_its_prediction_and_gates(convrnn: Convrnn, files: Path, runs: dict[str, Path]) -> None:
    said = convrnn("inspect", runs["table"], "--row", f"{files / 'good.csv'}:5", "--units", "2")
    lines = said.out.splitlines()
    assert said.code == 0 and lines[0].startswith("good.csv:5: predicted ") and lines[0].endswith("; the file says b")
    assert lines[2] == "0.gru" and lines[3].split() == ["frame", "unit", "r", "z", "n", "h"]
    assert len(lines[4:20]) == 16 and lines[4].split()[:2] == ["0", "0"] and lines[5].split()[0] == "1"
    assert lines[-1].startswith("also, with --layer: ") and max(map(width, lines)) <= 80


def test_the_words_of_a_text_stand_beside_its_frames(convrnn: Convrnn, files: Path, reviews: Path) -> None:
    text = (files / "texts.tsv").read_text(encoding="utf-8").splitlines()[2].split("\t")[1]
    said = convrnn("inspect", reviews, "--row", f"{files / 'texts.tsv'}:3", "--layer", "0", "--units", "1")
    told = [line.split() for line in said.out.splitlines()[4:]]
    assert [line[1] for line in told if line[0] != "..."] == text.split() and max(map(width, said.out.splitlines())) <= 80


def test_the_frames_of_a_picture_are_its_columns(convrnn: Convrnn, files: Path, runs: dict[str, Path]) -> None:
    said = convrnn("inspect", runs["image"], "--row", f"{files / 'pictures.npz'}:7", "--layer", "0.conv", "--units", "1")
    assert said.code == 0 and "\n0.conv, a frame for each column\n" in said.out and "\n    7   0,0 " in said.out


def test_long_rows_are_cut_in_the_middle_and_say_so(convrnn: Convrnn, files: Path, runs: dict[str, Path]) -> None:
    rows = [json.loads(line) for line in (files / "ragged.jsonl").read_text().splitlines()]
    number = next(place for place, row in enumerate(rows, 1) if len(row["x"]) > 30)
    said = convrnn("inspect", runs["series"], "--row", f"{files / 'ragged.jsonl'}:{number}", "--layer", "0", "--units", "1")
    frames = len(rows[number - 1]["x"])
    assert f"0.gru, 24 of {frames} frames" in said.out and "\n  ...\n" in said.out and f"\n   {frames - 1}     0" in said.out
    assert "back.z" in said.out


def test_json_has_all_numbers_and_a_plot_is_a_picture(convrnn: Convrnn, files: Path, reviews: Path, tmp_path: Path) -> None:
    row, plot = f"{files / 'texts.tsv'}:3", tmp_path / "gates.png"
    said = json.loads(convrnn("inspect", reviews, "--row", row, "--plot", plot, "--json").out)
    assert (
        said["name"] == "texts.tsv:3"
        and said["target"] == "1"
        and said["prediction"]["label"] in "01"
        and said["frames"] == len(said["words"])
    )
    (gru,) = (layer for layer in said["layers"] if layer["layer"] == "gru")
    assert {len(value["rows"][0]) for value in gru["values"].values()} == {said["frames"]}
    r, z, n, h = (np.array(gru["values"][symbol]["rows"][0]) for symbol in "rznh")
    assert r.shape == (said["frames"], 8) and gru["values"]["z"]["step"] == 1
    assert np.allclose(h[1:], (1 - z[1:]) * n[1:] + z[1:] * h[:-1], atol=1e-6)
    assert plot.read_bytes().startswith(b"\x89PNG") and said["plot"] == str(plot)


def test_rows_without_numbers_are_counted(convrnn: Convrnn, files: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    import matplotlib.image

    for number in (1, 2):
        matplotlib.image.imsave(tmp_path / f"{number}.png", np.full((8, 8), number % 2), cmap="gray", vmin=0, vmax=1)
    said = convrnn("inspect", runs["image"], "--row", f"{tmp_path}:2")
    assert said.out.startswith("2.png: predicted "), said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--row", "{files}/good.csv"], "--row: expected FILE:N, got '{files}/good.csv'; N is the line or row that an editor shows"),
        (["--row", "{files}/good.csv:1"], "--row: {files}/good.csv has no example in row 1; its 40 are in rows 2 to 41"),
        (["--row", "{files}/lost.csv:2"], "{files}/lost.csv: no such file or folder"),
        (["--row", "{files}/good.csv:2", "--layer", "7.lstm"], "--layer: no layer stands at '7.lstm'; there are serial, 0.gru, "),
        (["--row", "{files}/good.csv:2", "--units", "0"], "--units: expected at least 1, got 0"),
        (["--row", "{files}/good.csv:2", "--plot", "gates.gif"], "picture: expected a name that ends in .png, got 'gates.gif'"),
        (["--row", "{files}/texts.tsv:2"], "texts.tsv"),
        (["--row", "{files}/good.csv:2", "--shape", "99"], "--shape: is for a SPEC; leave it out"),
        (["--row", "{files}/good.csv:2", "--frames", "-5"], "--frames: is for a SPEC; leave it out"),
        (["--row", "{files}/good.csv:2", "--json", "--units", "1"], "--units: is for the table; --json has them all; leave it out"),
        (["--shape", "99"], "--shape: is for a SPEC; leave it out"),
        (["--frames", "-5"], "--frames: is for a SPEC; leave it out"),
        (["--layer", "0"], "--layer: belongs to --row"),
        (["--plot", "gates.png"], "--plot: belongs to --row"),
    ],
)
def test_mistakes_are_one_line(convrnn: Convrnn, files: Path, runs: dict[str, Path], arguments: list[str], message: str) -> None:
    said = convrnn("inspect", runs["table"], *(each.format(files=files) for each in arguments))
    assert said.code == 2 and said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("convrnn: " + message.format(files=files)), said.err


def test_only_a_run_is_looked_into(convrnn: Convrnn, files: Path) -> None:
    said = convrnn("inspect", files / "good.csv", "--row", f"{files / 'good.csv'}:2")
    assert said.code == 2 and "looks inside a run" in said.err and said.err.count("\n") == 1


def test_a_run_records_the_gates_of_three_examples(runs: dict[str, Path]) -> None:
    records = json.loads((runs["series"] / "gates.json").read_text())
    answers = [json.loads(line) for line in (runs["series"] / "predictions.jsonl").read_text().splitlines()]
    right = [each for each in answers if each["label"] == each["target"]]
    assert len({record["name"] for record in records}) == len(records) == min(3, len(answers))
    assert records[0]["why"] == "right, most sure" and records[0]["probability"] == max(each["probability"] for each in right)
    with np.load(runs["series"] / "gates.npz") as arrays:
        for record in records:
            assert set(record["gates"]) == {"r", "z"} and record["layer"] == "0.gru (forward)" and record["step"] == 1
            assert {len(values) for values in record["gates"].values()} == {record["frames"], len(arrays[record["array"]])}
            assert all(0 <= value <= 1 for values in record["gates"].values() for value in values)
    assert "Inside the recurrence" in (runs["series"] / "report.html").read_text()
    assert (runs["series"] / "plots" / "gates.png").exists()


def test_a_net_without_recurrence_records_none(runs: dict[str, Path]) -> None:
    assert not (runs["text"] / "gates.json").exists()
    assert "Inside the recurrence" not in (runs["text"] / "report.html").read_text()


def test_texts_are_recorded_by_their_words(reviews: Path) -> None:
    for record in json.loads((reviews / "gates.json").read_text(encoding="utf-8")):
        assert record["words"] and "array" not in record and {"good", "great", "fine", "好", "坏", "poor", "sad"} & set(record["words"])
