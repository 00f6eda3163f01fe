"""A live session over a layer: chunk in, frames out, the state in between; how long it waits and what it costs is said beforehand.

Knows no layer in particular.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from math import ceil, prod
from threading import Lock
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convrnn.core.errors import ShapeError, StateEnded
from convrnn.core.language import tr
from convrnn.core.seq import Ids, Seq, State, row_lengths
from convrnn.kernels import dispatch, session
from convrnn.layers.base import Last, Layer

_sessions: WeakKeyDictionary[nn.Module, session.Session] = WeakKeyDictionary()
"""Of the layers that are streamed: a server's streams share what is kept of the weights."""
_switched: dict[nn.Module, int] = {}
"""Modules in training that somebody infers with just now, in evaluation mode until then, and how many do."""
_switching = Lock()


class Snapshot(NamedTuple):
    """Where a stream stands: nothing mutates a state, so this copies nothing.

    Attributes:
        state: of every row; None: nothing has been pushed.
        ended: bool `[B]`.
    """

    state: State
    ended: Tensor


class Cost(NamedTuple):
    """What a row of a stream costs.

    Attributes:
        state_bytes: memory that a row keeps between chunks, however long it becomes.
        parameters: numbers that the model has learned, shared by all rows.
        multiply_adds: of matrix products and convolutions, for one frame in; what goes on beside them is of a lower order. Less where all
            rows hold as many frames: then no window is computed before it is complete.
    """

    state_bytes: int
    parameters: int
    multiply_adds: int


