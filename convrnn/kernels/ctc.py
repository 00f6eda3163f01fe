"""From a net's distributions over symbols to transcripts, under CTC (Graves, Fernandez, Gomez & Schmidhuber 2006): the most probable path,
and the search for the most probable transcripts. Knows no layer and no task. The loss is torch's, `torch.nn.functional.ctc_loss`.

`greedy` takes the best symbol of each frame, merges repeats and drops blanks. `beam_search` keeps the `beam` most probable transcripts from
frame to frame, each with the sum over all its paths (prefix beam search: Hannun, Maas, Jurafsky & Ng 2014, arXiv 1408.2873; Graves 2012,
"Sequence transduction with recurrent neural networks", arXiv 1211.3711); a beam that nothing falls out of makes it exact. Compiled
(`csrc/ctc.cpp`), rows in parallel, or the definition in `lattice.py`; on the CPU in either case: what is there from frame to frame is a
list, not a tensor.

Both go on from a state, so a stream is decoded as it comes: any split into chunks gives the same bits. Neither has a gradient.

Shapes: B rows, T frames, K symbols, W hypotheses, N transcripts, L labels.
"""

from __future__ import annotations

from math import inf
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from convrnn.core.errors import ShapeError, UsageError
from convrnn.core.language import tr
from convrnn.kernels import dispatch, lattice, native
from convrnn.kernels.lattice import Beam, Search, valid_frames


class GreedyState(NamedTuple):
    """Where a stream of `greedy` stands.

    Attributes:
        symbol: int64 `[B]`, of the last frame; -1: there was none.
        clock: int64 `[B]`, frames so far.
    """

    symbol: Tensor
    clock: Tensor


class Greedy(NamedTuple):
    """The labels that begin in these frames.

    Attributes:
        labels: int64 `[B, T]`, left-justified, -1 beyond them.
        lengths: int64 `[B]`, how many.
        frames: int64 `[B, T]`, where each begins, counted from the first frame of the stream; -1 beyond.
        label_scores: `[B, T]`, the log probability of each label there; 0 beyond.
        scores: `[B]`, the log probability of the path through these frames.
        state: to go on from.
    """

    labels: Tensor
    lengths: Tensor
    frames: Tensor
    label_scores: Tensor
    scores: Tensor
    state: GreedyState


class Transcripts(NamedTuple):
    """The best transcripts of each row, best first.

    Attributes:
        labels: int64 `[B, N, L]`, -1 beyond a transcript.
        lengths: int64 `[B, N]`, labels of each.
        frames: int64 `[B, N, L]`, where each label begins in the most probable path that the search has kept; -1 beyond.
        log_probs: float64 `[B, N]`, of the transcript, summed over its paths; -inf where there is none.
        scores: float64 `[B, N]`, the same with what bonus and bigram have added: the order of the list.
    """

    labels: Tensor
    lengths: Tensor
    frames: Tensor
    log_probs: Tensor
    scores: Tensor


class Settled(NamedTuple):
    """Labels that no later frame can change.

    Attributes:
        labels: int64 `[B, L]`, -1 beyond them.
        lengths: int64 `[B]`, how many.
        frames: int64 `[B, L]`, where each begins, as the best hypothesis has it; -1 beyond.
    """

    labels: Tensor
    lengths: Tensor
    frames: Tensor


