"""A recurrent cell of one's own, outside the package: the update-gate RNN (Collins, Sohl-Dickstein & Sussillo 2017, arXiv 1611.09913).

    g = sigmoid(W_g x + U_g h + b_g), c = tanh(W_c x + U_c h + b_c), h' = g h + (1 - g) c

Three parts: the spec (what is stored and written), the step (the paper's equations: the definition), and the loop's step forward and back
(what runs fast). The laws then hold it to the whole contract: streaming, ragged lengths, both directions, gradients, storage, export.

Shapes: B rows, H units, G = 2 H, K saved values.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

import convrnn as cr
from convrnn.core.spec import register
from convrnn.kernels import loops, reference
from convrnn.layers.recurrent import Cell
from convrnn.testing.cases import BACKWARD
from convrnn.testing.laws import Case, check, law_names


@register("ugrnn")
class UGRNN(Cell):
    """The update-gate RNN: one gate chooses between the old state and the candidate."""

    gates: ClassVar[int] = 2

    def start_bias(self, bias_G: Tensor) -> None:
        """The gate begins open, as an LSTM's forget gate does."""
        bias_G[: self.features] = 1.0


def step(gates_BG: Tensor, state: Tensor, w_h: Tensor, b_h: Tensor | None) -> Tensor:
    """The equations; `gates_BG` is the input's part, bias included, `state` is `[1, B, H]`."""
    h = state[0]
    g, c = (gates_BG + F.linear(h, w_h)).chunk(2, dim=-1)
    return torch.lerp(torch.tanh(c), h, torch.sigmoid(g))[None]


class Loop(loops.Loop):
    """The same, written forward and backward by hand."""

    gates, saved = 2, 2

    def forward(
        self, gates_BG: Tensor, state: tuple[Tensor, ...], w: Tensor, b_h: Tensor | None, saved_BK: Tensor | None
    ) -> tuple[Tensor, ...]:
        """See `loops.Loop`."""
        (h,) = state
        g, c = torch.addmm(gates_BG, h, w).chunk(2, dim=1)
        g, c = torch.sigmoid(g), torch.tanh(c)
        if saved_BK is not None:
            torch.cat([g, c], 1, out=saved_BK)
        return (torch.lerp(c, h, g),)

    def backward(
        self,
        dstate: tuple[Tensor, ...],
        new_h: Tensor,
        old: tuple[Tensor, ...],
        saved_BK: Tensor,
        w_h: Tensor,
        dgates_BG: Tensor,
        dh_gates_BG: Tensor,
    ) -> tuple[Tensor, ...]:
        """See `loops.Loop`."""
        (dh,) = dstate
        g, c = saved_BK.chunk(2, dim=1)
        d_g, d_c = dgates_BG.chunk(2, dim=1)
        torch.mul(dh * (old[0] - c), g * (1 - g), out=d_g)
        torch.mul(dh * (1 - g), 1 - c * c, out=d_c)
        return (torch.addmm(dh * g, dgates_BG, w_h),)


reference.STEPS["ugrnn"] = step
loops.LOOPS["ugrnn"] = Loop()

cases = (
    Case("ugrnn", UGRNN(4, layers=2, dropout=0.3), 3),
    Case("ugrnn-bidirectional", UGRNN(4, bidirectional=True), 3, exempt=BACKWARD),
)
for case in cases:
    # The law of specs reads `repr` with the public names of the package, which this cell is not among.
    assert cr.Spec.from_json(case.spec.to_json()) == case.spec
    verdicts = [check(case, law, range(3)) for law in law_names() if law != "spec"]
    held = [verdict.law for verdict in verdicts if verdict.outcome == "pass"]
    broken = [f"{verdict.law}: {verdict.reason}" for verdict in verdicts if verdict.outcome == "FAIL"]
    print(f"{case.name}: {len(held)} laws hold, {len(verdicts) - len(held) - len(broken)} exempt, broken: {broken or 'none'}")

spec = cr.Spec.from_yaml("[{conv: 16}, {ugrnn: 16, layers: 2}, {linear: 3}]")
print(spec, "streams" if spec.build(8).streams else "needs whole rows")
