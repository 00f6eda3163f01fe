"""Training: settings -> a fitted net, with history and checkpoints. Knows no layer, no file of data and no command.

Only `settings` is light; `convrnn.training.loop` needs torch, so import it by its own name.
"""

from convrnn.training.settings import Settings

__all__ = ["Settings"]