def greedy(log_probs: Tensor, lengths: Tensor | None = None, blank: int = 0, state: GreedyState | None = None) -> Greedy:
    """The labels of the most probable path: repeats merged, then blanks dropped. On any device, and in traced code.

    Args:
        log_probs: `[B, T, K]`; of equal symbols the lowest is taken.
        lengths: int64 `[B]` or None: all rows are full.
        blank: the symbol that is no label.
        state: of the chunk before; None: these are the first frames.

    Raises:
        ShapeError: what does not fit together.
        UsageError: `blank` is no symbol.

    Example:
        >>> symbols = torch.tensor([[1, 1, 0, 1, 2, 2]])  # a a - a b b
        >>> found = greedy(torch.nn.functional.one_hot(symbols, 3).float().log())
        >>> found.labels[0].tolist(), found.frames[0].tolist()
        ([1, 1, 2, -1, -1, -1], [0, 3, 4, -1, -1, -1])
    """
    _check(log_probs, lengths, blank)
    batch, frames, _ = log_probs.shape
    if state is None:
        zeros = torch.zeros(batch, dtype=torch.int64, device=log_probs.device)
        state = GreedyState(zeros - 1, zeros)
    valid_BT = valid_frames(lengths, log_probs)
    best_BT, symbol_BT = log_probs.max(2)
    before_BT = torch.cat([state.symbol[:, None], symbol_BT], 1)[:, :frames]
    begins_BT = valid_BT & (symbol_BT != blank) & (symbol_BT != before_BT)
    # What does not begin goes one place behind all others, which is cut off.
    place_BT = torch.where(begins_BT, begins_BT.cumsum(1) - 1, frames)

    def left(values_BT: Tensor, fill: int) -> Tensor:
        made = values_BT.new_full((batch, frames + 1), fill)
        return made.scatter(1, place_BT, values_BT)[:, :frames].clone()

    counts_B = valid_BT.sum(1)
    frame_BT = state.clock[:, None] + torch.arange(frames, device=log_probs.device)
    last_B = torch.cat([state.symbol[:, None], symbol_BT], 1).gather(1, counts_B[:, None]).squeeze(1)
    return Greedy(
        left(symbol_BT, -1),
        begins_BT.sum(1),
        left(frame_BT, -1),
        left(best_BT, 0),
        torch.where(valid_BT, best_BT, 0.0).sum(1),
        GreedyState(last_B, state.clock + counts_B),
    )


def beam_search(
    log_probs: Tensor,
    lengths: Tensor | None = None,
    state: Beam | None = None,
    *,
    beam: int = 16,
    blank: int = 0,
    symbols: int | None = None,
    threshold: float = -inf,
    bonus: float = 0.0,
    bigram: Tensor | None = None,
) -> Beam:
    """The `beam` most probable transcripts after some more frames; `transcripts` reads them.

    A hypothesis stands for all its paths, with the sum of their probabilities. They are ordered by the logarithm of this sum plus what
    `bonus` and `bigram` add for its labels; of equal ones the lower labels stand first. -inf forbids a symbol at a frame; where nothing is
    left, and behind a NaN, a row has no hypothesis any more.

    Args:
        log_probs: `[B, T, K]`, float32 or float64; what stands beyond a row's length is not read.
        lengths: int64 `[B]` or None: all rows are full. In a stream the new frames of each row, 0: it pauses.
        state: of the chunk before; None: these are the first frames.
        beam: W, hypotheses kept.
        blank: the symbol that is no label.
        symbols: at each frame only so many labels, the most probable, may extend a hypothesis; None: all. Blanks and repeats always may.
        threshold: and only labels of at least this log probability.
        bonus: added for each label; a positive one makes up for what a bigram costs long transcripts.
        bigram: `[K, K]`, the log probability (times a weight, if you like) of label j after label i; the blank's row holds that of the
            first label, its column is not read. None: nothing is added.

    Raises:
        ShapeError: what does not fit together.
        UsageError: `beam` or `symbols` below 1, or a `blank` that is no symbol.

    Example:
        >>> net = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]])  # blank, a: the best path is blank twice, the best transcript is "a"
        >>> best = transcripts(beam_search(net.log()))
        >>> best.labels[0, 0].tolist(), round(float(best.scores[0, 0].exp()), 2)
        ([1], 0.64)
    """
    _check(log_probs, lengths, blank)
    num_symbols = log_probs.shape[2]
    for name, each in (("beam", beam), ("symbols", symbols)):
        if each is not None and each < 1:
            raise UsageError("ctc", tr("expected {wanted} of 1 or more, got {got!r}", wanted=name, got=each))
    if bigram is not None and bigram.shape != (num_symbols, num_symbols):
        raise ShapeError("ctc", tr("expected a bigram {wanted}, got {got}", wanted=[num_symbols, num_symbols], got=list(bigram.shape)))
    state = lattice.first_beam(log_probs.shape[0]) if state is None else state
    _check_state(state, log_probs)
    limit = num_symbols if symbols is None else min(symbols, num_symbols)
    how = Search(beam, blank, limit, threshold, bonus, None if bigram is None else bigram.detach().cpu().double().contiguous())
    log_probs = log_probs.detach().cpu()
    lengths = None if lengths is None else lengths.cpu().to(torch.int64).contiguous()
    module = None if dispatch.chosen() == "reference" else native.compiled()
    if module is None:
        return lattice.search(log_probs, lengths, how, state)
    return _compiled_search(module, log_probs, lengths, how, state)


