"""What a study compares and with what: labels, widths, learning rates, and the plan as it is stored."""

from __future__ import annotations

import json

import pytest

import convrnn as cr
from convrnn.api.planning import arms_of, split_models
from convrnn.core.errors import ConvrnnError, DataError, SpecError, UsageError
from convrnn.study.budget import meets, solve
from convrnn.study.plan import VERSION, Arm, DataSet, Job, Pair, Plan, Skipped, as_name, distinct
from convrnn.study.tune import Trial, best, rates

PLAN = Plan(
    VERSION,
    "made",
    "convrnn compare ...",
    [DataSet("digits", "digits", "image", 1797, 10, {"train": 1294, "valid": 144, "test": 359}, "accuracy", "higher")],
    [Arm("gru", "gru"), Arm("plain", cr.GRU(4).to_dict(), {"dropout": 0.0})],
    2,
    9_000,
    3,
    [Skipped("digits", "text-cnn", "takes text")],
    {"target": None},
    {"epochs": 1},
    [Pair("digits", "gru", {"width": 7}, 9_001, 2e-3)],
)


def test_models_as_they_are_typed() -> None:
    typed = split_models('crnn, crnn:dropout=0:depth=3 ,small=gru:width=8, gru:augment=[{jitter: 0.1}, {scale: 0.2}], gru:x="a,b:c"')
    arms = arms_of(typed)
    assert [arm.name for arm in arms[:4]] == ["crnn", "crnn dropout=0 depth=3", "small", "gru augment=[{jitter- 0.1}, {scale- 0.2}]"]
    assert [arm.options for arm in arms[:3]] == [{}, {"dropout": 0, "depth": 3}, {"width": 8}]
    assert arms[3].options == {"augment": [{"jitter": 0.1}, {"scale": 0.2}]}
    assert arms[4].options == {"x": "a,b:c"}


def test_models_from_python() -> None:
    arms = arms_of(["gru", cr.GRU(4), cr.Arm("one", "lstm", {"width": 4}), cr.Arm("two", cr.LSTM(3)), "gru"])
    assert [arm.name for arm in arms] == ["gru", "gru-2", "one", "two", "gru-3"]
    assert arms[1].model == cr.GRU(4).to_dict() and arms[3].model == cr.LSTM(3).to_dict()


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ([], UsageError, "expected at least one"),
        (["grru"], SpecError, "gru"),
        (["crnn:dropout"], UsageError, "crnn:dropout"),
        (["crnn:dropout=0:dropout=1"], UsageError, "given twice"),
        (["a/b=crnn"], UsageError, "name of a folder"),
        (["x="], UsageError, "LABEL"),
        (["nowhere.yaml"], UsageError, "nowhere.yaml"),
    ],
)
def test_models_that_are_none(given: list[str], error: type[ConvrnnError], said: str) -> None:
    with pytest.raises(error, match=said):
        arms_of(given)


def test_names_are_those_of_different_folders() -> None:
    assert distinct(["a", "A", "a", "b"]) == ["a", "A-2", "a-3", "b"]
    assert [as_name(text) for text in ("a/b", " .. ", "adding(100)", "中文")] == ["a-b", "unnamed", "adding(100)", "中文"]


@pytest.mark.parametrize("budget", [1, 10, 37, 1_000, 99_999, 2_000_000])
def test_the_width_is_the_nearest_of_all(budget: int) -> None:
    def count(width: int) -> int:
        return 4 * width * (width + 12) + 10

    solved = solve(count, budget)
    assert solved == min(((abs(count(width) - budget), width, count(width)) for width in range(1, 2_000)), key=lambda each: each[0])[1:]


def test_a_model_that_does_not_grow_is_not_widened_for_ever() -> None:
    assert solve(lambda width: 50, 1_000).parameters == 50


def test_a_budget_is_met_within_five_per_cent() -> None:
    assert [meets(n, 1_000) for n in (949, 950, 1_050, 1_051)] == [False, True, True, False]


def test_rates_are_a_log_grid_around_the_recommended_one() -> None:
    assert rates(2e-3, 1) == [2e-3]
    assert sorted(rates(1e-3, 3)) == pytest.approx([10**-3.5, 1e-3, 10**-2.5], rel=1e-5)
    assert rates(1e-3, 7)[:3] == rates(1e-3, 3)


def test_the_best_trial() -> None:
    trials = [Trial(1e-3, 0.8, 0.5), Trial(3e-4, 0.9, 0.4), Trial(3e-3, 0.9, 0.3), Trial(1e-4, None, None), Trial(1e-2, 0.9, 0.3)]
    assert best(trials, "higher") == trials[2], "the loss decides among equal figures, then the nearest to the recommended rate"
    assert best(trials, "lower") == trials[0]
    assert best(trials[3:4], "higher") is None


def test_a_plan_is_stored_whole() -> None:
    stored = json.loads(json.dumps(PLAN.to_json()))
    assert Plan.from_json(stored, "study.json") == PLAN
    assert Plan.from_json(
        {**stored, "sets": [{key: value for key, value in each.items() if key != "digest"} for each in stored["sets"]]}, ""
    )
    assert PLAN.jobs == 2 + 3
    assert PLAN.options_of(PLAN.pairs[0]) == {"epochs": 1, "width": 7}


@pytest.mark.parametrize("change", [{"version": 0}, {"seeds": None, "extra": 1}, {"pairs": [{"set": "digits"}]}])
def test_another_plan_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"study\.json"):
        Plan.from_json({**json.loads(json.dumps(PLAN.to_json())), **change}, "study.json")


def test_trials_come_before_the_seeds_of_their_pair_and_those_before_other_pairs() -> None:
    jobs = [Job(1, "trial", 0), Job(0, "seed", 1), Job(0, "seed", 0), Job(0, "trial", 2)]
    assert sorted(jobs, key=lambda job: job.turn) == [Job(0, "trial", 2), Job(0, "seed", 0), Job(0, "seed", 1), Job(1, "trial", 0)]
