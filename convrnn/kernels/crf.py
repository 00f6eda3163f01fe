"""The linear-chain CRF as registered operators: log Z with its derivatives, the best paths. Knows no layer and no task.

What it computes, and its papers, stand in `lattice.py`. Here is what is fast: compiled loops on the CPU (`csrc/crf.cpp`), rows in parallel;
on other devices, and without the compiled module, the definition. `convrnn::crf_log_partition` and `convrnn::crf_expectations`, its
derivative, are two operators joined by `register_autograd`; `convrnn::crf_viterbi` has none.

-inf forbids a tag at a frame, a tag to begin or end with, a transition (BIO: no I behind an O), without a NaN anywhere. Where no path is
left log Z is -inf and its gradient zero: such a row teaches nothing, and the infinite loss says so. A row of no frames has log Z = 0. What
stands beyond a row's length is not read.

Shapes: B rows, T frames, K tags, N paths.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from convrnn.core.errors import ShapeError, UsageError
from convrnn.core.language import tr
from convrnn.kernels import dispatch, lattice, native
from convrnn.kernels.lattice import Chain, Paths


class BestPath(NamedTuple):
    """The best path of each row.

    Attributes:
        tags: int64 `[B, T]`; -1 beyond the row's length, and everywhere if there is no path.
        score: `[B]`; -inf if there is no path.
    """

    tags: Tensor
    score: Tensor


def log_partition(emissions: Tensor, chain: Chain, lengths: Tensor | None = None) -> Tensor:
    """log Z: the logarithm of the sum of exp(score) over all paths through each row (Lafferty, McCallum & Pereira 2001).

    Args:
        emissions: `[B, T, K]`, the score of each tag at each frame.
        chain: transitions `[K, K]`, start `[K]` and end `[K]`.
        lengths: int64 `[B]` or None: all rows are full.

    Returns:
        `[B]`, differentiable once; any number of times inside `kernels.use("reference")`.

    Raises:
        ShapeError: what does not fit together.

    Example:
        >>> even = Chain(torch.zeros(2, 2), torch.zeros(2), torch.zeros(2))
        >>> round(float(log_partition(torch.zeros(1, 3, 2), even).exp()), 4)  # 2 x 2 x 2 paths
        8.0
    """
    _check(emissions, chain, lengths)
    if dispatch.chosen() == "reference":
        return lattice.log_partition(emissions, chain, lengths)
    return _log_partition(emissions, *chain, lengths)


def score(emissions: Tensor, chain: Chain, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The score `[B]` of one path of tags a row.

    Args:
        emissions: `[B, T, K]`.
        chain: of K tags.
        tags: int64 `[B, T]` in 0..K-1; beyond a row's length anything.
        lengths: int64 `[B]` or None.

    Raises:
        ShapeError: what does not fit together.
    """
    _check(emissions, chain, lengths)
    if tags.shape != emissions.shape[:2]:
        raise ShapeError("crf", tr("expected tags {shape}, got {got}", shape=list(emissions.shape[:2]), got=list(tags.shape)))
    return lattice.score(emissions, chain, tags, lengths)


