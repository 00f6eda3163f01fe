"""The plan of the study `articles`: what is taken, what is left out and said, arms once, sizes and tuning equal. Trains nothing."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from convrnn.api.articles import TRIALS, Asking, plan_articles
from convrnn.api.estimate import STEP
from convrnn.core.errors import UsageError
from convrnn.study.articles import GROUNDS, MAIN, entered, every_claim, label_of
from convrnn.study.budget import WITHIN
from convrnn.study.plan import Plan
from tests.study.made import write_vowels

EPOCHS = 30_000
"""No set of the study has so many by itself."""


class Planned(NamedTuple):
    """A plan, and what was said meanwhile."""

    plan: Plan
    said: list[str]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """Two sets are asked for, of which the folder has one."""
    said: list[str] = []
    folder = write_vowels(tmp_path_factory.mktemp("sets"))
    asking = Asking(folder, ["PLAID", "JapaneseVowels"], 2, {"epochs": EPOCHS, "batch": 1}, "convrnn compare articles")
    return Planned(plan_articles(asking, "made", said.append), said)


def test_a_set_that_is_not_there_is_said_and_left_out(planned: Planned) -> None:
    assert planned.said[:2] == [
        "JapaneseVowels: series, 27 + 3 + 12 rows, 3 classes",
        "PLAID: DIR/ucr_uea/PLAID is not there; left out",
    ]
    (about,) = planned.plan.sets
    assert (about.name, about.budget, about.parts) == ("JapaneseVowels", 60_000, {"train": 27, "valid": 3, "test": 12})
    assert planned.plan.judged and planned.plan.command == "convrnn compare articles"


def test_every_arm_that_is_needed_is_trained_once(planned: Planned) -> None:
    """The same net with the same options and seeds stands in no two pairs, though three claims and the main comparison ask for crnn."""
    plan = planned.plan
    names = [pair.arm for pair in plan.pairs]
    assert len(set(names)) == len(names)
    assert set(names) == {each.arm.name for each in entered() if "JapaneseVowels" in each.sets} == {arm.name for arm in plan.arms}
    trained = [(plan.arm_of(pair).model, sorted(plan.options_of(pair).items()), plan.arm_of(pair).first_seed) for pair in plan.pairs]
    assert len({repr(each) for each in trained}) == len(trained)
    asked = [label_of(claim, arm.name) for claim in every_claim() for arm in claim.arms]
    assert asked.count("crnn") > 1 and names.count("crnn") == 1
    assert {pair.arm for pair in plan.pairs if not pair.aside} == set(MAIN), "what is there for a claim alone is not on the leaderboard"


def test_budgets_are_met_where_arms_are_to_be_equal(planned: Planned) -> None:
    equal = {each.arm.name for each in entered() if each.equal}
    for pair in planned.plan.pairs:
        if pair.arm in equal:
            assert pair.solved and abs(pair.parameters - 60_000) <= WITHIN * 60_000, pair
        else:
            assert not pair.solved, pair
    assert WITHIN == 0.05 and equal >= set(MAIN)


def test_tuning_is_equal_and_given_options_go_before_those_of_the_set(planned: Planned) -> None:
    plan = planned.plan
    assert plan.trials == TRIALS > 1 and plan.jobs == len(plan.pairs) * (2 + TRIALS)
    assert (
        "epochs" in GROUNDS["JapaneseVowels"].options
        and plan.options == {"epochs": EPOCHS, "batch": 1}
        and "epochs" not in plan.sets[0].options
    )
    brief = {each.arm.name for each in entered() if "epochs" in each.arm.options}
    assert {plan.options_of(pair)["epochs"] for pair in plan.pairs if pair.arm not in brief} == {EPOCHS}


def test_the_time_is_estimated_from_steps_and_products(planned: Planned) -> None:
    """Of single rows of 8 frames the products are a small part."""
    passes = sum(planned.plan.options_of(pair)["epochs"] for pair in planned.plan.pairs) * (2 + TRIALS)
    steps = STEP * 27 * passes
    assert steps < planned.plan.seconds < 1.3 * steps


@pytest.mark.parametrize(
    ("folder", "sets", "said"),
    [
        ("", ["adding", "ECG5000"], "DATA: the study has no set ECG5000; known: adding, copy, "),
        ("lost", [], "--data: expected a folder, got "),
        ("", ["PLAID", "ECG"], "--data: none of the sets is there; give the folder that holds the sets by name"),
        (None, ["PLAID"], "--data: none of the sets is there; give the folder that holds the sets by name"),
    ],
)
def test_mistakes(folder: str | None, sets: list[str], said: str, tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(UsageError) as error:
        plan_articles(Asking(None if folder is None else tmp_path / folder, sets, 2, {}, ""), "made", lines.append)
    assert str(error.value).startswith(said)
    assert lines == [f"{name}: {GROUNDS[name].data} is not there; left out" for name in sets if "none of" in said]


def test_a_set_that_cannot_be_read_is_left_out_with_its_reason(tmp_path: Path) -> None:
    folder = write_vowels(tmp_path) / "ucr_uea" / "JapaneseVowels"
    (folder / "JapaneseVowels_TRAIN.ts").write_text("damaged", encoding="utf-8")
    lines: list[str] = []
    with pytest.raises(UsageError, match="none of the sets is there"):
        plan_articles(Asking(tmp_path, ["JapaneseVowels"], 2, {}, ""), "made", lines.append)
    assert len(lines) == 1 and lines[0].startswith("JapaneseVowels: ") and "JapaneseVowels_TRAIN.ts" in lines[0]
    assert lines[0].endswith("; left out")
