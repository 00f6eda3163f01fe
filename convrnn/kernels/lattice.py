"""Sums and maxima over all paths of a lattice, as their papers write them: the definition of the linear-chain CRF and of the search for a
transcript under CTC. Slow, in plain torch and plain Python; `crf.py` and `ctc.py` run this where there is nothing faster. Knows no
operator, no layer and no task.

A linear-chain CRF (Lafferty, McCallum & Pereira 2001) gives each path of tags through a row the score

    start[y_0] + sum_t emissions[t, y_t] + sum_t transitions[y_{t-1}, y_t] + end[y_{T-1}]

and the probability exp(score - log Z), log Z being the logarithm of the sum of exp(score) over all paths. -inf forbids a tag or a
transition. Where no path is left log Z is -inf and all its derivatives are zero. A row of no frames has one path, of score 0.

Under CTC (Graves, Fernandez, Gomez & Schmidhuber 2006) a net gives each frame a distribution over K symbols, one of them the blank. A path
of symbols becomes a transcript by merging repeats, then dropping blanks; the probability of a transcript is the sum over its paths.

All is computed in float64, whatever comes in: in float32 log Z of a thousand frames has three digits left for the marginals.

Shapes: B rows, T frames, K tags or symbols, N paths, W hypotheses, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, inf, log1p
from typing import NamedTuple, Self

import torch
from torch import Tensor


class Chain(NamedTuple):
    """The part of a CRF that no frame changes. -inf forbids.

    Attributes:
        transitions: `[K, K]`, the score of going from tag i to tag j.
        start: `[K]`, of beginning with a tag.
        end: `[K]`, of ending with it.
    """

    transitions: Tensor
    start: Tensor
    end: Tensor

    def double(self) -> Self:
        return self._make(each.double() for each in self)


class Paths(NamedTuple):
    """The best paths of each row, best first.

    Attributes:
        tags: int64 `[B, N, T]`; -1 beyond the row's length, and everywhere in a path that does not exist.
        scores: `[B, N]`; -inf for a path that does not exist. A row of no frames has one, of score 0.
    """

    tags: Tensor
    scores: Tensor


def valid_frames(lengths: Tensor | None, like: Tensor) -> Tensor:
    """Bool `[B, T]` for `like` `[B, T, ...]`: True within the row."""
    batch, frames = like.shape[:2]
    place = torch.arange(frames, device=like.device)
    return torch.ones(batch, frames, dtype=torch.bool, device=like.device) if lengths is None else place < lengths[:, None]


def log_sum_exp(x: Tensor, dim: int) -> Tensor:
    """As `torch.logsumexp`, with zero for a gradient where all is -inf, at every order of derivative."""
    most = x.detach().amax(dim, keepdim=True)
    most = torch.where(most == -inf, 0.0, most)
    total = (x - most).exp().sum(dim)
    possible = total != 0
    return torch.where(possible, torch.where(possible, total, 1.0).log() + most.squeeze(dim), -inf)


# ---- the linear-chain CRF


def log_partition(emissions: Tensor, chain: Chain, lengths: Tensor | None) -> Tensor:
    """log Z `[B]` by the forward recursion: alpha_t[j] = e_t[j] + log sum_i exp(alpha_{t-1}[i] + transitions[i, j])."""
    valid_BT = valid_frames(lengths, emissions)
    e_BTK, chain64 = torch.where(valid_BT[..., None], emissions, 0.0).double(), chain.double()
    if not emissions.shape[1]:
        return emissions.sum((1, 2))  # of nothing, with a gradient
    *_, alpha_BK = _alphas(e_BTK, chain64, valid_BT)
    return torch.where(valid_BT[:, 0], log_sum_exp(alpha_BK + chain64.end, 1), 0.0).to(emissions.dtype)


def _alphas(e_BTK: Tensor, chain: Chain, valid_BT: Tensor) -> Iterator[Tensor]:
    """The forward variables `[B, K]` of every frame, standing still beyond a row's end."""
    alpha_BK = chain.start + e_BTK[:, 0]
    yield alpha_BK
    for t in range(1, e_BTK.shape[1]):
        new = log_sum_exp(alpha_BK[:, :, None] + chain.transitions, 1) + e_BTK[:, t]
        alpha_BK = torch.where(valid_BT[:, t, None], new, alpha_BK)
        yield alpha_BK


def _betas(e_BTK: Tensor, chain: Chain, valid_BT: Tensor) -> list[Tensor]:
    """The backward variables: beta_t[i] = log sum_j exp(transitions[i, j] + e_{t+1}[j] + beta_{t+1}[j]), from each row's last frame."""
    beta_BK = chain.end.expand(e_BTK.shape[0], -1)
    betas = [beta_BK]
    for t in reversed(range(1, e_BTK.shape[1])):
        new = log_sum_exp(chain.transitions + (e_BTK[:, t] + beta_BK)[:, None], 2)
        beta_BK = torch.where(valid_BT[:, t, None], new, beta_BK)
        betas.append(beta_BK)
    return betas[::-1]


