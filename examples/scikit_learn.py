"""A scikit-learn estimator among others: cross-validation and a search over its options. Rows may differ in length."""

import numpy as np
from sklearn.model_selection import GridSearchCV, cross_val_score

import convrnn as cr

rng = np.random.default_rng(0)
labels = np.array(["rising", "falling"] * 30)
rows = np.empty(60, dtype=object)  # an array of arrays, as scikit-learn indexes it
for place, label in enumerate(labels):
    ramp = np.linspace(0, 1, rng.integers(12, 30))
    rows[place] = (ramp if label == "rising" else ramp[::-1])[:, None] + 0.3 * rng.standard_normal((len(ramp), 2))

classifier = cr.Classifier("gru", epochs=4, rate=0.02, options={"batch": 8})
print("accuracy by fold:", cross_val_score(classifier, rows, labels, cv=3).round(2))

search = GridSearchCV(classifier, {"model": ["rnn", "gru"]}, cv=2).fit(rows, labels)
print("best:", search.best_params_)