class Stream:
    """Feeds a layer chunk by chunk; row by row the answers concatenate to the offline answer.

    The layer runs in inference and evaluation mode, whatever its own: in training, batch norm would learn from each chunk. Its weights may
    change between pushes, but for writes through `.data`, which torch does not count, and parts put in place of others.

    Attributes:
        ended: bool `[B]`, rows that have ended.
        lookahead: frames after its own time that an answer waits for; None: it waits for the end of the row.
        first_answer: frames in before the first one out; None: it comes when the row ends.
        ratio: frames out for one in.

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> stream = Conv(4, kernel=3, stride=2).build(2).stream()
        >>> stream.lookahead, stream.first_answer, stream.chunk_wait, stream.cost()
        (1, 2, 2, Cost(state_bytes=24, parameters=28, multiply_adds=12))
        >>> out = stream.push(torch.zeros(1, 5, 2))
        >>> int(out.lengths), int(stream.finish().lengths)
        (2, 1)
    """

    def __init__(self, layer: Layer, batch: int) -> None:
        layer.require_streams()
        self.layer, self.batch = layer, batch
        self._inferring, self._inside = Inferring(layer.modules()), session.Inside(_sessions.setdefault(layer, session.Session()))
        self.state: State = None
        self.nothing = _chunk(layer, batch, 0)
        self.ended = torch.zeros(batch, dtype=torch.bool)
        self.ratio: Fraction = layer.ratio
        self.lookahead: int | None = layer.lookahead
        # Whether the frames out may be others than those in: then their number is said, also where all rows happen to have as many.
        self._counts = layer.ratio != 1 or layer.lookahead != 0
        last = layer.reads(0)[1] if layer.ratio else None
        self.first_answer: int | None = None if last is None else max(last + 1, 1)

    @cached_property
    def chunk_wait(self) -> int | None:
        """Frames of the smallest chunk that always brings a frame out, once the first is out; None: they come when a row ends.

        More than `1 / ratio` where frames come in groups, as behind up-sampling: so it is read off `ready`, over two periods of strides.
        """
        if self.first_answer is None:
            return None
        period = prod(layer.ratio.denominator for _, layer in self.layer.walk())
        out = self.layer.ready(torch.arange(self.first_answer - 1, self.first_answer + 2 * period))
        (news,) = out.diff().nonzero(as_tuple=True)
        return int(news.diff().max())

    def __repr__(self) -> str:
        waits = "the end of a row" if self.lookahead is None else _counted(self.lookahead, "later frame")
        return f"<Stream of {self.layer.name}: {_counted(self.batch, 'row')}, {int(self.ended.sum())} ended; waits for {waits}>"

    def push(self, values: Tensor, lengths: Tensor | None = None, last: Last = False) -> Seq:
        """Frames that can be answered now.

        Args:
            values: `[B, t, *space, C]` or ids `[B, t]`.
            lengths: int64 `[B]`, new frames of each row, 0: it pauses; None: t each.
            last: whether rows end with these frames; bool or bool `[B]`.

        Raises:
            ShapeError: another batch size, or lengths outside 0..t.
            StateEnded: frames for a row that has ended.
        """
        if values.shape[0] != self.batch:
            raise ShapeError(
                "stream",
                tr("expected {wanted} row(s), got {got}", wanted=self.batch, got=values.shape[0]),
                tr("open it with stream(batch=n)"),
            )
        # Full chunks of rows that all go on, as a live stream sends them, need no look at the numbers.
        if lengths is not None or True in self.ended.tolist():
            self._refuse_unfit(values.shape[1], lengths)
        with self._inferring, self._inside:
            seq, self.state = self.layer(Seq(values, lengths), self.state, last)
        if values.dtype != self.nothing.dtype or values.device != self.nothing.device:
            self.nothing = values.new_zeros(self.nothing.shape)
        if seq.lengths is None and self._counts:
            seq = Seq(seq.values, row_lengths(seq), seq.clean)
        if last is not False:
            self.ended = self.ended | (last.cpu() if isinstance(last, Tensor) else torch.full_like(self.ended, last))
        return seq

    def finish(self) -> Seq:
        """Ends every row and gives what was held back; rows that had ended give nothing more."""
        return self.push(self.nothing, None, True)

    def peek(self) -> Seq:
        """What `finish()` would give now; the stream goes on as if it had not been asked."""
        with self._inferring:
            return self.layer(Seq(self.nothing), self.state, True).seq

    def snapshot(self) -> Snapshot:
        """Where the stream stands, to be given to `restore`."""
        return Snapshot(self.state, self.ended)

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to where `snapshot` was taken."""
        self.state, self.ended = snapshot

    def leave(self, row: int) -> Snapshot:
        """Takes a row out, with all that is held back for it, to be continued by `join`, here or in another stream of the same layer.

        Its place has ended then; the other rows notice nothing.

        Raises:
            ShapeError: there is no such row.
        """
        self._require(row)
        gone = Snapshot(map_state(lambda leaf: leaf[row : row + 1].clone(), self._begun()), self.ended[row : row + 1].clone())
        self.push(self.nothing, None, torch.arange(self.batch, device=self.nothing.device) == row)
        return gone

    def join(self, row: int, where: Snapshot | None = None) -> None:
        """Begins a row anew in this place, whatever stood there, or continues the one that left at `where`.

        A server keeps a stream of as many rows as it serves at once; who comes takes a place that has ended, and the others notice nothing.

        Raises:
            ShapeError: there is no such row, `where` is not of one row, or not of this layer.
        """
        self._require(row)
        if where is not None and where.ended.shape != (1,):
            raise ShapeError(
                "stream", tr("expected where one row stood, got {got} rows", got=len(where.ended)), tr("take it with leave(row)")
            )
        new, old = self._initial(1) if where is None or where.state is None else where.state, self._begun()
        if [leaf.shape[1:] for leaf in _leaves(new)] != [leaf.shape[1:] for leaf in _leaves(old)]:
            raise ShapeError("stream", tr("this row left a stream of another layer"), tr("join it to a stream of that one"))
        chosen = torch.arange(self.batch) == row
        self.state = merge_states(chosen, new, old)
        self.ended = torch.where(chosen, torch.zeros_like(chosen) if where is None else where.ended, self.ended)

    def cost(self, chunk: int | None = None) -> Cost:
        """Memory and work for a row.

        Args:
            chunk: frames that come at once; None: `chunk_wait`, or one. Long chunks share what windows have in common.
        """
        frames = chunk or self.chunk_wait or 1
        before = self._initial(1)
        # The reference computes recurrences with the products that are counted; a fast kernel would be one node of unknown cost. And with
        # lengths all windows of a chunk are computed; without, none where none is complete, which is not so for the chunk after it.
        with self._inferring, dispatch.use("reference"), FlopCounterMode(display=False) as counter:
            state = self.layer(Seq(_chunk(self.layer, 1, frames), torch.tensor([frames])), before, False).state
        return Cost(
            sum(leaf.numel() * leaf.element_size() for leaf in _leaves(state)),
            sum(parameter.numel() for parameter in self.layer.parameters()),
            ceil(counter.get_total_flops() / 2 / frames),
        )

    def describe(self) -> str:
        """Lookahead, wait and cost, in a paragraph."""
        state_bytes, parameters, work = self.cost()
        return (
            f"{self.layer.name}, {_counted(self.batch, 'row')}. {self._wait()} {_counted(parameters, 'parameter')}; "
            f"{_counted(work, 'multiply-add')} for a frame in; {_counted(state_bytes, 'byte')} of state a row."
        )

    def _wait(self) -> str:
        if self.lookahead is None or self.chunk_wait is None:
            return "It answers when a row ends; peek() gives the answer so far."
        rate = f"{self.ratio.numerator} for every {self.ratio.denominator} in"
        return (
            f"The first frame comes out after {self.first_answer} in, then {rate}, each once {_counted(self.lookahead, 'later frame')} "
            f"came; chunks of {_counted(self.chunk_wait, 'frame')} or more always bring one."
        )

    def _begun(self) -> State:
        """The state, spelled out where nothing has been pushed."""
        return self._initial(self.batch) if self.state is None else self.state

    def _initial(self, batch: int) -> State:
        """The state before the first frame: that after an empty chunk, in every layer's own dtype."""
        with self._inferring:
            return self.layer(Seq(self.nothing.new_zeros(batch, *self.nothing.shape[1:])), None, False).state

    def _refuse_unfit(self, frames: int, lengths: Tensor | None) -> None:
        """Raises `ShapeError` for lengths outside 0..frames and `StateEnded` for frames of a row that has ended."""
        counts = torch.full((self.batch,), frames) if lengths is None else lengths.cpu()
        if counts.shape != (self.batch,) or bool((counts < 0).any()) or bool((counts > frames).any()):
            raise ShapeError(
                "stream",
                tr("expected {wanted} length(s) in 0..{frames}, got {got}", wanted=self.batch, frames=frames, got=counts.tolist()),
            )
        late = self.ended & (counts > 0)
        if bool(late.any()):
            row = int(late.nonzero()[0, 0])
            remedy = tr("begin another in its place with join({row})", row=row)
            raise StateEnded(
                "stream", tr("row {row} has ended and was given {count} more frame(s)", row=row, count=int(counts[row])), remedy
            )

    def _require(self, row: int) -> None:
        if not 0 <= row < self.batch:
            raise ShapeError(
                "stream", tr("expected a row in 0..{batch}, got {got}", batch=self.batch - 1, got=row), tr("open it with stream(batch=n)")
            )


