"""Types of the compiled module (csrc/module.cpp); present only where a C++ compiler built it."""

from torch import Tensor

def keep_mask(seed: Tensor, clock: Tensor, threshold: int, scale: float, out: Tensor) -> None: ...
