"""Whole reports of made studies: complete, self-contained, verdict first, in Chinese with and without a font; a terminal's leaderboard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from convrnn.cli import main
from convrnn.core.columns import width
from convrnn.core.errors import DataError
from convrnn.core.language import speaking
from convrnn.report import is_study, leaderboard, read_study, render_study, study_words, verdict
from convrnn.report.fonts import Lettering
from convrnn.report.records import Epoch
from convrnn.report.study_figures import Curve, Priced, costs, curves, looks
from convrnn.study import stats
from tests.report.outline import Outline, outline
from tests.study.made import ARMS, Plan, write_study

Folder = Callable[[str], Path]


def page_of(folder: Path) -> Outline:
    return outline(folder / "report.html", ("h1", "h2"))


def test_the_report_of_many_sets(finished: Folder) -> None:
    """Twelve models, twelve sets: every section, one page that needs nothing else, the verdict before all else."""
    folder = finished("many")
    page = page_of(render_study(folder).parent)
    assert page.unnamed == [], "a figure without its text for screen readers"
    assert page.headings == [
        "many",
        "Leaderboard",
        "Which models differ",
        "By data set and class",
        "What they cost",
        "Learning curves",
        "How far back the gradient reaches",
        "What was compared",
        "Commands",
    ]
    assert len(page.ids) == len(set(page.ids)), "ids of several figures clash"
    assert all(link.startswith("#") for link in page.links), "nothing comes from elsewhere"
    study = read_study(folder)
    assert study.statistics is not None
    (said,) = verdict(study.statistics)
    assert page.text.index(said.headline) < page.text.index("Leaderboard")
    assert study.command in page.text and "text-cnn reads tokens; this set has series" in page.text
    assert {path.stem for path in (folder / "plots").iterdir()} == {
        "means-0",
        "ranks-0",
        *(f"cost-0-{name}" for name in ("parameters", "multiply_adds", "latency_ms", "train_seconds")),
        *(f"{name}-{number}" for name in ("curves", "gradients") for number in range(12)),
    }


@pytest.mark.parametrize(("sets", "drawn"), [(4, False), (5, True)])
def test_ranks_of_few_sets_say_what_decided_the_pairs(tmp_path: Path, sets: int, drawn: bool) -> None:
    """Drawn from five sets on; of so few the pairs were tested over seeds and rows, which the caption says."""
    folder = write_study(
        tmp_path / "some", Plan({"crnn": 0.7, "gru": 0.1, "rnn": -1.5}, {f"set {n}": 60 for n in range(sets)}, 2, epochs=2)
    )
    stats.write(folder)
    page = page_of(render_study(folder).parent)
    assert (folder / "plots" / "ranks-0.png").exists() is drawn
    assert ("Pairs were tested over seeds and test rows of these sets, not by ranks" in page.text) is drawn


def test_the_report_of_one_set_in_chinese(damaged: Folder) -> None:
    """No diagram of ranks, no shade by set; every sentence in Chinese."""
    folder = damaged("one")
    with speaking("zh"):
        page = page_of(render_study(folder).parent)
    assert page.headings[1:] == ["排行榜", "哪些模型有差别", "按数据集与类别", "各模型的开销", *page.headings[5:]]
    assert "Tested over" not in page.text and "better" not in page.text
    assert not list((folder / "plots").glob("ranks*"))
    assert 'lang="zh-CN"' in (folder / "report.html").read_text(encoding="utf-8")


def test_without_a_chinese_font_names_become_numbers_and_the_key_tells_them(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "names", Plan({"卷积": 1.0, "crnn": 0.0}, {"语音": 60}, 2, epochs=3))
    stats.write(folder)
    with speaking("zh"):
        page = page_of(render_study(folder, lettering=Lettering.find(())).parent)
    assert "1: 卷积" in page.text and "2: crnn" in page.text


def test_a_study_that_is_going_on_shows_what_there_is(damaged: Folder) -> None:
    folder = damaged("one")
    for name in ("statistics.json", "costs.jsonl", "gradients.jsonl"):
        (folder / name).unlink()
    page = page_of(render_study(folder).parent)
    assert "There are no statistics yet" in page.text
    assert page.headings == ["one", "Learning curves", "What was compared", "Commands"]


def test_a_name_that_is_html_is_shown_as_a_name(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "names", Plan({"<script>x": 1.0, "$a_b$": 0.0}, {"<b>": 60}, 2, epochs=3))
    stats.write(folder)
    page = render_study(folder).read_text(encoding="utf-8")
    assert "<script" not in page and "<b>" not in page and "&lt;script&gt;x" in page


def test_the_same_records_give_the_same_report(damaged: Folder) -> None:
    folder = damaged("one")
    before = render_study(folder).read_bytes()
    assert render_study(folder).read_bytes() == before


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["many", "few", "one", "errors"])
def test_the_leaderboard_has_80_columns(finished: Folder, name: str, language: str) -> None:
    with speaking("zh" if language == "zh" else "en"):
        lines = leaderboard(read_study(finished(name)))
    assert max(map(width, lines)) <= study_words.COLUMNS
    study = read_study(finished(name))
    assert len(lines) == len(study.arms) + 1
    assert lines[1].split()[0] in ("crnn", "lstm-fcn") and all(line == line.rstrip() for line in lines)


def test_a_model_that_lacks_a_set_is_marked(damaged: Folder) -> None:
    folder = damaged("few")
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "results.jsonl").write_text("".join(line for line in lines if '"ECG", "arm": "crnn"' not in line), encoding="utf-8")
    stats.write(folder)
    shown = leaderboard(read_study(folder))
    assert shown[3].startswith("crnn* ") and shown[4].startswith("* not on every set")


def sentences(folder: Path) -> study_words.Verdict:
    statistics = read_study(folder).statistics
    assert statistics is not None
    return verdict(statistics)[0]


def test_verdicts(finished: Folder, tmp_path: Path) -> None:
    few = sentences(finished("few"))
    assert few.headline == "crnn is better than every other model here." and few.decided
    assert re.fullmatch(
        r"crnn is better than lstm, ahead on 3 of 3 sets \(Holm p .*, difference 0\.\d+ \[0\.\d+,\xa00\.\d+\]\)\.", few.details[0]
    )
    assert few.holds[1].startswith("It holds for the mean over these 3 data sets")
    equal = write_study(tmp_path / "equal", Plan(dict.fromkeys(ARMS, 0.0), {"digits": 100}, 3, epochs=2))
    stats.write(equal)
    same = sentences(equal)
    assert (
        all(arm in same.headline for arm in ARMS)
        and same.headline.endswith("cannot be told apart here.")
        and not same.decided
        and not same.details
    )
    assert same.holds[-1].startswith("With 3 seeds only large differences")
    alone = write_study(tmp_path / "alone", Plan({"crnn": 0.0}, {"digits": 100}, 3, epochs=2))
    stats.write(alone)
    assert sentences(alone).headline == "There is one model here, and nothing to compare it with."


def test_every_pair_has_a_sentence_in_both_languages(finished: Folder) -> None:
    statistics = read_study(finished("many")).statistics
    assert statistics is not None
    for pair in statistics["families"][0]["pairs"]:
        said = study_words.pair_sentence(pair, 4)
        assert ("is better than" in said, "cannot be told apart" in said) == (pair["told"], not pair["told"])
        with speaking("zh"):
            assert ("优于" in study_words.pair_sentence(pair, 4)) == pair["told"]


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_up_is_better_where_one_model_beats_all_in_both(better: str) -> None:
    """The line of those that none beats is a point then, and does not tell."""
    look = looks(["gru", "cnn"], Lettering.find(()))
    drawn = costs("cost-0", "parameters", "mae", better, [Priced("gru", 1.0, 0.5), Priced("cnn", 2.0, 0.9)], ["gru"], look)
    bottom, top = drawn.figure.axes[0].get_ylim()
    assert bool(bottom < top) is (better == "higher")


def test_one_epoch_is_a_point() -> None:
    trained = [Curve("gru", [Epoch(1, 1, {"mae": 0.6}, {"mae": value})]) for value in (0.5, 0.7)]
    drawn = curves("curves-0", "mae", trained, looks(["gru"], Lettering.find(())))
    assert [line.get_marker() for line in drawn.figure.axes[0].lines] == ["o"] * 3


@pytest.mark.parametrize(("unit", "shown"), [(1.0, r"0\.\d{4}"), (1e-5, r"0\.00000\d{4}"), (1e4, r"\d,\d{3}|\d{3}")])
def test_errors_have_four_digits_in_any_unit(tmp_path: Path, unit: float, shown: str) -> None:
    folder = write_study(tmp_path / "unit", Plan({"crnn": 0.5, "gru": 0.0}, {"set": 100}, 3, epochs=2, metric="mae", units={"set": unit}))
    stats.write(folder)
    numbers = [re.findall(r"[\d.,]*\d", line.split("  ", 1)[1])[:3] for line in leaderboard(read_study(folder))[1:]]
    assert all(re.fullmatch(shown, number) for line in numbers for number in line), numbers


def test_no_two_of_forty_models_look_alike() -> None:
    drawn = looks([f"model-{number}" for number in range(40)], Lettering.find(()))
    seen = {(look.colour, str(look.dashes), look.marker) for look in drawn.values()}
    assert len({(colour, marker) for colour, _, marker in seen}) >= 24 and len(seen) >= 24


def test_convrnn_report_knows_a_study_from_a_run(damaged: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder = damaged("errors")
    assert main(["report", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["report"] == str(folder / "report.html") and str(folder / "plots" / "means-0.png") in shown["plots"]


def test_what_is_no_study(tmp_path: Path) -> None:
    assert not is_study(tmp_path)
    with pytest.raises(DataError, match="expected a study folder"):
        render_study(tmp_path)
