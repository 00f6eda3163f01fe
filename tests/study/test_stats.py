"""`statistics.json` of made studies: the same bytes, the right test for the numbers of sets and models, and nothing that was not shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convrnn.core.errors import DataError
from convrnn.report import read_study, verdict
from convrnn.report.records import Answer
from convrnn.study import stats
from convrnn.study.scores import Field, fields, row_scores
from tests.study.made import ERRORS, Plan, field, write_lines, write_study

Folder = Callable[[str], Path]


def family(folder: Path) -> dict[str, Any]:
    (only,) = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))["families"]
    return only


def test_the_same_results_give_the_same_bytes(finished: Folder, damaged: Folder) -> None:
    folder = damaged("few")
    before = (folder / "statistics.json").read_bytes()
    (folder / "statistics.json").unlink()
    assert stats.write(folder).read_bytes() == before
    assert not list(folder.glob("*.part"))


def test_many_sets_are_the_sample_and_few_are_not(finished: Folder) -> None:
    many, few, one = (family(finished(name)) for name in ("many", "few", "one"))
    assert (many["scope"], few["scope"], one["scope"]) == ("sets", "seeds", "seeds")
    assert many["friedman"]["models"] == 12 and one["friedman"] is None
    assert len(many["pairs"]) == 66 and many["cliques"]
    assert one["test_rows"] == {"digits": 359}


@pytest.mark.parametrize("name", ["many", "few", "one", "errors"])
def test_every_pair_is_told_apart_just_where_its_interval_leaves_out_0(finished: Folder, name: str) -> None:
    found = family(finished(name))
    for pair in found["pairs"]:
        assert pair["told"] == (pair["holm"] <= stats.ALPHA) == (pair["low"] > 0)
        assert pair["wins"] + pair["ties"] + pair["losses"] == pair["sets"]
        assert pair["difference"] >= 0 and 0 <= pair["superiority"] <= 1
    rnn = [pair for pair in found["pairs"] if "rnn" in (pair["first"], pair["second"])]
    assert all(pair["second"] == "rnn" for pair in rnn if pair["told"]) and any(pair["told"] for pair in rnn), "it was made worse by far"


def of_sets(**differences: Sequence[float]) -> Field:
    """Accuracies of .9 and of .9 less these, a set each; a model may lack the last sets."""
    longest = max(map(len, differences.values()))
    sets = tuple(f"set-{number}" for number in range(longest))
    cells = {(name, arm): np.array([[0.9 - less]]) for arm, own in differences.items() for name, less in zip(sets, own, strict=False)}
    return Field("accuracy", True, sets, tuple(differences), cells, frozenset())


def test_where_most_sets_tie_the_winner_is_who_is_ahead_on_the_others() -> None:
    found = stats.plain(stats.family(of_sets(first=[0.02, 0.02, 0.02, 0.04, 0.04, 0.05] + [0.0] * 15, second=[0.0] * 21)))
    (pair,) = found["pairs"]
    assert (pair["first"], pair["told"], pair["wins"], pair["ties"], pair["losses"]) == ("second", True, 6, 15, 0)
    assert (pair["difference"], pair["low"]) == (0, 0) and pair["high"] > 0
    (said,) = verdict({"families": [found]})
    assert said.headline == "second is better than every other model here."
    assert said.details[0].startswith("second is better than first, ahead on 6 of 21 sets and equal on 15 (Holm p = 0.031")


@pytest.mark.parametrize(("sets", "about"), [(1, "It holds for this data set"), (3, "they are too few to speak of others.")])
def test_of_two_models_no_correction_is_told(sets: int, about: str) -> None:
    found = stats.plain(stats.family(field(np.random.default_rng(0), [0.0, 0.0], sets, seeds=5, rows=40)))
    (said,) = verdict({"families": [found]})
    assert said.holds[0] == "Tested over 5 seeds of both models and the test rows (accuracy)." and about in said.holds[1]


def test_a_model_that_lacks_a_set_is_not_held_up_by_the_test_of_those_that_have_all() -> None:
    random = np.random.default_rng(0)
    alike = {name: random.normal(0.4, 0.01, 12).tolist() for name in "abc"}
    found = stats.plain(stats.family(of_sets(**alike, d=[0.0] * 11)))
    assert found["scope"] == "sets" and found["friedman"]["f_p"] > 0.05 and found["friedman"]["models"] == 3
    assert {(pair["first"], pair["second"]) for pair in found["pairs"] if pair["told"]} == {("d", "a"), ("d", "b"), ("d", "c")}


def test_errors_of_several_sets_are_shares_of_what_guessing_makes_in_whatever_unit(tmp_path: Path) -> None:
    of_one = Plan({"crnn": 0.7, "gru": 0.1, "rnn": -1.5}, {"small": 100, "large": 60}, 5, metric="mae", epochs=1)
    found = []
    for number, units in enumerate(({}, {"large": 1e4})):
        folder = write_study(tmp_path / str(number), of_one._replace(units=units))
        stats.write(folder)
        found.append(family(folder))
    assert found[0]["metric"] == "rae" and found[0]["better"] == "lower" and found[0]["test_rows"] == {"large": 60, "small": 100}
    assert [line["mean"] for line in found[1]["leaderboard"]] == pytest.approx([line["mean"] for line in found[0]["leaderboard"]])
    assert [pair["holm"] for pair in found[1]["pairs"]] == pytest.approx([pair["holm"] for pair in found[0]["pairs"]])
    study = read_study(tmp_path / "0")
    for each in found[0]["cells"]:
        own = [result.value for result in study.results if (result.set, result.arm) == (each["set"], each["arm"])]
        assert each["values"] == pytest.approx(own), "of targets 0, 1, 2, 3 guessing the mean is wrong by 1"


def test_a_set_whose_targets_are_not_on_record_has_its_errors_for_itself(tmp_path: Path) -> None:
    folder = write_study(tmp_path, Plan({"crnn": 0.7, "rnn": -1.5}, {"one": 60, "two": 60, "three": 60}, 5, metric="mae", epochs=1))
    for path in (folder / "runs" / "two").glob("*/*/predictions.jsonl"):
        path.unlink()
    stats.write(folder)
    families = json.loads((folder / "statistics.json").read_text())["families"]
    assert [(each["metric"], each["sets"]) for each in families] == [("rae", ["one", "three"]), ("mae", ["two"])]


def test_means_and_intervals_are_those_of_the_results(finished: Folder) -> None:
    """An error counts as it is recorded, less of it being better."""
    found, study = family(finished("errors")), read_study(finished("errors"))
    assert found["better"] == "lower" and found["arms"] == ["crnn", "gru", "rnn"]
    for each in found["cells"]:
        values = [result.value for result in study.results if result.arm == each["arm"]]
        assert each["values"] == pytest.approx(values)
        assert (each["mean"], each["deviation"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
        assert each["low"] < each["mean"] < each["high"]


def test_one_training_of_each_model_tells_nothing(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "single", Plan({"crnn": 3.0, "rnn": -3.0}, {"digits": 300}, seeds=1))
    stats.write(folder)
    found = family(folder)
    assert [(pair["told"], pair["low"]) for pair in found["pairs"]] == [(False, None)]
    assert [line["low"] for line in found["leaderboard"]] == [None, None]


def test_a_model_that_lacks_a_set_is_compared_on_the_others_and_has_no_rank(damaged: Folder) -> None:
    folder = damaged("few")
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    write_lines(folder / "results.jsonl", [each for each in records if (each["set"], each["arm"]) != ("ECG", "crnn")])
    stats.write(folder)
    found = family(folder)
    assert [(line["arm"], line["sets"], line["rank"]) for line in found["leaderboard"]] == [
        ("lstm", 3, 1.0),
        ("rnn", 3, 2.0),
        ("crnn", 2, None),
    ]
    assert {pair["sets"] for pair in found["pairs"]} == {2, 3}


def test_each_metric_is_a_family_of_its_own_and_they_share_alpha(finished: Folder, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "errors", ERRORS)
    (folder / "runs" / "digits").symlink_to(finished("one") / "runs" / "digits")
    for file in ("results.jsonl",):
        (folder / file).write_text((folder / file).read_text() + (finished("one") / file).read_text())
    about, other = (json.loads((place / "study.json").read_text()) for place in (folder, finished("one")))
    about["sets"] += other["sets"]
    about["arms"] += [arm for arm in other["arms"] if arm not in about["arms"]]
    (folder / "study.json").write_text(json.dumps(about))
    stats.write(folder)
    families = json.loads((folder / "statistics.json").read_text())["families"]
    assert [(each["metric"], each["alpha"]) for each in families] == [("mae", 0.025), ("accuracy", 0.025)]


def test_rows_count_only_where_they_make_up_the_value(damaged: Folder) -> None:
    """Another metric under the same name, or a file of another training: the rows are not what the value is the mean of."""
    folder = damaged("one")
    (folder / "runs" / "digits" / "gru" / "seed-3" / "predictions.jsonl").write_text('{"label": "1", "target": "2"}\n')
    (field,) = fields(read_study(folder))
    assert field.by_rows == frozenset() and field.scores["digits", "crnn"].shape == (5, 1)
    stats.write(folder)
    assert family(folder)["test_rows"] == {}


@pytest.mark.parametrize(("metric", "expected"), [("mae", 2.5), ("mse", 8.5), ("r2", 1 - 8.5 / 25), ("accuracy", 0.0)])
def test_scores_of_rows_make_up_the_metric(metric: str, expected: float) -> None:
    answers = [Answer("1", "0", "9" if metric == "accuracy" else None, 1.0, np.nan), Answer("2", "10", "9", 14.0, np.nan)]
    scores = row_scores(metric, answers)
    assert scores is not None and scores.mean() == pytest.approx(expected)


def test_a_metric_that_is_no_mean_over_rows_has_none() -> None:
    assert row_scores("macro_f1", [Answer("1", "a", "a", np.nan, 1.0)]) is None


def damage(folder: Path, number: int, **changes: Any) -> None:
    records = [json.loads(line) for line in (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    records[number] |= changes
    write_lines(folder / "results.jsonl", records)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": None}, r"results\.jsonl:7: value: expected a number, got None"),
        ({"better": "most"}, r"results\.jsonl:7: better: expected `higher` or `lower`, got 'most'"),
        ({"seed": 9}, r"results\.jsonl: digits, gru: expected the seeds \(0, 1, 2, 3, 4\) of crnn, got \(0, 9, 2, 3, 4\)"),
    ],
)
def test_a_damaged_record_is_named_and_nothing_written(damaged: Folder, changes: dict[str, Any], message: str) -> None:
    folder = damaged("one")
    (folder / "statistics.json").unlink()
    damage(folder, 6, **changes)
    with pytest.raises(DataError, match=message):
        stats.write(folder)
    assert not (folder / "statistics.json").exists()


def test_a_folder_that_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a study folder with study\.json, found none; give the folder"):
        stats.write(tmp_path)
