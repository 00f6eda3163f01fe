"""The recurrences as their papers write them: one step a cell, a loop over time. Differentiable any number of times; slow; the definition.

A step names every value that its paper names: the state is picked out of them, `trace` shows them all. The recurrent product is a matrix
product, element-wise, or a convolution over space, by the dimensions of `w_h`: an IndRNN and a ConvLSTM are the same equations with
another product.

Shapes: B rows, T frames, *space 0 to 2 dimensions, H units, P = H or the width of the projection, G = gates x H, K = P + H or H.
A state is flat, `[B, *space, K]`: h, or h and c side by side. Gate order is that of torch and cuDNN: `i f g o` (LSTM), `r z n` (GRU).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

P = ParamSpec("P")
R = TypeVar("R")


def in_float32(reference: Callable[P, R]) -> Callable[P, R]:
    """A reference that runs under autocast as the operators do: in float32, since gates saturate in half precision."""

    @wraps(reference)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(each.device.type for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor))
        if not torch.is_autocast_enabled(device):
            return reference(*args, **kwargs)
        args, kwargs = tree_map_only(Tensor, wide, (args, kwargs))
        with torch.autocast(device, enabled=False):
            return reference(*args, **kwargs)

    return run


def wide(value: Tensor) -> Tensor:
    """In float32 at least."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


class Weights(NamedTuple):
    """What a step multiplies the state with.

    Attributes:
        w_h: `[G, P]`; `[G]`: element-wise; `[G, P, *kernel]`: a convolution over space.
        b_h: `[H]`, the bias inside the reset of `gru`.
        peep: `[gates that see c, *space or nothing, H]`, peepholes.
        proj: `[P, H]`, h = proj (o tanh(c)).
    """

    w_h: Tensor
    b_h: Tensor | None = None
    peep: Tensor | None = None
    proj: Tensor | None = None


Values = dict[str, Tensor]
"""The values of one step by the paper's symbols, each `[B, *space, H]`."""

Step = Callable[[Tensor, Values, Tensor, Weights], Values]
"""`(gates, state, seen, weights) -> values`. `gates`: the input's part `[B, *space, G]`, bias included; `seen`: h as the products see it,
which is not the h of `state` where dropout is on the recurrent connections."""


class Equations(NamedTuple):
    """A cell.

    Attributes:
        step: its equations.
        gates: the symbols of its gates in the order of their rows in the weights.
        states: which of the values are its state, the output first.
    """

    step: Step
    gates: tuple[str, ...]
    states: tuple[str, ...] = ("h",)


def product(h: Tensor, w: Tensor) -> Tensor:
    """`[B, *space, P]` to `[B, *space, G]`: matrix, element-wise or, over space with `same` padding, convolution."""
    if w.dim() == 1:
        return h * w
    if w.dim() == 2:
        return F.linear(h, w)
    before = [(k - 1) // 2 for k in w.shape[2:]]
    if any(k % 2 == 0 for k in w.shape[2:]):
        # An even window reads one position more behind than before.
        h = F.pad(h, (0, 0, *(n for k in reversed(w.shape[2:]) for n in (0, 1 - k % 2))))
    convolve = F.conv1d if w.dim() == 3 else F.conv2d
    return convolve(h.movedim(-1, 1), w, padding=before).movedim(1, -1)


def rnn_tanh(gates: Tensor, state: Values, seen: Tensor, w: Weights) -> Values:
    """h = tanh(W_x x + W_h h + b) (Elman 1990)."""
    return {"h": torch.tanh(gates + product(seen, w.w_h))}


def rnn_relu(gates: Tensor, state: Values, seen: Tensor, w: Weights) -> Values:
    """h = relu(W_x x + W_h h + b) (Le, Jaitly & Hinton 2015, arXiv 1504.00941)."""
    return {"h": torch.relu(gates + product(seen, w.w_h))}


def lstm(gates: Tensor, state: Values, seen: Tensor, w: Weights) -> Values:
    """c = f c + i g, h = o tanh(c) (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    With peepholes i and f also see the old c, o the new one (Gers, Schraudolph & Schmidhuber 2002). With a projection h = proj (o tanh(c))
    (Sak, Senior & Beaufays 2014, arXiv 1402.1128).
    """
    c = state["c"]
    i, f, g, o = (gates + product(seen, w.w_h)).chunk(4, dim=-1)
    if w.peep is not None:
        i, f = i + w.peep[0] * c, f + w.peep[1] * c
    i, f, g = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g)
    c = f * c + i * g
    o = torch.sigmoid(o if w.peep is None else o + w.peep[2] * c)
    return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": _projected(o * torch.tanh(c), w.proj)}


