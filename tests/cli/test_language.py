"""`--lang zh`: no English sentence is left on the terminal, in the report and in the remedies of mistakes; JSON and files stay as they are.

An English sentence is two words or more side by side; commands, options, paths and what is quoted or code are none.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from convrnn.core.columns import width

VERBS = ("train", "compare", "evaluate", "predict", "inspect", "report", "export", "models", "datasets", "bench")
HAN = re.compile("[\u4e00-\u9fff]")
GRU = ("--model", "gru", "--set", "width=4", "--epochs", "1")

MISTAKES = {
    "missing file": ("train", "god.csv", *GRU),
    "empty file": ("train", "empty.csv", *GRU),
    "binary file": ("train", "binary.csv", *GRU),
    "one class": ("train", "one_label.csv", *GRU),
    "unknown target": ("train", "good.csv", "--target", "t99", *GRU),
    "a label only in test": ("train", "good.csv", "--test", "new_label.csv", *GRU),
    "text in a numeric column": ("train", "text_in_numbers.csv", *GRU),
    "ragged table": ("train", "ragged.csv", *GRU),
    "wrong shape in a spec": ("train", "good.csv", "--model", "wrong_shape.yaml"),
    "unknown field in a spec": ("train", "good.csv", "--model", "wrong_field.yaml"),
    "unknown model": ("train", "good.csv", "--model", "grru"),
    "no such set": ("train", "digitz", *GRU),
    "not a run": ("predict", ".", "good.csv"),
    "option given twice": ("train", "good.csv", "--target", "t0", "--target", "label", *GRU),
    "unknown key": ("train", "good.csv", *GRU, "--set", "raet=1"),
    "value that is none": ("train", "good.csv", *GRU, "--set", "width=-1"),
    "no number": ("train", "good.csv", "--epochs", "many"),
    "unknown option": ("train", "good.csv", "--epoch", "3"),
    "unknown verb": ("trian",),
    "missing argument": ("predict",),
    "layer without --row": ("inspect", "good.csv", "--layer", "0"),
}


def english(text: str) -> list[str]:
    """The English sentences in a text."""
    text = re.sub(r"`[^`]*`|'[^']*'|\[[^]]*\]|--[\w-]+(=\S+)?|\S*[/\\]\S*|pip install \S+( \S+)?|convrnn( [a-z]+)*", " \u00b7 ", text)
    return re.findall(r"\b[A-Za-z]{2,}(?: [A-Za-z]{2,})+\b", text)


def read(page: Path) -> str:
    """What a reader sees of a report, commands and code apart."""
    text = re.sub(r"(?s)<(style|pre|code|svg|title)\b.*?</\1>", " \u00b7 ", page.read_text(encoding="utf-8"))
    return unescape(re.sub("<[^>]+>", "\n", text))


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *strings(item))]
    return [text for item in value for text in strings(item)] if isinstance(value, list) else [value] if isinstance(value, str) else []


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on a built-in set in Chinese, and what was said meanwhile."""
    out = tmp_path_factory.mktemp("zh") / "run"
    said = subprocess.run(
        [sys.executable, "-m", "convrnn", "train", "digits", *GRU, "--lang", "zh", "--out", str(out)], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    return out, said.stdout + said.stderr


def test_a_training_is_told_in_chinese(trained: tuple[Path, str]) -> None:
    folder, said = trained
    assert "训练用时" in said and "验证损失" in said
    assert english(said) == []
    page = read(folder / "report.html")
    assert "测试集准确率" in page and "混淆矩阵" in page
    assert english(page) == []


def test_what_a_training_writes_is_english(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    for path in (*folder.glob("*.json*"), *folder.glob("*.yaml"), *folder.glob("checkpoints/*.json")):
        assert not HAN.search(path.read_text(encoding="utf-8")), path.name


def test_a_report_is_drawn_again_in_the_other_language(trained: tuple[Path, str], convrnn: Callable[..., Any]) -> None:
    folder, _ = trained
    chinese = (folder / "report.html").read_text(encoding="utf-8")
    assert convrnn("report", folder).code == 0
    assert not HAN.search((folder / "report.html").read_text(encoding="utf-8").replace(chinese, ""))
    assert convrnn("report", folder, "--lang", "zh").code == 0
    assert (folder / "report.html").read_text(encoding="utf-8") == chinese


def test_notes_of_the_reading_are_in_both_reports(files: Path, tmp_path: Path, convrnn: Callable[..., Any]) -> None:
    out = tmp_path / "run"
    assert convrnn("train", files / "good.csv", *GRU, "--quiet", "--out", out).code == 0
    assert convrnn("report", out, "--lang", "zh").code == 0
    assert "每行是一条 8 帧的序列" in read(out / "report.html")
    assert english(read(out / "report.html").replace("good.csv", "")) == []


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_have_chinese_remedies(name: str, files: Path, convrnn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    said = convrnn(*MISTAKES[name], "--lang", "zh")
    assert said.code == 2
    assert HAN.search(said.err) and said.err.count("\n") == 1
    assert english(said.err) == []


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_is_chinese_and_aligned(verb: str, convrnn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = convrnn(*verb.split(), "--help", "--lang", "zh")
    assert said.code == 0
    assert english(said.out) == []
    assert all(width(line) <= 80 for line in said.out.splitlines()[1:])


def test_the_language_may_stand_before_the_verb_and_comes_from_the_locale(
    convrnn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    chinese = convrnn("models", "--lang=zh").out
    assert HAN.search(chinese)
    assert convrnn("--lang", "zh", "models").out == chinese
    assert not HAN.search(convrnn("models").out)
    monkeypatch.setenv("CONVRNN_LANG", "zh")
    assert convrnn("models").out == chinese
    assert not HAN.search(convrnn("models", "--lang", "en").out)
    assert convrnn("models", "--lang", "fr").err == "convrnn: --lang：应为 en 或 zh，实际为 'fr'\n"


@pytest.mark.parametrize("what", [("inspect", "digits"), ("datasets",), ("datasets", "digits"), ("models",), ("models", "crnn")])
def test_json_is_the_same_in_both(what: tuple[str, ...], convrnn: Callable[..., Any]) -> None:
    plain, chinese = convrnn(*what, "--json"), convrnn(*what, "--json", "--lang", "zh")
    assert chinese.out == plain.out and not HAN.search(plain.out)
    assert strings(json.loads(plain.out))


@pytest.mark.parametrize("what", [("inspect", "digits"), ("datasets",), ("models",), ("models", "crnn"), ("datasets", "digits")])
def test_lists_are_chinese_and_fit(what: tuple[str, ...], convrnn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = convrnn(*what, "--lang", "zh").out
    assert HAN.search(said)
    if "datasets" not in what or len(what) == 1:  # the citations and licences of a set stay as they are
        assert all(found in ("FCN", "CNN", "LSTM") for found in english(re.sub(r"(?s)论文：.*", "", said)))


def test_a_layer_is_said_in_columns_that_stand_below_each_other(trained: tuple[Path, str], convrnn: Callable[..., Any]) -> None:
    lines = convrnn("inspect", trained[0], "--lang", "zh").out.splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("位置"))
    rows = lines[head + 1 : lines.index("", head)]
    end = width(lines[head][: lines[head].index("参数量") + 3])
    for row in rows:
        columns = 0
        cut = next(place for place, letter in enumerate(row) if (columns := columns + width(letter)) >= end) + 1
        assert row[cut - 1] in "0123456789" and row[cut : cut + 2] == "  "


def test_chinese_help_costs_no_time() -> None:
    """Seconds of the processor, the least of three, so that a busy machine does not count."""

    def spent(language: str) -> float:
        times = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-m", "convrnn", "train", "--help", "--lang", language], capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(times)

    assert spent("zh") < spent("en") + 0.3
