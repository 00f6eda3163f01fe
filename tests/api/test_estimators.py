"""The estimators keep scikit-learn's conventions over arrays, lists of arrays, texts and data frames."""

from __future__ import annotations

import pickle
from io import BytesIO
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from convrnn import Classifier, DataError, InputError, Regressor, UsageError

ROWS = 32
LABEL = np.arange(ROWS) % 2
X = np.random.default_rng(0).normal(LABEL[:, None, None] * 3.0, 0.5, (ROWS, 6, 1)).astype(np.float32)


def quick(**given: Any) -> Classifier:
    return Classifier("gru", **{"epochs": 3, "batch": 8, "rate": 0.02, "options": {"width": 6}, **given})


def double(values: np.ndarray) -> np.ndarray:
    return values * 2


@pytest.fixture(scope="module")
def fitted() -> Classifier:
    return quick().fit(X, LABEL)


def test_parameters_and_clone() -> None:
    one = quick(seed=3)
    again = clone(one)
    assert isinstance(again, Classifier) and again is not one
    assert again.get_params() == one.get_params()
    assert one.set_params(epochs=9).get_params()["epochs"] == 9
    assert set(one.get_params()) == {"model", "epochs", "batch", "rate", "valid", "seed", "options"}


TEXTS = np.array(["low", "high"])
LABELS = {
    "int": LABEL,
    "int32": LABEL.astype(np.int32),
    "frame": pd.DataFrame({"y": LABEL.astype(np.int8)}),
    "negative": LABEL - 1,
    "bool": LABEL.astype(bool),
    "whole floats": LABEL.astype(float),
    "str": TEXTS[LABEL],
    "list": TEXTS[LABEL].tolist(),
    "tensors": list(torch.from_numpy(LABEL)),
    "chinese": np.array(["低", "高"])[LABEL],
    "objects": TEXTS[LABEL].astype(object),
    "column": LABEL[:, None],
    "series": pd.Series(TEXTS[LABEL], index=range(100, 100 + ROWS)),
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_labels_keep_their_type(y: Any) -> None:
    model = quick().fit(X, y)
    want = np.asarray(y).ravel()
    assert model.classes_.tolist() == sorted(set(want.tolist()))
    found = model.predict(X)
    assert found.dtype == model.classes_.dtype and (want.dtype == object or found.dtype == want.dtype)
    assert found.tolist() == want.tolist()
    assert model.score(X, want) == 1.0
    chances = model.predict_proba(X)
    assert chances.shape == (ROWS, 2)
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-6)
    assert (model.classes_[chances.argmax(1)] == want).all()


def test_labels_in_order_of_their_numbers() -> None:
    y = np.array([2, 10, 9])[np.arange(30) % 3]
    rows = np.random.default_rng(1).normal(y[:, None, None], 0.1, (30, 5, 1)).astype(np.float32)
    model = quick(epochs=1).fit(rows, y)
    assert model.classes_.tolist() == [2, 9, 10]
    chances = model.predict_proba(rows)
    for row, answer in enumerate(model.model_.predict(rows)):
        assert chances[row].tolist() == [answer["probabilities"][name] for name in ("2", "9", "10")]