def log_likelihood(emissions: Tensor, chain: Chain, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The log probability `[B]` of one path of tags a row; what training raises. -inf, with zero for a gradient, where it is forbidden.

    Args and errors as for `score`.
    """
    of_path = score(emissions, chain, tags, lengths)
    # -inf - -inf would be NaN.
    return torch.where(of_path == -torch.inf, of_path.detach(), of_path - log_partition(emissions, chain, lengths))


def marginals(emissions: Tensor, chain: Chain, lengths: Tensor | None = None) -> Tensor:
    """The probability of each tag at each frame `[B, T, K]` by forward-backward; zero beyond a row's length and where no path is allowed.

    Args and errors as for `log_partition`.
    """
    _check(emissions, chain, lengths)
    ones = emissions.new_ones(emissions.shape[0])
    if dispatch.chosen() == "reference":
        return lattice.expectations(emissions, chain, lengths, ones)[0]
    return _expectations(emissions, *chain, lengths, ones)[0]


def viterbi(emissions: Tensor, chain: Chain, lengths: Tensor | None = None) -> BestPath:
    """The best path of each row (Viterbi 1967), without gradient.

    Of equal paths the one through the lower tags wins, the last frame first. Where no path is allowed, and behind a NaN, all tags are -1.
    Args and errors as for `log_partition`.

    Example:
        >>> left_to_right = torch.tensor([[0.0, 0.0], [-torch.inf, 0.0]])
        >>> emissions = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [0.0, 1.0]]])  # 1 0 1, were it not forbidden
        >>> viterbi(emissions, Chain(left_to_right, torch.zeros(2), torch.zeros(2)))
        BestPath(tags=tensor([[0, 0, 1]]), score=tensor([3.]))
    """
    tags, scores = best_paths(emissions, chain, lengths, 1)
    return BestPath(tags[:, 0], scores[:, 0])


def best_paths(emissions: Tensor, chain: Chain, lengths: Tensor | None = None, count: int = 1) -> Paths:
    """The `count` best paths of each row, without gradient (the parallel list Viterbi algorithm, Seshadri & Sundberg 1994).

    Args:
        emissions: `[B, T, K]`.
        chain: of K tags.
        lengths: int64 `[B]` or None.
        count: N.

    Returns:
        tags int64 `[B, N, T]` and scores `[B, N]`, best first; tags of -1 and a score of -inf where there are fewer paths.

    Raises:
        ShapeError: what does not fit together.
        UsageError: `count` is below 1.
    """
    _check(emissions, chain, lengths)
    if count < 1:
        raise UsageError("crf", tr("expected a count of 1 or more, got {got!r}", got=count))
    if dispatch.chosen() == "reference":
        with torch.no_grad():
            return lattice.viterbi(emissions, chain, lengths, count)
    return Paths(*_viterbi(emissions, *chain, lengths, count))


def _check(emissions: Tensor, chain: Chain, lengths: Tensor | None) -> None:
    if emissions.dim() != 3 or not emissions.shape[2] or not emissions.is_floating_point():
        raise ShapeError(
            "crf",
            tr("expected floating emissions [B, T, K] with K > 0, got {dtype} {shape}", dtype=emissions.dtype, shape=list(emissions.shape)),
        )
    num_tags = emissions.shape[2]
    for name, each, wanted in zip(Chain._fields, chain, ((num_tags, num_tags), (num_tags,), (num_tags,)), strict=True):
        if each.shape != wanted:
            raise ShapeError(
                "crf",
                tr(
                    "expected {name} {wanted} for {num_tags} tags, got {got}",
                    name=name,
                    wanted=list(wanted),
                    num_tags=num_tags,
                    got=list(each.shape),
                ),
            )
    if lengths is not None and lengths.shape != emissions.shape[:1]:
        raise ShapeError("crf", tr("expected {wanted} length(s), got {got}", wanted=emissions.shape[0], got=list(lengths.shape)))


# ---- the operators


@torch.library.custom_op("convrnn::crf_log_partition", mutates_args=())
def _log_partition(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor | None) -> Tensor:
    chain = Chain(transitions, start, end)
    module = _compiled_for(emissions, chain, lengths)
    if module is None:
        return lattice.log_partition(emissions, chain, lengths)
    given, out = _Dense.of(emissions, chain, lengths), torch.empty(emissions.shape[0], dtype=torch.float64)
    module.crf_log_partition(*given.numbers(), torch.get_num_threads(), out.data_ptr())
    return out.to(emissions.dtype)


@_log_partition.register_fake
def _log_partition_fake(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor | None) -> Tensor:
    return emissions.new_empty(emissions.shape[0])


@torch.library.custom_op("convrnn::crf_expectations", mutates_args=())
def _expectations(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor | None, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `lattice.expectations`. The forward variables are computed anew: log Z keeps nothing for its derivative."""
    chain = Chain(transitions, start, end)
    module = _compiled_for(emissions, chain, lengths)
    if module is None or weight.device.type != "cpu":
        tags, counts = lattice.expectations(emissions, chain, lengths, weight)
        return tags.contiguous(), counts.transitions.contiguous(), counts.start.contiguous(), counts.end.contiguous()
    given, weight = _Dense.of(emissions, chain, lengths), weight.double().contiguous()
    tags = torch.empty_like(given.emissions)
    counts = Chain(*(torch.zeros_like(each) for each in given.chain))
    module.crf_expect(*given.numbers(), weight.data_ptr(), torch.get_num_threads(), tags.data_ptr(), *(each.data_ptr() for each in counts))
    return tags, counts.transitions.to(transitions.dtype), counts.start.to(start.dtype), counts.end.to(end.dtype)