def lstm_coupled(gates: Tensor, state: Values, seen: Tensor, w: Weights) -> Values:
    """The LSTM with i = 1 - f: what is forgotten makes room for what is new (Greff et al. 2017, arXiv 1503.04069: CIFG)."""
    c = state["c"]
    f, g, o = (gates + product(seen, w.w_h)).chunk(3, dim=-1)
    f = torch.sigmoid(f if w.peep is None else f + w.peep[0] * c)
    i, g = 1 - f, torch.tanh(g)
    c = f * c + i * g
    o = torch.sigmoid(o if w.peep is None else o + w.peep[1] * c)
    return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": _projected(o * torch.tanh(c), w.proj)}


def _projected(h: Tensor, proj: Tensor | None) -> Tensor:
    return h if proj is None else F.linear(h, proj)


def gru(gates: Tensor, state: Values, seen: Tensor, w: Weights) -> Values:
    """n = tanh(x_n + r (W_n h + b_n)), h = (1 - z) n + z h: the reset after the product (Cho et al. 2014, arXiv 1406.1078v1; cuDNN)."""
    x_r, x_z, x_n = gates.chunk(3, dim=-1)
    h_r, h_z, h_n = product(seen, w.w_h).chunk(3, dim=-1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * (h_n if w.b_h is None else h_n + w.b_h))
    return {"r": r, "z": z, "n": n, "h": torch.lerp(n, state["h"], z)}


def gru_before(gates: Tensor, state: Values, seen: Tensor, w: Weights) -> Values:
    """n = tanh(x_n + W_n (r h)), h = (1 - z) n + z h: the reset before the product (Cho et al. 2014, arXiv 1406.1078v3)."""
    units = state["h"].shape[-1]
    w_rz, w_n = w.w_h.split([2 * units, units])
    x_rz, x_n = gates.split([2 * units, units], dim=-1)
    r, z = torch.sigmoid(x_rz + product(seen, w_rz)).chunk(2, dim=-1)
    n = torch.tanh(x_n + product(r * seen, w_n))
    return {"r": r, "z": z, "n": n, "h": torch.lerp(n, state["h"], z)}


def ligru(gates: Tensor, state: Values, seen: Tensor, w: Weights) -> Values:
    """n = relu(x_n + W_n h), h = (1 - z) n + z h: no reset (Ravanelli et al. 2018, arXiv 1803.10225)."""
    z, n = (gates + product(seen, w.w_h)).chunk(2, dim=-1)
    z, n = torch.sigmoid(z), torch.relu(n)
    return {"z": z, "n": n, "h": torch.lerp(n, state["h"], z)}


CELLS: dict[str, Equations] = {
    "rnn_tanh": Equations(rnn_tanh, ("h",)),
    "rnn_relu": Equations(rnn_relu, ("h",)),
    "lstm": Equations(lstm, ("i", "f", "g", "o"), ("h", "c")),
    "lstm_coupled": Equations(lstm_coupled, ("f", "g", "o"), ("h", "c")),
    "gru": Equations(gru, ("r", "z", "n")),
    "gru_before": Equations(gru_before, ("r", "z", "n")),
    "ligru": Equations(ligru, ("z", "n")),
}


def advance(
    cell: Equations, gates: Tensor, state: Tensor, weights: Weights, drop: Tensor | None, zone: Tensor | None
) -> tuple[Values, Tensor]:
    """One step with the flat state before and after it; `zone` is the share of the old state that stays (Krueger et al. 2017)."""
    width = state.shape[-1]
    if len(cell.states) == 1:
        named = {cell.states[0]: state}
    else:
        units = gates.shape[-1] // len(cell.gates)
        named = dict(zip(cell.states, state.split([width - units, units], dim=-1), strict=True))
    h = named[cell.states[0]]
    values = cell.step(gates, named, h if drop is None else h * drop, weights)
    new = values[cell.states[0]] if len(cell.states) == 1 else torch.cat([values[name] for name in cell.states], -1)
    return values, new if zone is None else torch.lerp(new, state, zone)