BAD = {
    "fractions": (LABEL + 0.5, "y: expected labels: texts, whole numbers or booleans, got numbers with fractions; correct y, or use a Reg"),
    "missing": (np.where(LABEL, np.nan, 1.0), r"y\[1\]: expected a label, got nan; correct it or remove the row"),
    "none": ([None] * ROWS, r"y\[0\]: expected a label, got None; "),
    "missing text": (np.array(["a", "b", float("nan")] + ["a"] * (ROWS - 3), object), r"y\[2\]: expected a label, got nan; "),
    "pandas": (pd.Series(["a", pd.NA] * (ROWS // 2), dtype="string"), r"y\[1\]: expected a label, got <NA>; "),
    "numbers beside texts": (["a", 1] * (ROWS // 2), "y: expected labels of one type, got int and str; correct y"),
    "truths beside numbers": (np.array([True, 2], object)[LABEL], "y: expected labels of one type, got bool and int; correct y"),
    "two columns": (np.zeros((ROWS, 2), int), r"y: expected one target a row, got \(32, 2\)"),
}


@pytest.mark.parametrize(("y", "message"), BAD.values(), ids=BAD)
def test_targets_that_are_no_labels(y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        quick().fit(X, y)


def test_one_class() -> None:
    with pytest.raises(DataError, match="expected at least two labels"):
        quick().fit(X, np.ones(ROWS, int))


def test_too_few_targets() -> None:
    with pytest.raises(DataError, match=f"X: {ROWS} rows, but {ROWS - 1} in y; give one of y for each row"):
        quick().fit(X, LABEL[:-1])


@pytest.mark.parametrize("ask", ["predict", "predict_proba"])
def test_not_fitted(ask: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(quick(), ask)(X)


def test_one_row_and_none(fitted: Classifier) -> None:
    alone = np.concatenate([fitted.predict_proba(X[row : row + 1]) for row in range(ROWS)])
    np.testing.assert_allclose(alone, fitted.predict_proba(X), atol=1e-6)
    assert fitted.predict(X[:0]).shape == (0,)
    assert fitted.predict_proba(X[:0]).shape == (0, 2)


def test_the_same_seed_gives_the_same_model(fitted: Classifier) -> None:
    np.testing.assert_array_equal(quick().fit(X, LABEL).predict_proba(X), fitted.predict_proba(X))
    assert not np.array_equal(quick(seed=1).fit(X, LABEL).predict_proba(X), fitted.predict_proba(X))


def test_a_fitted_estimator_is_pickled(fitted: Classifier) -> None:
    stored = BytesIO()
    joblib.dump(fitted, stored)
    stored.seek(0)
    for again in (joblib.load(stored), pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
        assert again.get_params() == fitted.get_params()


def test_cross_validation_grid_and_pipeline() -> None:
    assert cross_val_score(quick(), X, LABEL, cv=2).mean() > 0.9
    found = GridSearchCV(quick(), {"rate": np.array([1e-6, 0.02]), "epochs": np.array([3])}, cv=2).fit(X, LABEL)
    assert found.best_params_ == {"rate": 0.02, "epochs": 3}
    assert make_pipeline(FunctionTransformer(double), quick()).fit(X, LABEL).score(X, LABEL) == 1.0


def test_more_folds_than_rows() -> None:
    with pytest.raises(ValueError, match="number of splits n_splits=5 greater than the number of samples: n_samples=3"):
        cross_val_score(quick(), X[:3], LABEL[:3], cv=5)


def test_rows_of_unequal_length() -> None:
    rows = [row[: 1 + place % 6] for place, row in enumerate(X)]
    model = quick().fit(rows, LABEL)
    assert model.score(rows, LABEL) == 1.0
    assert model.predict([rows[0], X[1]]).tolist() == [0, 1]


def test_texts() -> None:
    texts = [("good film 好" if label else "bad film 坏") for label in LABEL]
    model = Classifier("gru", epochs=6, rate=0.02, options={"width": 8}).fit(texts, TEXTS[LABEL])
    assert model.predict(["film 坏 bad", "good"]).tolist() == ["low", "high"]
    assert model.predict(pd.Series(["good"])).tolist() == ["high"]


def test_frames_of_pandas() -> None:
    frame = pd.DataFrame(X[:, :, 0], index=range(50, 50 + ROWS))
    model = quick().fit(frame, pd.Series(LABEL, index=frame.index))
    np.testing.assert_allclose(model.predict_proba(frame), quick().fit(X, LABEL).predict_proba(X), atol=1e-6)
    assert cross_val_score(quick(), frame, LABEL, cv=2).mean() > 0.9


def test_pictures() -> None:
    pictures = np.random.default_rng(0).integers(0, 60, (ROWS, 6, 5), dtype=np.uint8) + (LABEL[:, None, None] * 150).astype(np.uint8)
    model = quick(epochs=12).fit(pictures, LABEL)
    assert model.model_.kind == "image"
    assert model.predict(pictures[:2]).tolist() == [0, 1]


def test_a_regressor() -> None:
    y = X.mean((1, 2)) * 1000 + 5
    model = Regressor("gru", epochs=20, batch=8, rate=0.02, options={"width": 6, "criterion": "huber"}).fit(X, y)
    assert model.score(X, y) > 0.8
    assert model.predict(X[:0]).shape == (0,)
    with pytest.raises(DataError, match="expected a number, got 'low'"):
        Regressor("gru").fit(X, TEXTS[LABEL])


def test_without_a_validation_part_the_last_epoch_counts() -> None:
    model = quick(valid=0).fit(X, LABEL)
    assert all("valid" not in record for record in model.history_)


@pytest.mark.parametrize("name, value", [("epochs", 2), ("rate", 0.1), ("train.batch", 4)])
def test_an_option_given_twice(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=r"options\.\w+: is given twice, by \w+= too; give it once"):
        quick(options={name: value}).fit(X, LABEL)


@pytest.mark.parametrize(("name", "remedy"), [("valid", "give it as valid="), ("task", "leave it out"), ("out", "leave it out")])
def test_an_argument_of_a_training_among_the_options(name: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=rf"options\.{name}: is not among what --set takes; {remedy}"):
        quick(options={name: 0.2}).fit(X, LABEL)


def test_features_are_those_of_what_is_given() -> None:
    """Not of what the model makes of it: masks of missing values, the words of texts."""
    pairs = np.repeat(X, 2, axis=2)
    pairs[0, 0] = np.nan
    model = quick(epochs=1).fit(pairs, LABEL)
    assert model.n_features_in_ == model.fit(list(pairs), LABEL).n_features_in_ == 2
    texts = ["a film", "some film"] * (ROWS // 2)
    assert not hasattr(model.fit(texts, LABEL), "n_features_in_") and not hasattr(model.fit(np.array(texts), LABEL), "n_features_in_")


def test_an_unknown_option() -> None:
    with pytest.raises(UsageError, match="unknown key 'widht'; did you mean 'width'"):
        quick(options={"widht": 4}).fit(X, LABEL)


def test_other_channels_than_in_training(fitted: Classifier) -> None:
    with pytest.raises(InputError, match=r"X\[0\]: expected 1 channel\(s\), got 3"):
        fitted.predict(np.zeros((2, 6, 3), np.float32))


def test_folds_of_strands() -> None:
    """Cross-validation of texts as scikit-learn does it, with no row held out to watch: as many scores as folds."""
    strands = ["acgt" * 5, "ttgca" * 4] * 6
    estimator = Classifier("tcn", epochs=2, valid=0.0, options={"width": 4})
    scores = cross_val_score(estimator, strands, ["yes", "no"] * 6, cv=StratifiedKFold(3))
    assert len(scores) == 3 and all(0 <= score <= 1 for score in scores)