def map_state(function: Callable[[Tensor], Tensor], state: State) -> State:
    """A state of the same structure, every tensor through the function."""
    if state is None:
        return None
    return tuple(function(part) if isinstance(part, Tensor) else map_state(function, part) for part in state)


def merge_states(rows_B: Tensor, state: State, others: State) -> State:
    """Row by row the one state or the other: `state`, of all rows or of one, where the bool `[B]` is True."""
    assert state is not None and others is not None
    return tuple(
        torch.where(rows_B.to(b.device).reshape(-1, *(1,) * (b.dim() - 1)), a, b) if isinstance(b, Tensor) else merge_states(rows_B, a, b)
        for a, b in zip(state, others, strict=True)
    )


def detach(state: State) -> State:
    """The same state, out of the graph: truncated back-propagation carries it from batch to batch (Williams & Peng 1990).

    Example:
        >>> from convrnn.layers.recurrent import GRU
        >>> net, state = GRU(2).build(3), None
        >>> for chunk in torch.zeros(4, 1, 5, 3):
        ...     y, state = net(Seq(chunk), detach(state), False)
        ...     y.values.sum().backward()
    """
    return map_state(Tensor.detach, state)


def _leaves(state: State) -> Iterator[Tensor]:
    for part in state or ():
        yield from (part,) if isinstance(part, Tensor) else _leaves(part)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _chunk(layer: Layer, batch: int, frames: int) -> Tensor:
    """Zeros, in the dtype of the parameters until the first push shows its own."""
    shape = layer.in_shape
    like = next(layer.parameters(), torch.empty(0))
    if isinstance(shape, Ids):
        return torch.zeros(batch, frames, dtype=torch.int64, device=like.device)
    return torch.zeros(batch, frames, *shape, dtype=like.dtype, device=like.device)


class Inferring:
    """Inference mode, and evaluation mode for those of the modules that are in training when it begins; entered once at a time.

    A stream keeps one: to walk the modules at each push would take longer than one frame of a small net. Many threads may be inside with
    modules in common: the mode is the module's and not the thread's, so the last that leaves a module puts it back into training.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.modules = list(modules)
        self.training: list[nn.Module] = []
        self.mode = torch.inference_mode()

    def __enter__(self) -> None:
        with _switching:
            self.training = [module for module in self.modules if module.training or (_switched and module in _switched)]
            for module in self.training:
                module.training = False
                _switched[module] = _switched.get(module, 0) + 1
        self.mode.__enter__()

    def __exit__(self, *raised: object) -> None:
        self.mode.__exit__(*raised)
        if not self.training:
            return
        with _switching:
            for module in self.training:
                _switched[module] -= 1
                if not _switched[module]:
                    del _switched[module]
                    module.training = True
