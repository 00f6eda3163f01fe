"""Attention over a memory, one query at a time or all at once: what decoders and the layer of `attend.py` are made of. Knows no contract
and no decoder.

A memory is prepared once, then asked: e_m is the score of its frame m for a query q, a = softmax over the valid m of e, and the answer is
sum_m a_m m. A row without memory is answered with zeros, and weights of zero.

Legend: B rows, N queries, Q their width, M frames of the memory, C its width, K the width of the keys.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convrnn.core.errors import ShapeError, UsageError
from convrnn.core.language import tr
from convrnn.core.seq import Seq, frame_mask, tidy

ContentKind = Literal["additive", "dot", "scaled_dot", "general"]
"""Scores of what is in a frame, whatever its place."""


class Memory(NamedTuple):
    """Frames ready to be asked.

    Attributes:
        values_BMC: the frames, zero where there is none.
        keys_BMK: what queries are compared with.
        mask_BM: where there is a frame; None: everywhere.
    """

    values_BMC: Tensor
    keys_BMK: Tensor
    mask_BM: Tensor | None


class Answer(NamedTuple):
    """What one query found.

    Attributes:
        context_BC: the frames, averaged by the weights.
        weights_BM: how much of each frame; they add up to one, or to zero where a row has no memory.
        seen_BM: to be given to the next query: where the ones before it looked.
    """

    context_BC: Tensor
    weights_BM: Tensor
    seen_BM: Tensor


class Attention(nn.Module, ABC):
    """Base of attention over a memory. Subclasses give `keys` and `scores`, and `looked` if a score depends on where others looked.

    Example:
        >>> attention = content_attention("scaled_dot", 4, 4)
        >>> memory = attention.prepare(Seq(torch.zeros(2, 7, 4), torch.tensor([7, 0])))
        >>> context, weights, seen = attention(torch.zeros(2, 4), memory)
        >>> [round(float(total), 3) for total in weights.sum(1)]
        [1.0, 0.0]
    """

    @abstractmethod
    def keys(self, values_BMC: Tensor) -> Tensor:
        """What of the memory can be computed before any query: `[B, M, K]`."""

    @abstractmethod
    def scores(self, query_BNQ: Tensor, keys_BMK: Tensor) -> Tensor:
        """`[B, N, M]`."""

    def looked(self, memory: Memory, seen_BM: Tensor) -> Memory:
        """The memory as it looks after queries have seen some of it: by default the same."""
        return memory

    def after(self, seen_BM: Tensor, weights_BM: Tensor) -> Tensor:
        """What the next query is given: by default the last weights."""
        return weights_BM

    def prepare(self, memory: Seq) -> Memory:
        """A memory `[B, M, C]` for any number of queries; what lies beyond its lengths is not looked at."""
        values, lengths, _ = tidy(memory)
        return Memory(values, self.keys(values), None if lengths is None else frame_mask(values.shape[1], lengths))

    def forward(self, query_BQ: Tensor, memory: Memory, seen_BM: Tensor | None = None) -> Answer:
        """One query a row, as the step of a decoder asks; `seen_BM` is that of the step before, None at the first.

        Returns:
            context `[B, C]`, weights `[B, M]`, and what the next step is given.
        """
        seen = memory.values_BMC.new_zeros(memory.values_BMC.shape[:2]) if seen_BM is None else seen_BM
        context, weights = self.ask(query_BQ[:, None], self.looked(memory, seen))
        return Answer(context[:, 0], weights[:, 0], self.after(seen, weights[:, 0]))

    def ask(self, query_BNQ: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """N queries a row that know nothing of each other: contexts `[B, N, C]` and weights `[B, N, M]`."""
        scores = self.scores(query_BNQ, memory.keys_BMK)
        if memory.mask_BM is None:
            weights = scores.softmax(-1)
        else:
            mask = memory.mask_BM[:, None]
            # The least number, not minus infinity: a row without memory would be NaN, and a gradient of it too.
            lowest = torch.finfo(scores.dtype).min
            weights = torch.where(mask, scores.masked_fill(~mask, lowest).softmax(-1), scores.new_zeros(()))
        return weights @ memory.values_BMC, weights


class Additive(Attention):
    """e = v . tanh(W q + U m + b) (Bahdanau et al. 2015, arXiv 1409.0473).

    Args:
        query: width Q.
        memory: width C.
        size: width of the hidden layer, K.
    """

    def __init__(self, query: int, memory: int, size: int) -> None:
        super().__init__()
        self.query, self.memory = nn.Linear(query, size, bias=False), nn.Linear(memory, size)
        self.score = nn.Linear(size, 1, bias=False)

    def keys(self, values_BMC: Tensor) -> Tensor:
        """U m + b."""
        return self.memory(values_BMC)

    def scores(self, query_BNQ: Tensor, keys_BMK: Tensor) -> Tensor:
        """See the class."""
        return self.score(torch.tanh(self.query(query_BNQ)[:, :, None] + keys_BMK[:, None]))[..., 0]


class Dot(Attention):
    """e = q . m (Luong et al. 2015, arXiv 1508.04025), or q . m / sqrt(C) (Vaswani et al. 2017): no parameters, equal widths.

    Args:
        query: width Q.
        memory: width C.
        scaled: whether to divide by the root of the width, so that wide vectors do not saturate the softmax.

    Raises:
        ShapeError: unequal widths.
    """

    def __init__(self, query: int, memory: int, scaled: bool) -> None:
        if query != memory:
            raise ShapeError(
                "",
                tr("a query of {query} and a memory of {memory} channels have no dot product", query=query, memory=memory),
                tr("use kind='general'"),
            )
        super().__init__()
        self.scale = memory**-0.5 if scaled else 1.0

    def keys(self, values_BMC: Tensor) -> Tensor:
        """The memory itself."""
        return values_BMC

    def scores(self, query_BNQ: Tensor, keys_BMK: Tensor) -> Tensor:
        """See the class."""
        return (query_BNQ * self.scale) @ keys_BMK.transpose(1, 2)


class General(Attention):
    """e = q . W m (Luong et al. 2015, arXiv 1508.04025).

    Args:
        query: width Q.
        memory: width C.
    """

    def __init__(self, query: int, memory: int) -> None:
        super().__init__()
        self.memory = nn.Linear(memory, query, bias=False)

    def keys(self, values_BMC: Tensor) -> Tensor:
        """W m."""
        return self.memory(values_BMC)

    def scores(self, query_BNQ: Tensor, keys_BMK: Tensor) -> Tensor:
        """See the class."""
        return query_BNQ @ keys_BMK.transpose(1, 2)


class Location(Attention):
    """e = v . tanh(W q + U m + V f + b), f = F * a with a the weights of the query before, 0 at the first: where it looked, convolved over
    the memory (Chorowski et al. 2015, arXiv 1506.07503). So a decoder can tell equal frames apart and go on where it was.

    Args:
        query: width Q.
        memory: width C.
        size: width of the hidden layer, K.
        filters: channels of f.
        kernel: frames of the memory that one entry of f sees; odd.
        cumulative: a is the sum of all weights so far, not the last (Shen et al. 2018, arXiv 1712.05884): what was read stays read.

    Raises:
        UsageError: an even kernel.

    Example:
        >>> attention = Location(4, 6, 8, filters=2, kernel=5)
        >>> memory, seen = attention.prepare(Seq(torch.zeros(1, 9, 6))), None
        >>> for query in torch.zeros(3, 1, 4):
        ...     context, weights, seen = attention(query, memory, seen)
        >>> context.shape, weights.shape
        (torch.Size([1, 6]), torch.Size([1, 9]))
    """

    def __init__(self, query: int, memory: int, size: int, filters: int = 10, kernel: int = 31, cumulative: bool = False) -> None:
        if kernel % 2 == 0:
            raise UsageError("location.kernel", tr("expected an odd number, got {got}", got=kernel), tr("use {kernel}", kernel=kernel + 1))
        super().__init__()
        self.content = Additive(query, memory, size)
        self.filters = nn.Parameter(torch.empty(filters, 1, kernel))
        self.place = nn.Linear(filters, size, bias=False)
        self.cumulative = cumulative
        nn.init.xavier_uniform_(self.filters)

    def keys(self, values_BMC: Tensor) -> Tensor:
        """U m + b."""
        return self.content.keys(values_BMC)

    def scores(self, query_BNQ: Tensor, keys_BMK: Tensor) -> Tensor:
        """See the class; the keys hold V f already."""
        return self.content.scores(query_BNQ, keys_BMK)

    def looked(self, memory: Memory, seen_BM: Tensor) -> Memory:
        """V f is added to the keys."""
        half = self.filters.shape[-1] // 2
        # One frame too many, cut off again: a convolution over no frames at all is none.
        found = F.conv1d(F.pad(seen_BM[:, None], (half, half + 1)), self.filters)[..., : seen_BM.shape[1]]
        return memory._replace(keys_BMK=memory.keys_BMK + self.place(found.transpose(1, 2)))

    def after(self, seen_BM: Tensor, weights_BM: Tensor) -> Tensor:
        """The last weights, or the sum of all."""
        return seen_BM + weights_BM if self.cumulative else weights_BM


def content_attention(kind: ContentKind, query: int, memory: int, size: int | None = None) -> Attention:
    """Attention by what is in the frames, for queries and a memory of these widths.

    Args:
        kind: `additive`, `dot`, `scaled_dot` or `general`.
        query: width Q.
        memory: width C.
        size: width of the hidden layer of `additive`; None: C.
    """
    match kind:
        case "additive":
            return Additive(query, memory, memory if size is None else size)
        case "general":
            return General(query, memory)
        case _:
            return Dot(query, memory, kind == "scaled_dot")
