"""Which of the parameters of a net are matrices and kernels. Knows no layer, nor what is done with them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList


def matrices(net: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """The matrices and kernels inside, each by the path of its module, the module and the name: parameters of two dimensions or more.

    But for what a module calls its `vectors`: those weigh entry by entry, whatever their shape. Nor are those any that a parametrization
    makes a weight of.
    """
    for path, module in net.named_modules():
        if isinstance(module, ParametrizationList):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() > 1 and name not in getattr(module, "vectors", ()):
                yield path, module, name
