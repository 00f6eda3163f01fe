"""Whole reports of made run folders: complete, self-contained, escaped, Chinese, quick; and what is said of damaged folders."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from convrnn.core.errors import DataError, InputError, JobError, UsageError
from convrnn.report import read_history, render
from convrnn.report.fonts import Lettering
from tests.report.conftest import history
from tests.report.outline import outline

Make = Callable[..., Path]
Rendered = Callable[[str], Path]
NAMES = ["digits", "reviews", "series", "regression", "one_epoch", "no_validation", "many_classes", "diverged", "going_on"]


@pytest.mark.parametrize("name", NAMES)
def test_every_report_is_one_sound_self_contained_page(rendered: Rendered, name: str) -> None:
    path = rendered(name)
    folder, page = path.parent, outline(path)
    assert path.name == "report.html"
    assert page.headings[0] and "Learning curves" in page.headings
    assert len(page.ids) == len(set(page.ids)), "ids of several figures clash"
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links), "nothing comes from elsewhere"
    assert "script" not in re.findall(r"<(\w+)", path.read_text(encoding="utf-8"))
    assert page.unnamed == [], "a figure without its text for screen readers"
    assert not list(folder.glob("**/*.part")), "a temporary file is left"
    for picture in (folder / "plots").iterdir():
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("lettering", [None, Lettering.find(())], ids=["fonts of this machine", "no Chinese font"])
def test_chinese_classes_texts_columns_and_notes_show_as_such(make: Make, rendered: Rendered, lettering: Lettering | None) -> None:
    page = outline(render(make("reviews"), lettering=lettering) if lettering else rendered("reviews"))
    for words in ("评论数据", "好评", "差评", "中性（没有明显倾向的评论）", "<b>再也不买</b>", "编码", "中文配置 <ok>"):
        assert words in page.text
    numbered = (lettering or Lettering.find()).axis(["好评"]).numbered
    assert ("Classes are numbered in the figures" in page.text) == numbered


def test_headline_of_a_classification(rendered: Rendered) -> None:
    folder = rendered("digits").parent
    text = outline(folder / "report.html").text
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    right = sum(line["target"] == line["label"] for line in lines)
    zeros = sum(line["target"] == "0" for line in lines)
    assert f"{right} of 360 test rows are right" in text and f"{right / 360:.1%}"[:-1] in text
    assert f"most frequent class, 0, would be right in {zeros / 360:.1%}"[:-1] in text
    assert "(exact McNemar test, p < 0.001): the model is better." in text
    assert "Wilson" in text and "convrnn train digits --model crnn --out runs/digits" in text


def test_headline_of_a_regression(rendered: Rendered) -> None:
    text = outline(rendered("regression")).text
    assert "Mean absolute error over 300 test rows" in text and "R² 0.9" in text
    assert re.search(
        r"the model's errors are smaller by 16\.\d+ to 21\.\d+ a row \(95\s% interval of the mean difference\): it is better", text
    )


@pytest.mark.parametrize(("worse", "words"), [(1.0, "it is better"), (2.0, "these rows cannot tell"), (4.0, "it is worse")])
def test_a_regression_beside_the_median_has_three_verdicts(make: Make, worse: float, words: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    said = truth + 0.5 * worse * rng.normal(size=200)
    lines = [{"name": "r", "target": t, "value": s} for t, s in zip(truth.tolist(), said.tolist(), strict=True)]
    assert words in outline(render(make("regression", {"predictions.jsonl": lines}))).text


def test_headline_without_answers_comes_from_the_metrics(make: Make) -> None:
    metrics = {"valid": {"accuracy": 0.75}}
    page = outline(render(make("one_epoch", {"metrics.json": metrics})))
    assert "75.0\u202f%" in page.text and "Over 143 validation rows." in page.text and "Wilson" in page.text


def test_the_valid_part_is_named_where_there_is_no_test_part(make: Make) -> None:
    page = outline(render(make("diverged", {"metrics.json": {"valid": {"accuracy": 0.93}}})))
    assert "validation rows are right" in page.text and "test rows are right" not in page.text


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("digits", "overfitting."),
        ("reviews", "converged."),
        ("series", "not converged."),
        ("one_epoch", "With one epoch it is too early to say"),
        ("no_validation", "There is no validation part"),
        ("diverged", "Training loss became NaN in epoch 3"),
    ],
)
def test_the_sentence_stands_in_the_page(rendered: Rendered, name: str, sentence: str) -> None:
    assert sentence in outline(rendered(name)).text


@pytest.mark.parametrize(
    ("name", "task", "losses", "underfits"),
    [
        # 950 and 50 rows: entropy 0.199, but what is minimised is log 2 for the best constant answer, and 0.3 is 43 % of it.
        ("series", {"labels": ["a", "b"], "weights": [10 / 19, 10.0]}, [0.69, 0.5, 0.4, 0.35, 0.32, *[0.3] * 7], False),
        ("series", {"labels": ["a", "b"]}, [0.69, 0.5, 0.4, 0.35, 0.32, *[0.3] * 7], True),
        ("regression", {"criterion": "mse"}, [1.3, 1.1, *[0.97] * 10], True),
    ],
)
def test_underfitting_is_told_by_what_the_task_minimises(make: Make, name: str, task: Any, losses: list[float], underfits: bool) -> None:
    data = {"parts": {"train": {"classes": {"a": 950, "b": 50}}}} if "labels" in task else {}
    text = outline(render(make(name, {"history.jsonl": history(losses, losses), "summary.json": {"data": data, "task": task}}))).text
    assert ("of what a constant answer would have): underfitting" in text) == underfits


def test_sections_without_records_are_left_out(rendered: Rendered) -> None:
    page = outline(rendered("going_on"))
    assert page.headings == ["going_on", "Learning curves", "Configuration"], "no answers, data or model"


def test_model_data_and_layers_are_told(rendered: Rendered) -> None:
    text = outline(rendered("series")).text
    for words in (
        "20,778",
        "the whole row",
        "3 frames",
        "0.31\u202fms",
        "167,296 at 15 frames",
        "147,456",
        "conv(32, kernel=5)",
        "[B, T/2, 32]",
        "unbounded",
        "- {gru: 64}",
        "lead II",
        "压力",
    ):
        assert words in text


def test_names_are_escaped_and_no_mathematics(rendered: Rendered) -> None:
    page = rendered("many_classes").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_series_keep_their_gaps_and_pictures_their_pixels(rendered: Rendered) -> None:
    page = rendered("series").read_text(encoding="utf-8")
    path = re.search(r'aria-label="39 frames[^>]*><path d="([^"]*)"', page)
    assert path and path[1].count("M") == 2, "a missing value interrupts the line"
    assert "1 frame," in page and "h3" in page, "a series of one frame shows"


def test_damaged_names_and_empty_classes(make: Make) -> None:
    answers = [
        {"name": "a\x00b", "target": "", "label": "\ud800", "probability": 0.5},
        {"name": "c", "target": 3, "label": 3, "probability": 1.0},
    ]
    page = outline(render(make("one_epoch", {"predictions.jsonl": "".join(json.dumps(each) + "\n" for each in answers)})))
    assert "1 of 2 test rows" in page.text and "(empty)" in page.text


def test_constant_series_and_series_of_missing_values_are_drawn(make: Make) -> None:
    arrays = {"m0": np.full((20, 2), np.nan), "m1": np.full((20, 2), 3.0), "m2": np.zeros((0, 2))}
    records = [{"name": key, "target": "a", "label": "b", "probability": 0.9, "kind": "series", "array": key} for key in arrays]
    folder = make("one_epoch", {"mistakes.npz": arrays, "mistakes.json": records})
    text = outline(render(folder)).text
    assert "20 frames, 0 to 0" in text and "20 frames, 3.000" in text and (folder / "plots" / "mistakes.png").exists()


def test_the_same_records_give_the_same_report(make: Make, rendered: Rendered) -> None:
    folder, other = rendered("digits").parent, render(make("digits")).parent
    for name in ("report.html", *(f"plots/{each.name}" for each in (folder / "plots").iterdir())):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def test_settings_of_matplotlib_are_as_before(make: Make) -> None:
    before = dict(matplotlib.rcParams)
    render(make("going_on"))
    assert dict(matplotlib.rcParams) == before


def test_a_report_takes_a_few_seconds_at_most(make: Make) -> None:
    """The aim is 4 s; processor time, so that a busy machine does not count."""
    folder = make("many_classes")
    start = time.process_time()
    render(folder)
    assert time.process_time() - start < 4


def test_a_history_cut_off_by_a_kill_is_read_up_to_there(make: Make) -> None:
    folder = make("going_on")
    path = folder / "history.jsonl"
    steps, epochs = read_history(path)
    path.write_text(path.read_text()[:-20])
    assert read_history(path) == (steps, epochs[:-1])


@pytest.mark.parametrize(
    ("file", "content", "where"),
    [
        ("history.jsonl", "{\n", "history.jsonl:1"),
        ("history.jsonl", "[1]\n", "history.jsonl:1"),
        ("history.jsonl", '\n{"epoch": 1, "step": 3, "train": {"loss": "high"}}\n', "history.jsonl:2: train: loss"),
        ("history.jsonl", '{"epoch": 1, "step": 3, "train": {}}\n', "history.jsonl:1: train.loss"),
        ("metrics.json", "[]", "metrics.json"),
        ("summary.json", '{"data": 3}', "summary.json: data"),
        ("predictions.jsonl", '{"name": "x", "target": "a"}\n', "predictions.jsonl:1"),
        ("predictions.jsonl", '{"name": "x", "target": "a", "value": 2}\n', "predictions.jsonl:1: target"),
        ("mistakes.json", "{}", "mistakes.json"),
        ("mistakes.json", '[{"label": "a", "kind": "smell"}]', "mistakes.json[0].kind"),
        ("mistakes.json", '[{"label": "a", "kind": "image", "array": "m7"}]', "mistakes.json[0].array"),
    ],
)
def test_damaged_records_are_named_and_nothing_is_written(make: Make, file: str, content: str, where: str) -> None:
    folder = make("one_epoch", {file: None})
    (folder / file).write_text(content)
    with pytest.raises(DataError) as error:
        render(folder)
    assert str(error.value).startswith(f"{where}: expected ")
    assert not (folder / "report.html").exists() and not (folder / "plots").exists()


def test_a_damaged_archive_and_bytes_that_are_no_text(make: Make) -> None:
    folder = make("series")
    (folder / "mistakes.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match=r"^mistakes\.npz: expected arrays"):
        render(folder)
    (folder / "config.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match=r"^config\.yaml: expected UTF-8"):
        render(folder)


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a run folder, found none"):
        render(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"expected history\.jsonl or metrics\.json, found neither"):
        render(tmp_path)


def test_a_place_that_cannot_be_written_is_a_failed_job(make: Make) -> None:
    folder = make("going_on")
    (folder / "plots").write_text("a file where the folder belongs")
    with pytest.raises(JobError, match="could not be made"):
        render(folder)
    assert not (folder / "report.html").exists()


def test_without_matplotlib_the_error_names_the_extra(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.split(".")[0] == "matplotlib" or name in ("convrnn.report.figures", "convrnn.report.fonts")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("convrnn.report.figures", None, raising=False)
    monkeypatch.delattr("convrnn.report.figures")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r'^report: needs matplotlib.*pip install "convrnn\[train\]"$') as error:
        render(make("going_on"))
    assert isinstance(error.value, InputError)


def test_importing_the_room_loads_no_matplotlib(subprocess_modules: Callable[[str], set[str]]) -> None:
    assert "matplotlib" not in subprocess_modules("import convrnn.report")


def test_drawing_needs_no_pyplot(make: Make, subprocess_modules: Callable[[str], set[str]]) -> None:
    loaded = subprocess_modules(f"from convrnn.report import render; render({str(make('going_on'))!r})")
    assert "matplotlib" in loaded and "matplotlib.pyplot" not in loaded


def test_public_names() -> None:
    import convrnn.report as room

    assert room.__all__ == sorted(room.__all__)
    public: list[Any] = [getattr(room, name) for name in room.__all__]
    assert all(each.__doc__ for each in public)


def test_a_single_recorded_step_is_a_point() -> None:
    from convrnn.report import figures
    from convrnn.report.records import Epoch, Step

    epochs, steps = [Epoch(1, 1, {"loss": 1.0}, rate=1e-3)], [Step(1, 1, 1.0, 1e-3, 2.5)]
    for drawn in (figures.rate(epochs, steps), figures.norm(epochs, steps)):
        assert [line.get_marker() for line in drawn.figure.axes[0].lines] == ["o"]