def expectations(emissions: Tensor, chain: Chain, lengths: Tensor | None, weight: Tensor) -> tuple[Tensor, Chain]:
    """The derivatives of `(weight * log_partition).sum()`: how often, on average over all paths, a row does what a score is for.

    Args:
        emissions: `[B, T, K]`.
        chain: of K tags.
        lengths: int64 `[B]` or None.
        weight: `[B]`.

    Returns:
        weight times the probability of each tag at each frame `[B, T, K]`, zero beyond a row's length and where no path is allowed; and for
        each number of the chain the sum over rows of weight times the expected count.
    """
    valid_BT = valid_frames(lengths, emissions)
    e_BTK, chain64, weight_B = torch.where(valid_BT[..., None], emissions, 0.0).double(), chain.double(), weight.double()
    if not emissions.shape[1]:
        return torch.zeros_like(emissions), Chain(*(torch.zeros_like(each) for each in chain))
    alphas, betas = list(_alphas(e_BTK, chain64, valid_BT)), _betas(e_BTK, chain64, valid_BT)
    log_z_B = log_sum_exp(alphas[-1] + chain64.end, 1)
    possible_B = log_z_B != -inf
    log_z_B = torch.where(possible_B, log_z_B, 0.0)

    def weighed(scores: Tensor, counted_B: Tensor) -> Tensor:
        """exp(scores - log Z) times the weight, zero where it does not count; scores `[B, ...]`."""
        beside = (-1,) + (1,) * (scores.dim() - 1)
        probability = torch.where((counted_B & possible_B).reshape(beside), (scores - log_z_B.reshape(beside)).exp(), 0.0)
        return probability * weight_B.reshape(beside)

    tags = torch.stack([weighed(alpha + beta, valid_BT[:, t]) for t, (alpha, beta) in enumerate(zip(alphas, betas, strict=True))], 1)
    pairs = torch.zeros_like(chain64.transitions)
    for t in range(1, emissions.shape[1]):
        after = e_BTK[:, t] + betas[t]
        pairs = pairs + weighed(alphas[t - 1][:, :, None] + chain64.transitions + after[:, None], valid_BT[:, t]).sum(0)
    last_BT = valid_BT & ~torch.cat([valid_BT[:, 1:], torch.zeros_like(valid_BT[:, :1])], 1)
    ends = torch.where(last_BT[..., None], tags, 0.0).sum((0, 1))
    found = Chain(pairs, tags[:, 0].sum(0), ends)
    return tags.to(emissions.dtype), Chain(*(new.to(old.dtype) for new, old in zip(found, chain, strict=True)))


def score(emissions: Tensor, chain: Chain, tags: Tensor, lengths: Tensor | None) -> Tensor:
    """The score `[B]` of one path of tags a row, int64 `[B, T]`; tags beyond a row's length may be anything."""
    valid_BT = valid_frames(lengths, emissions)
    if not emissions.shape[1]:
        return emissions.sum((1, 2))
    chain64 = chain.double()
    tags = torch.where(valid_BT, tags, 0)
    at_tags = emissions.gather(2, tags[..., None]).squeeze(2).double()
    steps = chain64.transitions[tags[:, :-1], tags[:, 1:]]
    following_BT = torch.cat([valid_BT[:, 1:], torch.zeros_like(valid_BT[:, :1])], 1)
    ends = torch.where(valid_BT & ~following_BT, chain64.end[tags], 0.0)
    # Each sum chooses, never multiplies by 0: -inf beyond a row's end is nobody's.
    total = torch.where(valid_BT, at_tags, 0.0).sum(1) + torch.where(valid_BT[:, 1:], steps, 0.0).sum(1) + ends.sum(1)
    return (total + torch.where(valid_BT[:, 0], chain64.start[tags[:, 0]], 0.0)).to(emissions.dtype)