def transcripts(state: Beam, top: int = 1) -> Transcripts:
    """The `top` best transcripts so far, fewer if the beam has fewer; of the labels that `settle` has not taken off.

    Raises:
        UsageError: `top` is below 1.
    """
    if top < 1:
        raise UsageError("ctc", tr("expected a top of 1 or more, got {got!r}", got=top))
    log_probs = torch.logaddexp(*state.log_probs[:, :top].unbind(2))
    lengths = state.lengths[:, :top]
    longest = int(lengths.max()) if lengths.numel() else 0
    return Transcripts(
        state.labels[:, :top, :longest].clone(),
        lengths.clone(),
        _begins(state, top)[..., :longest].clone(),
        log_probs,
        torch.where(log_probs > -inf, log_probs + state.extra[:, :top], -inf),
    )


def settle(state: Beam, keep: int | None = None) -> tuple[Settled, Beam]:
    """Takes off the labels with which all hypotheses of a row begin: no later frame can change them.

    So a stream gives its words as soon as they are certain. What is left goes on to the same transcripts, bit for bit, without the labels
    taken. A doubt that later frames say nothing about (one spelling as good as another) may stay for ever, and all labels behind it: with
    `keep` it is decided for the best hypothesis, and the state has a largest size.

    Args:
        state: of `beam_search`.
        keep: at most so many labels of the best hypothesis stay open; hypotheses that differ from it in earlier ones are given up. None:
            none is given up.

    Raises:
        UsageError: `keep` is negative.
    """
    if keep is not None:
        if keep < 0:
            raise UsageError("ctc", tr("expected a keep of 0 or more, got {got!r}", got=keep))
        state = _agreeing(state, keep)
    live_BW = state.log_probs.amax(2) > -inf
    # A row without hypotheses settles nothing: there is none to read it off.
    shortest_B = torch.where(live_BW, state.lengths, state.labels.shape[2]).amin(1) * live_BW.any(1)
    same_BL = ((state.labels == state.labels[:, :1]) | ~live_BW[..., None]).all(1)
    within_BL = torch.arange(state.labels.shape[2]) < shortest_B[:, None]
    counts_B = (same_BL & within_BL).long().cumprod(1).sum(1)
    taken_BL = torch.arange(state.labels.shape[2]) < counts_B[:, None]
    longest = int(counts_B.max()) if counts_B.numel() else 0
    labels, begins = (torch.where(taken_BL, each[:, 0], -1)[:, :longest] for each in (state.labels, _begins(state, 1)))
    previous = torch.cat([state.previous[:, None], state.labels[:, 0]], 1).gather(1, counts_B[:, None]).squeeze(1)
    lengths = torch.where(live_BW, state.lengths - counts_B[:, None], 0)
    left = int(lengths.max()) if lengths.numel() else 0
    rest = state._replace(
        labels=_without(state.labels, counts_B[:, None], left),
        lengths=lengths,
        frames=_without(state.frames, counts_B[:, None, None], left),
        previous=previous,
    )
    return Settled(labels, counts_B, begins), rest


def _agreeing(state: Beam, keep: int) -> Beam:
    """Without the hypotheses that differ from the best one before its last `keep` labels."""
    early_BL = torch.arange(state.labels.shape[2]) < (state.lengths[:, :1] - keep)
    agrees_BW = ((state.labels == state.labels[:, :1]) | ~early_BL[:, None]).all(2)
    order_BW = (~agrees_BW).long().argsort(dim=1, stable=True)
    agrees_BW = agrees_BW.gather(1, order_BW)

    def chosen(values: Tensor, none: float) -> Tensor:
        beside = (*agrees_BW.shape, *(1,) * (values.dim() - 2))
        return torch.where(agrees_BW.reshape(beside), values.take_along_dim(order_BW.reshape(beside), 1), none)

    return state._replace(
        labels=chosen(state.labels, -1),
        lengths=chosen(state.lengths, 0),
        log_probs=chosen(state.log_probs, -inf),
        best=chosen(state.best, -inf),
        frames=chosen(state.frames, -1),
        extra=chosen(state.extra, 0.0),
    )


