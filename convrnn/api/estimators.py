"""`Classifier` and `Regressor`: scikit-learn estimators over arrays `[N, T, C]`, lists of arrays, lists of texts and data frames.

They follow scikit-learn's conventions by its own base classes: `clone`, `get_params`, `cross_val_score`, `GridSearchCV`, pipelines.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from convrnn.api.runs import train
from convrnn.core.errors import DataError, UsageError
from convrnn.core.language import both, tr
from convrnn.data import from_arrays, label
from convrnn.deploy import Model
from convrnn.layers.base import Spec

_ARGUMENTS = frozenset(name for name, each in inspect.signature(train).parameters.items() if each.kind is not each.VAR_KEYWORD)
"""Of a training, beside its options."""


class _Estimator(BaseEstimator):
    """What both share: the parameters, training, and the scores of rows.

    `n_features_in_` is the last size of `X`, or of a row of a list: the channels. Texts have none.
    """

    _task: Literal["classify", "regress"]
    model_: Model
    n_features_in_: int

    def __init__(
        self,
        model: str | Spec | None = None,
        *,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float | None = None,
        valid: float = 0.1,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.valid = valid
        self.seed = seed
        self.options = options

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on all rows but the share `valid`, which chooses the epoch.

        Args:
            X: `[N, T, C]` or `[N, T]` numbers, a list of `[T, C]` arrays, a list of texts, pictures as uint8 `[N, H, W]`, or a data frame.
            y: one target a row.

        Raises:
            InputError: rows or options that do not fit.
        """
        run = train(X, self._targets(y), model=self.model, task=self._task, valid=self.valid, test=0.0, **self._given())
        self.model_ = run.model
        self.history_ = run.history
        vars(self).pop("n_features_in_", None)
        shape = getattr(X, "shape", None) or np.shape(X[0])
        if len(shape) > 1:
            self.n_features_in_ = int(shape[-1])
        return self

    def _given(self) -> dict[str, Any]:
        """Arguments and `options` together; one given both ways is an error."""
        own = {"epochs": self.epochs, "batch": self.batch, "rate": self.rate, "seed": self.seed or None}
        named = {name: value for name, value in own.items() if value is not None}
        options = dict(self.options or {})
        if foreign := sorted(options.keys() & _ARGUMENTS):
            name = foreign[0]
            remedy = tr("give it as {name}=", name=name) if name in self.get_params() else tr("leave it out")
            raise UsageError(f"options.{name}", tr("is not among what --set takes"), remedy)
        if twice := sorted(named.keys() & {key.removeprefix("train.") for key in options}):
            raise UsageError(f"options.{twice[0]}", tr("is given twice, by {twice}= too", twice=twice[0]), tr("give it once"))
        return {**named, **options}

    def _targets(self, y: Any) -> Any:
        return y

    def _scores(self, X: Any) -> list[dict[str, Any]]:
        check_is_fitted(self, "model_")
        if not len(X):
            return []
        return self.model_.predict_examples(from_arrays(X, kind=self.model_.kind, columns=self.model_.columns))


def _flat(y: NDArray[Any]) -> NDArray[Any]:
    """`[N]` from `[N]` or a column `[N, 1]`."""
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _labels(y: Any) -> NDArray[Any]:
    """Labels `[N]` of one type, in the type that they have.

    Raises:
        DataError: not one a row; a missing one, by its row; labels of several types, or none (fractions, dates).
    """
    # An array of a list would make texts of all that stands beside one.
    given = _flat(np.asarray(y, object if isinstance(y, list | tuple) else None))
    if given.ndim != 1:
        raise DataError("y", tr("expected one target a row, got {got}", got=given.shape), tr("give a list of labels or numbers"))
    rows = [each.item() if isinstance(each, np.generic | torch.Tensor) else each for each in given.tolist()]
    for row, each in enumerate(rows):
        if not isinstance(each, str | int | float) or each != each:
            raise DataError(f"y[{row}]", tr("expected a label, got {got!r}", got=each), tr("correct it or remove the row"))
    if len({(isinstance(each, str), isinstance(each, bool)) for each in rows}) > 1:
        found = both(sorted({type(each).__name__ for each in rows}))
        raise DataError("y", tr("expected labels of one type, got {found}", found=found), tr("correct y"))
    if any(isinstance(each, float) and not each.is_integer() for each in rows):
        problem = tr("expected labels: texts, whole numbers or booleans, got {got}", got=tr("numbers with fractions"))
        raise DataError("y", problem, tr("correct y, or use a Regressor"))
    return given if given.dtype.kind in "biufU" else np.asarray(rows)


class Classifier(ClassifierMixin, _Estimator):
    """One of several labels for each sequence.

    Args:
        model: a name of the zoo, the path of a YAML spec, or a spec; None: by the kind of the rows.
        epochs: passes over the rows; None: by their number.
        batch: rows in a batch; None: by the number of rows.
        rate: learning rate; None: the model's.
        valid: share of the rows that chooses the epoch; 0: none, the last epoch counts.
        seed: of weights, order and dropout.
        options: anything else that `convrnn train --set` takes.

    Attributes:
        classes_: the labels, sorted.
        model_: the trained `convrnn.Model`: predict, stream, save.

    Example:
        >>> import numpy as np
        >>> X = np.repeat(np.array([0.0, 1.0] * 8), 12).reshape(16, 12, 1) + np.linspace(0, 0.1, 12)[:, None]
        >>> fitted = Classifier("gru", epochs=12, rate=0.02, options={"batch": 4}).fit(X, ["low", "high"] * 8)
        >>> fitted.predict(X[:2]).tolist()
        ['low', 'high']
    """

    _task = "classify"
    classes_: NDArray[Any]

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on all rows but the share `valid`, which chooses the epoch.

        Args:
            X: `[N, T, C]` or `[N, T]` numbers, a list of `[T, C]` arrays, a list of texts, pictures as uint8 `[N, H, W]`, or a data frame.
            y: labels `[N]` or `[N, 1]`: texts, whole numbers (as floats too) or booleans, all of one type.

        Raises:
            InputError: rows, labels or options that do not fit; fewer than two labels.
        """
        labels = _labels(y)
        self.classes_ = np.unique(labels)
        return super().fit(X, labels)

    def _targets(self, y: Any) -> list[str]:
        """Labels as the texts that the task knows; `classes_` keeps their type."""
        return [label(each) for each in y.tolist()]

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable label of each row, in the type of `y`."""
        answers = self._scores(X)
        own = {label(each): each for each in self.classes_.tolist()}
        return np.array([own[answer["label"]] for answer in answers], dtype=self.classes_.dtype)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities `[N, K]`, columns as in `classes_`."""
        answers = self._scores(X)
        names = [label(each) for each in self.classes_.tolist()]
        return np.array([[answer["probabilities"][name] for name in names] for answer in answers]).reshape(-1, len(names))


class Regressor(RegressorMixin, _Estimator):
    """A number for each sequence.

    Args:
        model: as for `Classifier`, as are the others; `options={"criterion": "huber"}` chooses the error.

    Attributes:
        model_: the trained `convrnn.Model`.

    Example:
        >>> import numpy as np
        >>> X = np.linspace(0, 1, 24)[:, None, None] * np.ones((1, 8, 1))
        >>> Regressor("gru", epochs=40, rate=0.02).fit(X, X[:, 0, 0]).score(X, X[:, 0, 0]) > 0.8
        True
    """

    _task = "regress"

    def predict(self, X: Any) -> NDArray[np.float64]:
        """One number a row, in the units of `y`."""
        return np.array([answer["value"] for answer in self._scores(X)], dtype=np.float64)
