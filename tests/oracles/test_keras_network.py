"""`mnist-cnn` against the same network in Keras, weights transferred: logits and gradients, and logits of pictures read by the modality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from convrnn.core.seq import Seq
from convrnn.data.examples import Examples
from convrnn.layers.base import Layer
from convrnn.layers.combine import Serial
from convrnn.layers.framewise import Linear
from convrnn.modality import Image
from convrnn.zoo import Fingerprint, get
from tests.oracles.asked import ours, random_leaves
from tests.oracles.conftest import Versus
from tests.oracles.on_jax import agrees, to_torch
from tests.oracles.on_keras import keras, precise, row_by_row
from tests.oracles.transfer import kernel_last, within

layers = keras.layers
SIDE = 28


def our_network() -> Layer:
    body = get("mnist-cnn").spec(Fingerprint("image", (SIDE, 1), 10, 60_000, (SIDE, SIDE, SIDE)))
    assert isinstance(body, Serial)
    return Serial(*body.layers, Linear(10)).build((SIDE, 1))


def their_network(*before: Any) -> Any:
    """As the tutorials have it; the last layer gives logits."""
    network = keras.Sequential(
        [
            *before,
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )
    network.build((None, SIDE, SIDE, 1))
    return network


def transfer(weights: list[Tensor]) -> dict[str, Tensor]:
    """Pictures stand `[height, width]` in Keras; here time runs along the width, so windows and the 5x5 that is flattened are turned."""
    first, second = (kernel_last([weights[i].transpose(0, 1), weights[i + 1]]) for i in (0, 2))
    turned = weights[4].reshape(5, 5, 64, 64).transpose(0, 1).reshape(1600, 64)
    dense = {"weight": turned.T, "bias": weights[5]}
    logits = {"weight": weights[6].T, "bias": weights[7]}
    places = {"layers.0": first, "layers.3": second, "layers.7": dense, "layers.9": logits}
    return {name: value for place, named in places.items() for name, value in within(place, named).items()}


def test_network_has_the_parameters_of_the_tutorials() -> None:
    assert sum(p.numel() for p in our_network().parameters()) == their_network().count_params() == 121_930


def test_logits_and_gradients(dtype: torch.dtype, versus: Versus) -> None:
    precise(dtype)
    network = keras.Sequential([their_network(layers.Permute((2, 1, 3))), layers.Reshape((1, 10))])
    network.build((None, SIDE, SIDE, 1))
    leaves = random_leaves([(2 * SIDE, SIDE, 1), *(w.shape for w in network.trainable_variables)], dtype)
    # As initial weights are sized, so that logits and gradients have the size of those of a training.
    leaves = [leaves[0], *(leaf / max(1, leaf[..., 0].numel()) ** 0.5 for leaf in leaves[1:])]
    net = our_network().to(dtype)
    agrees(versus("Keras", "mnist-cnn, logits"), ours(net, (SIDE, SIDE), transfer), row_by_row(network, (SIDE, SIDE)), leaves)


def test_logits_of_pictures() -> None:
    """Bytes `[height, width]` through our modality, and divided by 255 for Keras as the tutorial does: within 1e-5."""
    precise(torch.float32)
    network = their_network()
    pictures = np.random.default_rng(3).integers(0, 256, (5, SIDE, SIDE, 1), np.uint8)
    modality = Image.fit(Examples("image", list(pictures), None, [str(row) for row in range(5)]), Image())
    x = torch.stack([torch.from_numpy(np.asarray(modality.encode(picture))) for picture in pictures])
    weights = transfer([to_torch(variable.value) for variable in network.trainable_variables])
    with torch.no_grad():
        got = functional_call(our_network().eval(), weights, (Seq(x),)).seq.values[:, 0]
    want = network.predict(pictures.astype(np.float32) / 255, verbose=0)
    assert float(np.abs(want).max()) > 0.05
    assert got.numpy() == pytest.approx(want, abs=1e-5)
