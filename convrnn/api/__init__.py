"""Each verb as one Python call, and the scikit-learn estimators."""

from convrnn.api.runs import Run, evaluate, predict, resume, train

__all__ = ["Run", "evaluate", "predict", "resume", "train"]