@_expectations.register_fake
def _expectations_fake(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor | None, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    tags, pairs = emissions.new_empty(emissions.shape), transitions.new_empty(transitions.shape)
    return tags, pairs, start.new_empty(start.shape), end.new_empty(end.shape)


@torch.library.custom_op("convrnn::crf_viterbi", mutates_args=())
def _viterbi(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor | None, count: int
) -> tuple[Tensor, Tensor]:
    chain = Chain(transitions, start, end)
    module = _compiled_for(emissions, chain, lengths)
    if module is None:
        tags, scores = lattice.viterbi(emissions, chain, lengths, count)
        return tags.contiguous(), scores.contiguous()
    given = _Dense.of(emissions, chain, lengths)
    batch, frames, _ = emissions.shape
    tags, scores = torch.full((batch, count, frames), -1), torch.empty(batch, count, dtype=torch.float64)
    module.crf_viterbi(*given.numbers(), count, torch.get_num_threads(), tags.data_ptr(), scores.data_ptr())
    return tags, scores.to(emissions.dtype)


@_viterbi.register_fake
def _viterbi_fake(
    emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor | None, count: int
) -> tuple[Tensor, Tensor]:
    batch, frames, _ = emissions.shape
    return emissions.new_empty(batch, count, frames, dtype=torch.int64), emissions.new_empty(batch, count)


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
    return *_expectations(*ctx.saved_tensors, weight), None


def _no_second_derivative(ctx: Any, *gradients: Tensor | None) -> None:
    raise UsageError("convrnn::crf_log_partition", tr("it has no second derivative"), tr("compute it inside kernels.use('reference')"))


_log_partition.register_autograd(_backward, setup_context=_keep_for_backward)
_expectations.register_autograd(_no_second_derivative)
_log_partition.register_autocast("cpu", torch.float32)
_log_partition.register_autocast("cuda", torch.float32)
_expectations.register_autocast("cpu", torch.float32)
_expectations.register_autocast("cuda", torch.float32)
_viterbi.register_autocast("cpu", torch.float32)
_viterbi.register_autocast("cuda", torch.float32)


# ---- the compiled loops


class _Dense(NamedTuple):
    """What the loops read, as they read it; holds the tensors while they do."""

    emissions: Tensor
    chain: Chain
    lengths: Tensor | None

    @classmethod
    def of(cls, emissions: Tensor, chain: Chain, lengths: Tensor | None) -> Self:
        chain = Chain(*(each.contiguous() for each in chain.double()))
        return cls(emissions.contiguous(), chain, None if lengths is None else lengths.to(torch.int64).contiguous())

    def numbers(self) -> tuple[int, ...]:
        lengths = 0 if self.lengths is None else self.lengths.data_ptr()
        sizes = self.emissions.dtype == torch.float64, lengths, *self.emissions.shape
        return self.emissions.data_ptr(), *sizes, *(each.data_ptr() for each in self.chain)


def _compiled_for(emissions: Tensor, chain: Chain, lengths: Tensor | None) -> ModuleType | None:
    """The compiled module, where it takes these."""
    on_cpu = all(each is None or each.device.type == "cpu" for each in (emissions, *chain, lengths))
    return native.compiled() if on_cpu and emissions.dtype in (torch.float32, torch.float64) else None
