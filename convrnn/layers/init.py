"""How weights begin. Glorot & Bengio 2010 (Xavier), He et al. 2015 (arXiv 1502.01852), Saxe et al. 2014 (orthogonal, arXiv 1312.6120)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

Init = Literal["xavier", "xavier_normal", "he", "he_normal", "lecun", "orthogonal", "normal", "uniform", "zeros"]
"""`xavier`, `he`: uniform; `lecun`: normal, variance 1 / fan in; `normal`: deviation 0.02; `uniform`: plus or minus 1 / sqrt(fan in)."""

Chrono = Annotated[
    int | None,
    Field(ge=3, description="frames over which a unit remembers at most when training begins; null: the usual bias of the gates"),
]


def chrono(units: int, longest: int) -> Tensor:
    """Where the bias of a gate that keeps the state begins, so that the units forget over 2 to `longest` frames: `[units]`.

    log u, u uniform in [1, longest - 1]: sigmoid of it keeps 1 - 1 / (1 + u) of the state a frame (Tallec & Ollivier 2018, arXiv
    1804.11188: chrono initialisation).
    """
    return (1 + (longest - 2) * torch.rand(units)).log()


@torch.no_grad()
def fill(weight: Tensor, how: Init, blocks: int = 1) -> None:
    """Fills `[blocks * out, in, ...]` in place, each of the stacked blocks (gates) as a matrix of its own."""
    for block in weight.chunk(blocks):
        fan_in = max(1, block[0].numel())
        match how:
            case "xavier":
                nn.init.xavier_uniform_(block)
            case "xavier_normal":
                nn.init.xavier_normal_(block)
            case "he":
                nn.init.kaiming_uniform_(block, nonlinearity="relu")
            case "he_normal":
                nn.init.kaiming_normal_(block, nonlinearity="relu")
            case "lecun":
                nn.init.normal_(block, std=fan_in**-0.5)
            case "orthogonal":
                nn.init.orthogonal_(block)
            case "normal":
                nn.init.normal_(block, std=0.02)
            case "uniform":
                nn.init.uniform_(block, -(fan_in**-0.5), fan_in**-0.5)
            case "zeros":
                nn.init.zeros_(block)
