"""Everything that obeys the contract of `base.py`. Importing the package enters every layer in the registry."""

from convrnn.layers import combine, conv, dropout, embed, framewise, norm, pool, recurrent

__all__ = ["combine", "conv", "dropout", "embed", "framewise", "norm", "pool", "recurrent"]
