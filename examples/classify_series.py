"""Which wave is it? Series of 20 to 60 frames with missing values, two channels: a crnn, and no flag about lengths or gaps."""

import numpy as np

import convrnn as cr

rng = np.random.default_rng(0)
SHAPES = {"sine": np.sin, "square": lambda t: np.sign(np.sin(t)), "saw": lambda t: (t / np.pi) % 2 - 1}


def wave(shape: str, frames: int) -> np.ndarray:
    """`[frames, 2]`: a wave and a channel of noise, every tenth value missing."""
    signal = SHAPES[shape](0.4 * np.arange(frames) + rng.uniform(0, 2 * np.pi)) + 0.2 * rng.standard_normal(frames)
    values = np.stack([signal, rng.standard_normal(frames)], axis=1)
    return np.where(rng.random(values.shape) < 0.1, np.nan, values)


labels = list(SHAPES) * 80
rows = [wave(label, int(rng.integers(20, 60))) for label in labels]
run = cr.train(rows, labels, model="crnn", epochs=6, say=print)
print(f"test accuracy {run.metrics['test']['accuracy']:.2f} after 6 epochs")

# A model keeps what it learned of the data (here: scaling, and which channels have gaps), so it takes raw rows, alone or in any batch.
answer = run.model.predict([wave("saw", 45)])[0]
print("a new saw is called", answer["label"], f"({answer['probability']:.2f})")
