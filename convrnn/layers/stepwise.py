"""Recurrences that go step by step, for their gates see the state: what is theirs whatever the input's part of the gates is made by.

Knows no equation (`kernels/reference.py`), no loop (`kernels/dispatch.py`), no stacking (`stacked.py`). Here are the state, the recurrent
weights, and the masks on both, which are a function of seed, row and frame: chunks drop and keep what the whole row would have.
"""

from __future__ import annotations

from abc import abstractmethod
from math import prod
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from convrnn.core.seq import Seq, Shape, row_lengths, tidy
from convrnn.core.spec import fields_for_subclasses
from convrnn.kernels import dispatch, reference
from convrnn.kernels.native import keep_mask
from convrnn.layers.base import Last
from convrnn.layers.dropout import Rate
from convrnn.layers.seeds import fresh_seeds, shared_seeds
from convrnn.layers.stacked import Beside, Direction, Named, Stacked


@fields_for_subclasses
class Stepwise(Stacked):
    """Base of recurrences whose gates see the state.

    Attributes:
        recurrent_dropout: rate on h where the recurrent products see it, one mask for all frames of a row (Gal & Ghahramani 2016,
            arXiv 1512.05287).
        weight_dropout: rate on the recurrent weights, one mask for all rows and frames (DropConnect; Merity et al. 2018, arXiv 1708.02182).
        zoneout: how often a unit of h keeps its old value in training; in evaluation that share of it stays (Krueger et al. 2017, arXiv
            1606.01305).
        checkpoint: frames between the states that training keeps; what lies between is computed again for the gradient (Chen et al. 2016,
            arXiv 1604.06174). For rows of ten thousand frames: memory for this many in place of all, a third more time. None: keep all.
    """

    recurrent_dropout: Rate = 0.0
    weight_dropout: Rate = 0.0
    zoneout: Rate = 0.0
    checkpoint: Annotated[int, Field(gt=0)] | None = None

    equations: ClassVar[reference.Equations | None] = None
    """Those of a cell from outside the package, under its registered name; the package's are in `kernels.reference.CELLS`."""

    @property
    def kernel_name(self) -> str:
        """The name of the equations in `kernels.reference.CELLS`."""
        return self.name

    @property
    def cell(self) -> reference.Equations:
        """The equations; those from outside the package are entered when they are first asked for."""
        if self.equations is not None:
            reference.CELLS.setdefault(self.kernel_name, self.equations)
        return reference.CELLS[self.kernel_name]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Of the gates, in the order of their rows in the weights."""
        return self.cell.gates

    @property
    def inner_bias(self) -> bool:
        """Whether the recurrent product has a bias of its own that no other can replace."""
        return False

    def shares(self) -> tuple[float, ...]:
        """How much of each state stays, by zoneout."""
        return (self.zoneout,) * len(self.cell.states)

    @abstractmethod
    def recurrent_weight(self, dimensions: int) -> Tensor:
        """w_h as it begins, see `kernels.reference.Weights`; `dimensions` of space."""

    def start_bias(self, bias_G: Tensor) -> None:
        """Fills the bias of the gates in place; zero by default."""

    def extras(self, space: Shape) -> dict[str, Tensor]:
        """Further weights as they begin: `peep`, `proj`."""
        return {}


class InputPart(NamedTuple):
    """What the input brings to the gates: x with its weights, or where `w_x` is None the gates' part ready-made; see `Recurrence`."""

    x: Tensor
    w_x: Tensor | None
    b: Tensor | None