class Recurrence(NamedTuple):
    """A recurrence over whole rows, all that goes into it.

    Attributes:
        cell: a name in `CELLS`.
        x: `[B, T, *space, C]`, or the input's part of the gates `[B, T, *space, G]` ready-made when `w_x` is None.
        lengths: int64 `[B]`; None: all rows are full.
        w_x: `[G, C]`; `[G, C, *kernel]`: a convolution over space; or None.
        w_h: see `Weights`.
        b: `[G]` or None.
        state: `[B, *space, K]`.
        b_h: see `Weights`.
        peep: see `Weights`.
        proj: see `Weights`.
        drop: `[B, *space, P]`, what h is multiplied with where the recurrent products see it, or None.
        zone: `[B or 1, T or 1, (*space,) K]`, the share of the old state that stays, or None.
        reverse: from each row's last valid frame to its first.
    """

    cell: str
    x: Tensor
    lengths: Tensor | None
    w_x: Tensor | None
    w_h: Tensor
    b: Tensor | None
    state: Tensor
    b_h: Tensor | None = None
    peep: Tensor | None = None
    proj: Tensor | None = None
    drop: Tensor | None = None
    zone: Tensor | None = None
    reverse: bool = False

    @property
    def equations(self) -> Equations:
        """Of the cell."""
        return CELLS[self.cell]

    @property
    def weights(self) -> Weights:
        """What the state is multiplied with."""
        return Weights(self.w_h, self.b_h, self.peep, self.proj)

    @property
    def width(self) -> int:
        """P: channels of h."""
        if len(self.equations.states) == 1:
            return self.state.shape[-1]
        gates = self.x.shape[-1] if self.w_x is None else self.w_x.shape[0]
        return self.state.shape[-1] - gates // len(self.equations.gates)

    def input_part(self) -> Tensor:
        """The input's part of the gates, bias included, of all frames at once: `[B, T, *space, G]`."""
        if self.w_x is not None and self.w_x.dim() == 2:
            return F.linear(self.x, self.w_x, self.b)
        if self.w_x is not None:
            gates = product(self.x.flatten(0, 1), self.w_x)
            gates = gates.reshape(*self.x.shape[:2], *gates.shape[1:])
            return gates if self.b is None else gates + self.b
        return self.x if self.b is None else self.x + self.b

    def zone_at(self, t: int) -> Tensor | None:
        """The share that stays at frame t; a zone of one frame is that of all."""
        return None if self.zone is None else self.zone[:, t if self.zone.shape[1] > 1 else 0]


class Moment(NamedTuple):
    """A frame of the loop: the step's values, the state of every row after it, and which rows have this frame (None: all)."""

    values: Values
    state: Tensor
    valid: Tensor | None

    def shown(self, value: Tensor) -> Tensor:
        """Zero for rows that do not have this frame."""
        return value if self.valid is None else torch.where(self.valid, value, value.new_zeros(()))


def moments(r: Recurrence) -> Iterator[Moment]:
    """The loop over time, in the order of the recurrence; rows that have ended keep their state."""
    gates, state, valid = r.input_part(), r.state, None
    for t in reversed(range(gates.shape[1])) if r.reverse else range(gates.shape[1]):
        values, new = advance(r.equations, gates[:, t], state, r.weights, r.drop, r.zone_at(t))
        if r.lengths is not None:
            valid = (t < r.lengths).reshape((-1,) + (1,) * (state.dim() - 1))
        state = new if valid is None else torch.where(valid, new, state)
        yield Moment(values, state, valid)


@in_float32
def recur(r: Recurrence) -> tuple[Tensor, Tensor]:
    """Every frame's h `[B, T, *space, P]`, zero beyond `lengths`, and the state after each row's last valid frame `[B, *space, K]`."""
    outputs: list[Tensor] = []
    final = r.state
    for moment in moments(r):
        final = moment.state
        outputs.append(moment.shown(final[..., : r.width]))
    if not outputs:
        return r.state.new_zeros(r.state.shape[0], 0, *r.state.shape[1:-1], r.width), final
    return torch.stack(outputs[::-1] if r.reverse else outputs, 1), final


@in_float32
def trace(r: Recurrence) -> tuple[Values, Tensor]:
    """As `recur`, with every value that the step names in place of h alone, `[B, T, *space, H]` each; states as zoneout leaves them."""
    if not r.x.shape[1]:
        # One frame of no row shows which values there are.
        spare, none = r.x.new_zeros(r.x.shape[0], 1, *r.x.shape[2:]), torch.zeros(r.x.shape[0], dtype=torch.int64, device=r.x.device)
        values, _ = trace(r._replace(x=spare, lengths=none, zone=None))
        return {name: value[:, :0] for name, value in values.items()}, r.state
    seen: dict[str, list[Tensor]] = {}
    final = r.state
    for moment in moments(r):
        final = moment.state
        widths = [moment.values[name].shape[-1] for name in r.equations.states]
        states = dict(zip(r.equations.states, final.split(widths, dim=-1), strict=True))
        for name, value in {**moment.values, **states}.items():
            seen.setdefault(name, []).append(moment.shown(value))
    return {name: torch.stack(frames[::-1] if r.reverse else frames, 1) for name, frames in seen.items()}, final
