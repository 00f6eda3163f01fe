"""minGRU by a parallel scan in log space, as its paper computes it. Knows nothing of convrnn: it is what the scan here is measured against.

Heinsen 2023, "Efficient Parallelization of a Ubiquitous Sequential Computation" (arXiv 2311.06281): with positive a and b,
h_t = a_t h_{t-1} + b_t is h_t = exp(a*_t + logcumsumexp(log b - a*)_t), a*_t = log a_1 + ... + log a_t. Feng et al. 2024 (arXiv 2410.01201,
appendix B) compute minGRU so; their g(x) = x + 0.5 for x >= 0, else sigmoid(x), makes candidate and state positive.

Shapes: B rows, T frames, H units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def log_space_scan(log_a: Tensor, log_b: Tensor) -> Tensor:
    """h `[B, T, H]` of the logarithms of a `[B, T, H]` and of b `[B, 1 + T, H]`, whose first frame is the state before the first."""
    a_star = F.pad(torch.cumsum(log_a, dim=1), (0, 0, 1, 0))
    return torch.exp(a_star + torch.logcumsumexp(log_b - a_star, dim=1))[:, 1:]


def log_positive(x: Tensor) -> Tensor:
    """log g(x)."""
    return torch.where(x >= 0, (F.relu(x) + 0.5).log(), F.logsigmoid(x))


def minimal_gru(x: Tensor, weight: Tensor, bias: Tensor, state: Tensor) -> Tensor:
    """h `[B, T, H]` of minGRU with the candidate g; the same as `convrnn.MinGRU(H, candidate="g")`.

    Args:
        x: `[B, T, C]`.
        weight: `[2 H, C]`, of z and n.
        bias: `[2 H]`.
        state: `[B, H]`, above 0: its logarithm is taken.
    """
    z, n = F.linear(x, weight, bias).chunk(2, -1)
    log_b = torch.cat([state.log()[:, None], F.logsigmoid(z) + log_positive(n)], 1)
    return log_space_scan(F.logsigmoid(-z), log_b)
