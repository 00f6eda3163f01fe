"""The tests see what they are for: each planted mistake turns the test red that its table names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutations import MUTATIONS, Mutation, plant, red_tests


@pytest.mark.full
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation(mutation: Mutation) -> None:
    assert mutation.red in red_tests(mutation)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_table_is_up_to_date(mutation: Mutation, tmp_path: Path) -> None:
    """The text that a mutation changes is in the source once."""
    plant(mutation, tmp_path)
