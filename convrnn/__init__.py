"""convrnn: every model that joins convolution and recurrence, batch-invariant, streamable, exportable, fast.

Names load on first use (PEP 562), so that `import convrnn` loads no torch; `__init__.pyi` is the typed twin.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "convrnn.api.compare": ("Study", "compare", "compare_articles", "resume_study"),
    "convrnn.api.estimators": ("Classifier", "Regressor"),
    "convrnn.api.looking": ("picture",),
    "convrnn.api.runs": ("Run", "evaluate", "predict", "resume", "train"),
    "convrnn.core.errors": (
        "ConvrnnError",
        "DataError",
        "InputError",
        "JobError",
        "NotStreamable",
        "ShapeError",
        "SpecError",
        "StateEnded",
        "UsageError",
    ),
    "convrnn.core.language": ("speaking",),
    "convrnn.core.seq": ("Ids", "Seq"),
    "convrnn.deploy.model": ("Model", "load"),
    "convrnn.layers.attend": ("Attend",),
    "convrnn.layers.base": ("Layer", "Out", "Spec"),
    "convrnn.layers.blocks": ("DenseBlock", "FiLM", "Highway", "Repeat"),
    "convrnn.layers.both_ways": ("BothWays",),
    "convrnn.layers.combine": ("Parallel", "Residual", "Serial"),
    "convrnn.layers.conv": ("Conv",),
    "convrnn.layers.convrecurrent": ("ConvGRU", "ConvLSTM", "ConvRNN"),
    "convrnn.layers.dropout": ("Dropout",),
    "convrnn.layers.embed": ("Embedding",),
    "convrnn.layers.framewise": ("Activation", "Flatten", "Fold", "Linear"),
    "convrnn.layers.gated": ("GLU", "Channels"),
    "convrnn.layers.log_mel": ("LogMel",),
    "convrnn.layers.norm": ("BatchNorm", "LayerNorm", "RMSNorm"),
    "convrnn.layers.norm_whole": ("CumulativeNorm", "GroupNorm", "InstanceNorm"),
    "convrnn.layers.pool": ("Pool",),
    "convrnn.layers.pool_cumulative": ("CumulativePool",),
    "convrnn.layers.pool_whole": ("GlobalPool",),
    "convrnn.layers.recurrent": ("GRU", "LSTM", "RNN", "IndRNN", "LiGRU"),
    "convrnn.layers.scan": ("QRNN", "SRU", "MinGRU", "MinLSTM"),
    "convrnn.layers.squeeze": ("SqueezeExcite",),
    "convrnn.layers.stream": ("Stream",),
    "convrnn.layers.trace": ("Trace",),
    "convrnn.layers.transposed": ("ConvTranspose", "Upsample"),
    "convrnn.layers.weight_norm": ("WeightNorm",),
    "convrnn.layers.window": ("TimeDistributed", "Window"),
    "convrnn.modality.sound": ("Resampler", "Sound"),
    "convrnn.study.plan": ("Arm",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'convrnn' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
