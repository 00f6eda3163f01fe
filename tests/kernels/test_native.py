"""Keep masks: compiled, reference and plain integers agree to the bit; chunks, rows and tracing do not matter; the choice is honoured."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from convrnn.core.errors import JobError, UsageError
from convrnn.kernels import native

M64 = 2**64
AWKWARD = [(1, 1, 1), (3, 7, 5), (2, 63, 17), (1, 130, 1), (5, 1, 33), (0, 4, 3), (2, 0, 3), (2, 3, 0)]
EDGES = [0, 1, -1, 2**63 - 1, -(2**63), 0x5DEECE66D]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """The compiled module is looked for once a process; these tests look several times."""
    native._load.cache_clear()
    yield
    native._load.cache_clear()


needs_compiled = pytest.mark.skipif(not isinstance(native._load(), ModuleType), reason="installed without compiled kernels")


@pytest.fixture(params=[pytest.param("require", marks=needs_compiled), "off"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CONVRNN_NATIVE", request.param)
    return request.param


def mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % M64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % M64
    return z ^ (z >> 31)


def plain_uniform(seed: int, frame: int, channel: int) -> float:
    """The number in [0, 1) that decides one entry, in unbounded integers."""
    golden = 0x9E3779B97F4A7C15
    state = mix((mix((seed + golden) % M64) + frame * golden) % M64)
    return (mix((state + (channel + 1) * golden) % M64) >> 11) / 2**53


def counters(rows: int) -> tuple[Tensor, Tensor]:
    """Seeds and clocks with the extremes of int64 among them, so that sums and products wrap."""
    seed = torch.tensor((EDGES * rows)[:rows], dtype=torch.int64)
    clock = torch.tensor(([0, 2**63 - 3, -5, 1000] * rows)[:rows], dtype=torch.int64)
    return seed, clock


def test_splitmix64_known_answers() -> None:
    """The published generator seeded with 0 gives these numbers: our mix and constants are SplitMix64's."""
    golden = torch.tensor([1, 2, 3], dtype=torch.int64) * native._GOLDEN
    assert [z % M64 for z in native._mix(golden).tolist()] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize("keep", [1e-3, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("size", AWKWARD)
def test_same_bits_as_plain_integers(route: str, size: tuple[int, int, int], keep: float) -> None:
    rows, frames, channels = size
    seed, clock = counters(rows)
    mask = native.keep_mask(seed, clock, frames, channels, keep, torch.float64)
    assert mask.shape == size
    expected = [
        [[1 / keep if plain_uniform(s, c + t, k) < keep else 0.0 for k in range(channels)] for t in range(frames)]
        for s, c in zip(seed.tolist(), clock.tolist(), strict=True)
    ]
    assert mask.tolist() == expected


def test_threshold_is_exact(route: str) -> None:
    """An entry whose number is u is dropped at keep = u and kept at the next double above."""
    seed, clock = torch.tensor([7]), torch.tensor([3])
    u = plain_uniform(7, 3, 0)
    assert native.keep_mask(seed, clock, 1, 1, u).item() == 0
    assert native.keep_mask(seed, clock, 1, 1, math.nextafter(u, 1.0)).item() > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_both_routes_agree_in_every_dtype(route: str, dtype: torch.dtype) -> None:
    seed, clock = counters(6)
    for keep in (0.1, 1 / 3, 0.7):
        mask = native.keep_mask(seed, clock, 19, 31, keep, dtype)
        assert mask.dtype == dtype
        assert torch.equal(mask, native.keep_mask_reference(seed, clock, 19, 31, keep, dtype))


def test_strided_counters(route: str) -> None:
    seed, clock = counters(6)
    expected = native.keep_mask(seed[::2].clone(), clock[::2].clone(), 5, 4, 0.5)
    assert torch.equal(native.keep_mask(seed[::2], clock[::2], 5, 4, 0.5), expected)


def test_chunks_and_rows_do_not_matter(route: str) -> None:
    seed, clock = counters(4)
    whole = native.keep_mask(seed, clock, 50, 8, 0.6)
    parts = [native.keep_mask(seed, clock + start, stop - start, 8, 0.6) for start, stop in ((0, 1), (1, 1), (1, 17), (17, 50))]
    assert torch.equal(torch.cat(parts, 1), whole)
    order = torch.tensor([2, 0, 3])
    assert torch.equal(native.keep_mask(seed[order], clock[order], 50, 8, 0.6), whole[order])


def test_entries_look_independent(route: str) -> None:
    """Kept shares and neighbour correlations over rows, frames and channels lie within five standard errors."""
    seed, clock = torch.arange(40), torch.zeros(40, dtype=torch.int64)
    kept = (native.keep_mask(seed, clock, 50, 60, 0.7, torch.float64) > 0).double()
    error = math.sqrt(0.7 * 0.3 / kept.numel())
    assert abs(kept.mean().item() - 0.7) < 5 * error
    centred = kept - 0.7
    for dim in range(3):
        product = centred.narrow(dim, 1, kept.shape[dim] - 1) * centred.narrow(dim, 0, kept.shape[dim] - 1)
        assert abs(product.mean().item()) < 5 * 0.7 * 0.3 / math.sqrt(product.numel())


@pytest.mark.parametrize("keep", [0.0, -0.1, 1.5, math.nan])
def test_keep_is_a_probability(keep: float) -> None:
    with pytest.raises(ValueError, match=r"keep: expected a probability in \(0, 1\]"):
        native.keep_mask(*counters(2), 3, 4, keep)


def test_dtype_is_floating() -> None:
    with pytest.raises(ValueError, match=r"dtype: expected a floating type, got torch\.int64"):
        native.keep_mask(*counters(2), 3, 4, 0.5, torch.int64)


class Masked(nn.Module):
    """What dropout does in training."""

    def forward(self, values: Tensor, seed: Tensor, clock: Tensor) -> Tensor:
        return values * native.keep_mask(seed, clock, values.shape[1], values.shape[2], 0.8, values.dtype)


def test_operator_is_sound(route: str) -> None:
    torch.library.opcheck(torch.ops.convrnn.keep_mask.default, (*counters(3), 5, 4, 0.5, torch.float32))


def test_export_sees_one_node(route: str) -> None:
    rows, frames = torch.export.Dim("rows"), torch.export.Dim("frames")
    shapes = {"values": {0: rows, 1: frames}, "seed": {0: rows}, "clock": {0: rows}}
    program = torch.export.export(Masked(), (torch.ones(3, 5, 4), *counters(3)), dynamic_shapes=shapes)
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets.count("convrnn.keep_mask.default") == 1
    assert not any("bitwise" in target or "shift" in target for target in targets)
    other = (torch.ones(2, 9, 4), *counters(2))
    assert torch.equal(program.module()(*other), Masked()(*other))


def test_compiled_equals_eager(route: str) -> None:
    compiled = torch.compile(Masked(), backend="aot_eager", fullgraph=True)
    for rows, frames in ((3, 5), (2, 9), (6, 1)):
        arguments = (torch.ones(rows, frames, 4), *counters(rows))
        assert torch.equal(compiled(*arguments), Masked()(*arguments))


def test_off_turns_the_compiled_module_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVRNN_NATIVE", "off")
    assert not native.available()
    assert native.why_not() == "CONVRNN_NATIVE=off"


def test_missing_module_falls_back_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVRNN_NATIVE", "auto")
    monkeypatch.setitem(sys.modules, "convrnn.kernels._native", None)
    assert not native.available()
    assert native.why_not().startswith("convrnn.kernels._native could not be loaded: ")
    assert native.keep_mask(*counters(2), 3, 4, 0.5).shape == (2, 3, 4)


def test_required_but_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVRNN_NATIVE", "require")
    monkeypatch.setitem(sys.modules, "convrnn.kernels._native", None)
    with pytest.raises(JobError, match=r"^convrnn\.kernels\._native: required by CONVRNN_NATIVE .*; install a C\+\+ compiler") as raised:
        native.keep_mask(*counters(2), 3, 4, 0.5)
    assert "\n" not in str(raised.value)


def test_unknown_choice_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVRNN_NATIVE", "yes")
    with pytest.raises(UsageError, match=r"^CONVRNN_NATIVE: expected auto, require or off, got 'yes'"):
        native.available()


@needs_compiled
def test_the_compiled_module_checks_what_it_is_given() -> None:
    compiled, two, three = native._load(), *(torch.zeros(n, dtype=torch.int64) for n in (2, 3))
    assert isinstance(compiled, ModuleType)
    with pytest.raises(ValueError, match="one entry for each row"):
        compiled.keep_mask(two, three, 1, 1.0, torch.zeros(3, 1, 1))
    for unfit in (torch.zeros(2, 3, 4)[:, :, ::2], torch.zeros(2, 3, 4, dtype=torch.float16), torch.zeros(2, 12)):
        with pytest.raises(TypeError):
            compiled.keep_mask(two, two, 1, 1.0, unfit)


def test_a_module_of_older_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, native._MODULE, ModuleType(native._MODULE))
    monkeypatch.setenv("CONVRNN_NATIVE", "auto")
    assert not native.available()
    assert native.why_not() == "convrnn.kernels._native could not be loaded: it was built from older sources, reinstall convrnn"
