"""A recurrent cell of one's own, outside the package: the update-gate RNN (Collins, Sohl-Dickstein & Sussillo 2017, arXiv 1611.09913).

    g = sigmoid(W_g x + U_g h + b_g), c = tanh(W_c x + U_c h + b_c), h' = g h + (1 - g) c

One class, whose equations are written once. The laws then hold it to the whole contract: streaming, ragged lengths, both directions,
gradients, storage, export.
"""

from typing import ClassVar

import torch
from torch import Tensor

import convrnn as cr
from convrnn.core.spec import register
from convrnn.kernels.reference import Equations, Values, Weights, product
from convrnn.layers.recurrent import MatrixCell
from convrnn.testing.cases import BACKWARD
from convrnn.testing.laws import Case, check, law_names


def update_gate(gates: Tensor, state: Values, seen: Tensor, w: Weights) -> Values:
    """One step; `gates` is the input's part `[B, 2 H]`, bias included, `seen` is h as the recurrent product sees it."""
    g, c = (gates + product(seen, w.w_h)).chunk(2, dim=-1)
    g, c = torch.sigmoid(g), torch.tanh(c)
    return {"g": g, "c": c, "h": torch.lerp(c, state["h"], g)}


@register("ugrnn")
class UGRNN(MatrixCell):
    """The update-gate RNN: one gate chooses between the old state and the candidate."""

    equations: ClassVar[Equations] = Equations(update_gate, gates=("g", "c"))

    def start_bias(self, bias_G: Tensor) -> None:
        """The gate begins open, as an LSTM's forget gate does."""
        bias_G[: self.features] = 1.0


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
