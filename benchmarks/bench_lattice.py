"""CRF and CTC: the compiled loops, their definition, and the loop over time in float32 that most people write; equal first, then timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from convrnn.kernels import crf, ctc, lattice, native
from convrnn.kernels.dispatch import use
from convrnn.kernels.lattice import Chain

OURS = f"convrnn ({native.why_not() or 'compiled'})"

Row = tuple[str, dict[str, Callable[[], Tensor]]]
"""The work with its sizes, and its rivals."""


def rows() -> Iterator[Row]:
    for batch, frames, tags in ((32, 50, 9), (32, 100, 20), (8, 500, 45), (1, 100, 20)):
        yield training_step(batch, frames, tags)
        yield best_path(batch, frames, tags)
    for batch, frames, symbols, beam in ((8, 100, 40, 16), (8, 100, 40, 100), (1, 100, 6000, 16)):
        yield search(batch, frames, symbols, beam)


def scores(batch: int, frames: int, tags: int) -> tuple[Tensor, Chain]:
    generator = torch.Generator().manual_seed(1)
    sizes = (batch, frames, tags), (tags, tags), (tags,), (tags,)
    emissions, *chain = (torch.randn(*size, generator=generator).requires_grad_() for size in sizes)
    return emissions, Chain(*chain)


def usual_log_partition(emissions: Tensor, chain: Chain) -> Tensor:
    alpha = chain.start + emissions[:, 0]
    for t in range(1, emissions.shape[1]):
        alpha = torch.logsumexp(alpha[:, :, None] + chain.transitions, 1) + emissions[:, t]
    return torch.logsumexp(alpha + chain.end, 1)


def usual_viterbi(emissions: Tensor, chain: Chain) -> Tensor:
    ways, back = chain.start + emissions[:, 0], []
    for t in range(1, emissions.shape[1]):
        best, came_from = (ways[:, :, None] + chain.transitions).max(1)
        ways = best + emissions[:, t]
        back.append(came_from)
    tags = [(ways + chain.end).argmax(1)]
    for came_from in reversed(back):
        tags.append(came_from.gather(1, tags[-1][:, None]).squeeze(1))
    return torch.stack(tags[::-1], 1)


def training_step(batch: int, frames: int, tags: int) -> Row:
    emissions, chain = scores(batch, frames, tags)

    def step(log_partition: Callable[[Tensor, Chain], Tensor]) -> Callable[[], Tensor]:
        return lambda: torch.autograd.grad(log_partition(emissions, chain).sum(), (emissions, *chain))[0]

    def definition(emissions: Tensor, chain: Chain) -> Tensor:
        return lattice.log_partition(emissions, chain, None)

    rivals: dict[str, Callable[[], Tensor]] = {
        OURS: step(crf.log_partition),
        "definition": step(definition),
        "usual loop": step(usual_log_partition),
    }
    ours, *others = (each() for each in rivals.values())
    for other in others:
        torch.testing.assert_close(ours, other, rtol=1e-2, atol=1e-3)
    return (f"CRF training step B={batch} T={frames} K={tags}", rivals)


@torch.no_grad()
def best_path(batch: int, frames: int, tags: int) -> Row:
    emissions, chain = scores(batch, frames, tags)
    rivals: dict[str, Callable[[], Tensor]] = {
        OURS: lambda: crf.viterbi(emissions, chain).tags,
        "definition": lambda: lattice.viterbi(emissions, chain, None, 1).tags[:, 0],
        "usual loop": lambda: usual_viterbi(emissions, chain),
    }
    ours, *others = (each() for each in rivals.values())
    assert all(torch.equal(ours, other) for other in others)
    return (f"Viterbi B={batch} T={frames} K={tags}", rivals)


def search(batch: int, frames: int, symbols: int, beam: int) -> Row:
    """Beside what the best path alone costs. The definition goes through every candidate in Python: it is compared on one frame in ten."""
    generator = torch.Generator().manual_seed(1)
    log_probs = (4.0 * torch.randn(batch, frames, symbols, generator=generator)).log_softmax(2)
    few = log_probs[:1, ::10, :100]
    with use("reference"):
        definition = ctc.beam_search(few, beam=beam)
    torch.testing.assert_close(ctc.beam_search(few, beam=beam), definition)
    rivals: dict[str, Callable[[], Tensor]] = {
        OURS: lambda: ctc.beam_search(log_probs, beam=beam).log_probs,
        "greedy": lambda: ctc.greedy(log_probs).labels,
    }
    return (f"CTC search B={batch} T={frames} K={symbols} W={beam}", rivals)