class StepDirection(Direction):
    """One layer in one direction; subclasses have the weights of the input, drawn first, and then call `add_state`.

    The state is `(h,)` or `(h, c)`, each `[B, *space, width]`, and in training the seeds behind the masks.
    """

    alone = True
    vectors: ClassVar[tuple[str, ...]] = ("peep",)
    """See `Layer.vectors`."""

    def __init__(self, spec: Stepwise, space: Shape, reverse: bool) -> None:
        super().__init__()
        self.spec, self.space, self.reverse = spec, space, reverse
        self.widths = [spec.width, *([spec.features] * (len(spec.cell.states) - 1))]
        self.shares = spec.shares()

    def add_state(self) -> None:
        """The weights that the state is multiplied with, and what it begins with."""
        spec, extras = self.spec, self.spec.extras(self.space)
        self.w_h = nn.Parameter(spec.recurrent_weight(len(self.space)))
        self.b_h = nn.Parameter(torch.zeros(spec.features)) if spec.inner_bias else None
        self.peep = nn.Parameter(extras["peep"]) if "peep" in extras else None
        self.proj = nn.Parameter(extras["proj"]) if "proj" in extras else None
        self.first = nn.ParameterList(torch.zeros(n) for n in self.widths) if spec.learn_state else None

    @abstractmethod
    def input_part(self, x: Seq) -> InputPart:
        """Of all frames at once; `x` is zero beyond the lengths."""

    def starting_bias(self) -> nn.Parameter:
        """The bias of the gates as it begins, `[G]`."""
        bias = torch.zeros(len(self.spec.symbols) * self.spec.features)
        self.spec.start_bias(bias)
        return nn.Parameter(bias)

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """Zeros, or what was learned."""
        if self.first is None:
            starts = [like.new_zeros((batch, *self.space, n)) for n in self.widths]
        else:
            starts = [first.to(like.dtype).repeat(batch, *self.space, 1) for first in self.first]
        return *starts, *(self._seeds(batch, like) if self._noisy else ())

    def state_names(self) -> tuple[Any, ...]:
        """See `Direction.state_names`."""
        return self.spec.cell.states

    def forward(self, x: Seq, state: tuple[Any, ...], last: Last) -> tuple[Named, tuple[Any, ...]]:
        """See `Direction.forward`; values other than h by the reference only."""
        if dispatch.chosen() == "reference":
            r, seeds = self._begun(tidy(x), state)
            named, final = reference.trace(r)
        else:
            r, seeds = self._begun(x, state)
            y, final = dispatch.recur(r, self.spec.checkpoint, x.clean)
            named = {"h": y}
        return named, self._after(x, final, seeds)

    def recurrence(self, x: Seq, state: tuple[Any, ...]) -> reference.Recurrence | None:
        """See `Direction.recurrence`; what training draws for each call is more."""
        return self._begun(x, state)[0] if self.masks and not self._noisy else None

    def beside(self, back: Direction, x: Seq, states: tuple[tuple[Any, ...], ...]) -> Beside | None:
        """See `Direction.beside`; the reference, which names all values, goes one direction behind the other."""
        if dispatch.chosen() == "reference" or not isinstance(back, StepDirection):
            return None
        (r, seeds), (r_back, seeds_back) = self._begun(x, states[0]), back._begun(x, states[1])
        y, final, final_back = dispatch.recur_both(r, r_back, self.spec.checkpoint, x.clean)
        return y, self._after(x, final, seeds), back._after(x, final_back, seeds_back)

    def _begun(self, x: Seq, state: tuple[Any, ...]) -> tuple[reference.Recurrence, tuple[Tensor, ...]]:
        """What is to be run from this state, and the seeds of its masks."""
        states, seeds = state[: len(self.widths)], state[len(self.widths) :]
        # A state may come from the other mode: evaluation draws no mask, training always does.
        seeds = (seeds or self._seeds(x.values.shape[0], x.values)) if self._noisy else ()
        return self._recurrence(x, states[0] if len(states) == 1 else torch.cat(states, -1), seeds), seeds

    def _after(self, x: Seq, final: Tensor, seeds: tuple[Tensor, ...]) -> tuple[Any, ...]:
        """The state after these frames."""
        clocks = (seeds[0], seeds[1] + row_lengths(x), seeds[2]) if seeds else ()
        return *((final,) if len(self.widths) == 1 else final.split_with_sizes(self.widths, -1)), *clocks

    @property
    def _noisy(self) -> bool:
        """Whether masks are drawn."""
        return self.training and any((self.spec.recurrent_dropout, self.spec.weight_dropout, *self.shares))

    def _seeds(self, batch: int, like: Tensor) -> tuple[Tensor, ...]:
        """`(seed, clock, seed of the weights' mask)`, int64 `[B]` each."""
        seed = fresh_seeds(batch, like.device)
        return seed, torch.zeros_like(seed), shared_seeds(batch, like.device)

    def _recurrence(self, x: Seq, state: Tensor, seeds: tuple[Tensor, ...]) -> reference.Recurrence:
        """What is to be run."""
        spec, part = self.spec, self.input_part(x)
        w_h, drop = self.w_h, None
        if seeds and spec.recurrent_dropout:
            drop = self._mask(seeds[0] + 1, torch.zeros_like(seeds[0]), 1, spec.width, 1 - spec.recurrent_dropout, state.dtype)[:, 0]
        if seeds and spec.weight_dropout:
            w_h = w_h * self._weight_mask(seeds[2])
        zone = self._zone(x, seeds)
        return reference.Recurrence(
            spec.kernel_name, part.x, x.lengths, part.w_x, w_h, part.b, state, self.b_h, self.peep, self.proj, drop, zone, self.reverse
        )

    def _zone(self, x: Seq, seeds: tuple[Tensor, ...]) -> Tensor | None:
        """The share of the old state that stays: all or nothing of each unit and frame in training, its mean in evaluation."""
        if not any(self.shares):
            return None
        if not seeds:
            parts = [x.values.new_full((n,), share) for n, share in zip(self.widths, self.shares, strict=True)]
            return torch.cat(parts).reshape(1, 1, *(1 for _ in self.space), -1)
        seed, clock, _ = seeds
        kept = [
            self._mask(seed + 2 + i, clock, x.values.shape[1], n, 1 - share, x.values.dtype)
            for i, (n, share) in enumerate(zip(self.widths, self.shares, strict=True))
        ]
        return (torch.cat(kept, -1) == 0).to(x.values.dtype)

    def _mask(self, seed: Tensor, clock: Tensor, frames: int, width: int, keep: float, dtype: torch.dtype) -> Tensor:
        """`[B, frames, *space, width]`."""
        mask = keep_mask(seed, clock, frames, prod(self.space) * width, keep, dtype)
        return mask.reshape(*mask.shape[:2], *self.space, width)

    def _weight_mask(self, shared: Tensor) -> Tensor:
        """One mask for all rows, who were all given the same seed; for none, any."""
        seed = torch.cat([shared, shared.new_zeros(1)])[:1]
        rows = self.w_h.reshape(self.w_h.shape[0], -1)
        mask = keep_mask(seed, torch.zeros_like(seed), rows.shape[0], rows.shape[1], 1 - self.spec.weight_dropout, rows.dtype)
        return mask.reshape(self.w_h.shape)
