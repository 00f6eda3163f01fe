"""A number for each sequence: how fast a noisy wave swings, from 30 to 80 frames of it."""

import numpy as np

import convrnn as cr

rng = np.random.default_rng(7)
speeds = rng.uniform(0.2, 1.0, 300)
rows = [np.sin(speed * np.arange(frames))[:, None] + 0.1 for speed, frames in zip(speeds, rng.integers(30, 80, 300), strict=True)]
noisy = [row + 0.3 * rng.standard_normal(row.shape) for row in rows]

run = cr.train(noisy, speeds, model="crnn", epochs=5, criterion="huber")
measured = run.metrics["test"]
print(", ".join(f"{name} {value:.4f}" for name, value in measured.items()))
print(f"always answering the mean would be {np.abs(speeds - speeds.mean()).mean():.4f} off")