def viterbi(emissions: Tensor, chain: Chain, lengths: Tensor | None, count: int) -> Paths:
    """The `count` best paths: at each frame and tag the best ways there, each one of the ways to some tag of the frame before.

    Viterbi 1967; with more than one, the parallel list algorithm of Seshadri & Sundberg 1994. Of equal ones the path that came through the
    lower tag stands first.
    """
    batch, frames, num_tags = emissions.shape
    valid_BT, chain64 = valid_frames(lengths, emissions), chain.double()
    e_BTK = torch.where(valid_BT[..., None], emissions, 0.0).double()
    ways_BKN = torch.full((batch, num_tags, count), -inf, dtype=torch.float64, device=emissions.device)
    if not frames:
        scores = torch.cat([ways_BKN.new_zeros(batch, 1), ways_BKN[:, 0, 1:]], 1)
        return Paths(torch.empty(batch, count, 0, dtype=torch.int64, device=emissions.device), scores.to(emissions.dtype))
    ways_BKN[:, :, 0] = chain64.start + e_BTK[:, 0]
    back: list[Tensor] = []
    still_KN = torch.arange(num_tags * count, device=emissions.device).reshape(num_tags, count)
    for t in range(1, frames):
        into_BKKN = (ways_BKN[:, :, :, None] + chain64.transitions[:, None]).permute(0, 3, 1, 2)
        new, came_from = into_BKKN.flatten(2).sort(dim=2, descending=True, stable=True)
        valid = valid_BT[:, t, None, None]
        back.append(torch.where(valid, came_from[..., :count], still_KN))
        ways_BKN = torch.where(valid, new[..., :count] + e_BTK[:, t, :, None], ways_BKN)
    ended, place = (ways_BKN + chain64.end[:, None]).flatten(1).sort(dim=1, descending=True, stable=True)
    scores, place = ended[:, :count], place[:, :count]
    tags = [place // count]
    for came_from in reversed(back):
        place = came_from.flatten(1).gather(1, place)
        tags.append(place // count)
    exists = (scores > -inf) & valid_BT[:, :1]
    tags_BNT = torch.where(exists[..., None] & valid_BT[:, None], torch.stack(tags[::-1], 2), -1)
    empty = torch.cat([scores.new_zeros(batch, 1), scores.new_full((batch, count - 1), -inf)], 1)
    return Paths(tags_BNT, torch.where(valid_BT[:, :1], scores, empty).to(emissions.dtype))


# ---- the search under CTC


class Search(NamedTuple):
    """What a search under CTC looks for, and how widely.

    Attributes:
        beam: hypotheses kept from frame to frame.
        blank: the symbol that is no label.
        symbols: at each frame only so many labels, the most probable, may extend a hypothesis.
        threshold: and only those of at least this log probability.
        bonus: added to the score of a hypothesis for each label.
        bigram: float64 `[K, K]`, added for label j after label i; the blank's row serves the first label. None: nothing is added.
    """

    beam: int
    blank: int
    symbols: int
    threshold: float
    bonus: float
    bigram: Tensor | None


class Beam(NamedTuple):
    """The hypotheses of each row after the frames so far, the best first: all that a search needs to go on.

    Plain tensors, never changed: keeping one is a snapshot, going on from it again is a restoration. It grows with the longest hypothesis,
    until `ctc.settle` takes off what all of a row's have in common.

    Attributes:
        labels: int64 `[B, W, L]`, -1 beyond a hypothesis.
        lengths: int64 `[B, W]`, the labels of each.
        log_probs: float64 `[B, W, 2]`, the sum over its paths that end in blank, and over those that end in its last label; both -inf where
            there is no hypothesis.
        best: float64 `[B, W, 2]`, the most probable of those paths.
        frames: int64 `[B, W, 2, L]`, where in that path each label begins.
        extra: float64 `[B, W]`, what bonus and bigram have added.
        previous: int64 `[B]`, the label before all hypotheses, which `ctc.settle` took off last; -1: none.
        clock: int64 `[B]`, frames so far.
    """

    labels: Tensor
    lengths: Tensor
    log_probs: Tensor
    best: Tensor
    frames: Tensor
    extra: Tensor
    previous: Tensor
    clock: Tensor


def first_beam(batch: int) -> Beam:
    """Before any frame: one hypothesis of no labels."""
    certain = torch.tensor([0.0, -inf], dtype=torch.float64).expand(batch, 1, 2)
    none, zeros = torch.empty(batch, 1, 2, 0, dtype=torch.int64), torch.zeros(batch, 1, dtype=torch.int64)
    extra = torch.zeros(batch, 1, dtype=torch.float64)
    return Beam(none[:, :, 0], zeros, certain.clone(), certain.clone(), none, extra, zeros[:, 0] - 1, zeros[:, 0].clone())


class _Ending(NamedTuple):
    """The paths of a hypothesis that end in one way: the log of their sum, and the best of them."""

    log_prob: float
    best: float
    frames: tuple[int, ...]

    def then(self, log_prob: float, *frame: int) -> _Ending:
        """Each path longer by a symbol, which at `frame`, if given, begins a label."""
        return _Ending(self.log_prob + log_prob, self.best + log_prob, self.frames + frame)

    def or_else(self, other: _Ending) -> _Ending:
        """The paths of both."""
        low, high = sorted((self.log_prob, other.log_prob))
        total = high if low == -inf else high + log1p(exp(low - high))
        return _Ending(total, *(self if self.best >= other.best else other)[1:])


class _Hypothesis(NamedTuple):
    in_blank: _Ending
    in_label: _Ending
    extra: float

    @property
    def whole(self) -> _Ending:
        return self.in_blank.or_else(self.in_label)

    @property
    def score(self) -> float:
        return self.whole.log_prob + self.extra


_NEVER = _Ending(-inf, -inf, ())
_Hypotheses = dict[tuple[int, ...], _Hypothesis]


def search(log_probs: Tensor, lengths: Tensor | None, how: Search, beam: Beam) -> Beam:
    """The hypotheses after some more frames `[B, T, K]`: prefix beam search (Hannun, Maas, Jurafsky & Ng 2014, arXiv 1408.2873)."""
    counts = [log_probs.shape[1]] * log_probs.shape[0] if lengths is None else lengths.clamp(0, log_probs.shape[1]).tolist()
    rows: list[_Hypotheses] = []
    for b, count in enumerate(counts):
        live, previous, clock = _read(beam, b), int(beam.previous[b]), int(beam.clock[b])
        for t, frame in enumerate(log_probs[b, :count].double().tolist(), clock):
            live = _step(live, frame, t, previous, how)
        rows.append(live)
    return _write(rows, how.beam, beam.previous, beam.clock + torch.tensor(counts, dtype=torch.int64))


def _step(live: _Hypotheses, frame: list[float], t: int, previous: int, how: Search) -> _Hypotheses:
    """One frame: each hypothesis stays as it is, by a blank or by its last label again, or becomes longer by a label.

    A label that repeats the last one is a new one only after a blank.
    """
    grown: _Hypotheses = {}
    for path, now in live.items():
        last = path[-1] if path else previous
        again = now.in_label.then(frame[last]) if last >= 0 else _NEVER
        grown[path] = _Hypothesis(now.whole.then(frame[how.blank]), again, now.extra)
    for path, now in live.items():
        last = path[-1] if path else previous
        for label in _permitted(frame, how):
            entered = (now.in_blank if label == last else now.whole).then(frame[label], t)
            longer = grown.get((*path, label))
            if longer is None:
                pair = 0.0 if how.bigram is None else float(how.bigram[last if last >= 0 else how.blank, label])
                grown[*path, label] = _Hypothesis(_NEVER, entered, now.extra + (how.bonus + pair))
            else:
                grown[*path, label] = longer._replace(in_label=longer.in_label.or_else(entered))
    # Of equal ones the lower label stands first, and what ends before what goes on.
    best = sorted((each for each in grown.items() if each[1].score > -inf), key=lambda each: (-each[1].score, each[0]))
    return dict(best[: how.beam])


def _permitted(frame: list[float], how: Search) -> list[int]:
    labels = [k for k, log_prob in enumerate(frame) if k != how.blank and log_prob >= how.threshold]
    return sorted(labels, key=lambda k: (-frame[k], k))[: how.symbols]


def _read(beam: Beam, row: int) -> _Hypotheses:
    live: _Hypotheses = {}
    for w, length in enumerate(beam.lengths[row].tolist()):
        sums, best = beam.log_probs[row, w].tolist(), beam.best[row, w].tolist()
        if max(sums) > -inf:
            in_blank, in_label = (_Ending(sums[n], best[n], tuple(beam.frames[row, w, n, :length].tolist())) for n in range(2))
            live[tuple(beam.labels[row, w, :length].tolist())] = _Hypothesis(in_blank, in_label, float(beam.extra[row, w]))
    return live


def _write(rows: list[_Hypotheses], width: int, previous: Tensor, clock: Tensor) -> Beam:
    longest = max((len(path) for live in rows for path in live), default=0)
    shape = (len(rows), width)
    labels, frames = torch.full((*shape, longest), -1), torch.full((*shape, 2, longest), -1)
    lengths, extra = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.float64)
    log_probs, best = (torch.full((*shape, 2), -inf, dtype=torch.float64) for _ in range(2))
    for b, live in enumerate(rows):
        for w, (path, now) in enumerate(live.items()):
            labels[b, w, : len(path)] = torch.tensor(path, dtype=torch.int64)
            lengths[b, w], extra[b, w] = len(path), now.extra
            for n, ending in enumerate(now[:2]):
                log_probs[b, w, n], best[b, w, n] = ending.log_prob, ending.best
                frames[b, w, n, : len(ending.frames)] = torch.tensor(ending.frames, dtype=torch.int64)
    return Beam(labels, lengths, log_probs, best, frames, extra, previous.clone(), clock)
