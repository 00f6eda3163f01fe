"""The tests see what they are for: each planted mistake turns the test red that its table names."""

from __future__ import annotations

import pytest

from convrnn.kernels import native
from tests import mutations, mutations_native
from tests.mutations import MUTATIONS, Mutation, defined, mistaken, red_tests

by_mutation = pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
in_the_source = pytest.mark.parametrize("mutation", mutations_native.MUTATIONS, ids=lambda mutation: mutation.name)
needs_compiled = pytest.mark.skipif(not native.available(), reason="installed without compiled kernels")


@pytest.mark.full
@by_mutation
def test_mutation(mutation: Mutation) -> None:
    assert mutation.red in red_tests(mutation)


@by_mutation
def test_the_table_is_up_to_date(mutation: Mutation) -> None:
    """The text that a mutation changes is in the source once, and the test that must see it is there."""
    assert mistaken(mutation)
    assert defined(mutation.red, mutations.TESTS)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> mutations_native.Compiled:
    """A copy with kernels of its own, whose tests are green as long as no mistake is in it."""
    copy = mutations_native.Compiled(tmp_path_factory.mktemp("compiled"))
    assert copy.unharmed(mutations_native.MUTATIONS) == []
    return copy


@pytest.mark.full
@needs_compiled
@in_the_source
def test_mutation_of_the_source(compiled: mutations_native.Compiled, mutation: Mutation) -> None:
    assert mutation.red in compiled.red_tests(mutation)


@in_the_source
def test_the_table_of_the_source_is_up_to_date(mutation: Mutation) -> None:
    """Likewise in C++."""
    assert mistaken(mutation)
    assert defined(mutation.red, mutations_native.TESTS)