def _without(values: Tensor, counts: Tensor, left: int) -> Tensor:
    """`[..., L]` less its first `counts` `[..., 1]` entries: `left` of them at most are more than padding."""
    place = torch.arange(left) + counts[..., None]
    there = place < values.shape[-1]
    found = values.gather(-1, torch.where(there, place, 0).expand(*values.shape[:-1], left))
    return torch.where(there, found, -1)


def _begins(state: Beam, top: int) -> Tensor:
    """int64 `[B, N, L]`: where each label begins in the best path of each hypothesis, whichever way it ends."""
    in_label = state.best[:, :top, 1] > state.best[:, :top, 0]
    return torch.where(in_label[..., None], state.frames[:, :top, 1], state.frames[:, :top, 0])


def _check(log_probs: Tensor, lengths: Tensor | None, blank: int) -> None:
    if log_probs.dim() != 3 or not log_probs.shape[2] or not log_probs.is_floating_point():
        raise ShapeError(
            "ctc",
            tr("expected floating log_probs [B, T, K] with K > 0, got {dtype} {shape}", dtype=log_probs.dtype, shape=list(log_probs.shape)),
        )
    if lengths is not None and lengths.shape != log_probs.shape[:1]:
        raise ShapeError("ctc", tr("expected {wanted} length(s), got {got}", wanted=log_probs.shape[0], got=list(lengths.shape)))
    if not 0 <= blank < log_probs.shape[2]:
        raise UsageError("ctc", tr("expected a blank in 0..{last}, got {got!r}", last=log_probs.shape[2] - 1, got=blank))


def _check_state(state: Beam, log_probs: Tensor) -> None:
    """The compiled search believes what it reads."""
    batch, width, longest = state.labels.shape
    num_symbols = log_probs.shape[2]
    if batch != log_probs.shape[0]:
        raise ShapeError("ctc", tr("expected the state of {wanted} row(s), got one of {got}", wanted=log_probs.shape[0], got=batch))
    sizes = ((batch, width), (batch, width, 2), (batch, width, 2), (batch, width, 2, longest), (batch, width), (batch,), (batch,))
    fits = all(each.shape == size for each, size in zip(state[1:], sizes, strict=True))
    if (
        not fits
        or not torch.equal(state.labels >= 0, torch.arange(longest) < state.lengths[..., None])
        or bool((state.lengths > longest).any())
    ):
        raise ShapeError("ctc", tr("expected a state that beam_search or settle gave back, got one with other sizes"))
    if bool((state.labels >= num_symbols).any()) or bool((state.previous >= num_symbols).any()):
        raise ShapeError("ctc", tr("expected a state of {num_symbols} symbols, got one with higher labels", num_symbols=num_symbols))


def _compiled_search(module: ModuleType, log_probs: Tensor, lengths: Tensor | None, how: Search, state: Beam) -> Beam:
    """As `lattice.search`; addresses go over, and the tensors behind them are held here."""
    dense = (log_probs if log_probs.dtype == torch.float64 else log_probs.float()).contiguous()
    given = Beam(*(each.contiguous() for each in state))
    batch, width, longest = given.labels.shape
    found = module.ctc_search(
        dense.data_ptr(),
        dense.dtype == torch.float64,
        0 if lengths is None else lengths.data_ptr(),
        *dense.shape,
        *(each.data_ptr() for each in given),
        width,
        longest,
        *how[:-1],
        0 if how.bigram is None else how.bigram.data_ptr(),
        torch.get_num_threads(),
    )
    real, longest = torch.float64, found.longest()
    now = state._replace(
        labels=torch.empty(batch, how.beam, longest, dtype=torch.int64),
        lengths=torch.empty(batch, how.beam, dtype=torch.int64),
        log_probs=torch.empty(batch, how.beam, 2, dtype=real),
        best=torch.empty(batch, how.beam, 2, dtype=real),
        frames=torch.empty(batch, how.beam, 2, longest, dtype=torch.int64),
        extra=torch.empty(batch, how.beam, dtype=real),
        previous=state.previous.clone(),
        clock=state.clock + (dense.shape[1] if lengths is None else lengths.clamp(0, dense.shape[1])),
    )
    found.write(*(each.data_ptr() for each in now[:6]))
    return now
