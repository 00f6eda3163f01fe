"""A winner is named among equal models in at most 5 % of studies, and a real difference of a stated size is found in most.

The first without the second would be passed by a procedure that never names anybody.
"""

from __future__ import annotations

import numpy as np
import pytest

from convrnn.study.stats import ALPHA, compared
from tests.study.made import errors, field

# sets, seeds and test rows of a study of ten models
SHAPES = {
    "many sets, few seeds": [(12, 3, 40)],
    "one set, 5 to 10 seeds": [(1, 5, 200), (1, 6, 40), (1, 8, 360), (1, 10, 100)],
    "few sets, 5 seeds": [(3, 5, 100)],
}


def share_with_a_winner(shapes: list[tuple[int, int, int]], studies: int, seed: int, kind: float = 0.0) -> float:
    """Of studies of one model under ten names, the share in which any pair is told apart."""
    random, found = np.random.default_rng(seed), 0
    for number in range(studies):
        sets, seeds, rows = shapes[number % len(shapes)]
        run = (0.0, 0.3, 0.6)[number % 3]  # how much trainings differ as a whole
        found += any(each.corrected.told for each in compared(field(random, [0.0] * 10, sets, seeds=seeds, rows=rows, run=run, kind=kind)))
    return found / studies


@pytest.mark.parametrize("name", SHAPES)
def test_pure_noise_has_no_winner(name: str) -> None:
    assert share_with_a_winner(SHAPES[name], 200, seed=0) <= ALPHA


@pytest.mark.parametrize("rows", [2, 4, 10])
def test_few_test_rows_of_a_regression_have_no_winner(rows: int) -> None:
    """Where rows decide: with a normal quantile one of ten models was called better in 99, 82 and 31 of 100 studies."""
    random = np.random.default_rng(0)
    assert np.mean([any(each.corrected.told for each in compared(errors(random, 10, seeds=5, rows=rows))) for _ in range(300)]) <= ALPHA


@pytest.mark.full
@pytest.mark.parametrize("kind", [0.0, 0.5])
@pytest.mark.parametrize("name", SHAPES)
def test_pure_noise_has_no_winner_in_thousands(name: str, kind: float) -> None:
    """Also where each model has rows that suit it (`kind`): seeds alone see a difference there, and the next test part another one."""
    assert share_with_a_winner(SHAPES[name], 1500, seed=1, kind=kind) <= ALPHA


@pytest.mark.parametrize(("shape", "gain"), [((12, 3, 100), 1.2), ((1, 5, 300), 2.0), ((1, 10, 300), 1.2), ((3, 5, 100), 1.2)])
def test_a_real_difference_is_found_in_most_studies(shape: tuple[int, int, int], gain: float) -> None:
    """One of six models is worse by so many logits (1.2: about .13 of accuracy) and is told to be worse than another, never better."""
    random, found = np.random.default_rng(2), 0
    sets, seeds, rows = shape
    for _ in range(20):
        told = [each for each in compared(field(random, [0.0] * 5 + [-gain], sets, seeds=seeds, rows=rows)) if each.corrected.told]
        worse = [each for each in told if "model-5" in each.pair]
        assert all(each.test.difference > 0 for each in worse), "model-5 stands second in its pairs"
        found += bool(worse)
    assert found >= 16


def test_five_seeds_that_agree_prove_nothing_about_another_test_part() -> None:
    """A model that is right on 2 more of 40 rows in each of 5 seeds: seeds alone are sure of it, the rows are not."""
    right = np.zeros((5, 40))
    right[:, :30] = 1
    better = right.copy()
    better[:, 30:32] = 1
    study = field(np.random.default_rng(3), [0.0, 0.0], 1, seeds=5, rows=40)
    scores = {("set-0", "model-0"): better, ("set-0", "model-1"): right}
    (pair,) = compared(study._replace(scores=scores))
    assert not pair.corrected.told and pair.p > 0.3
