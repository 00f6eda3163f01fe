"""Layers against sequence-layers with the same weights: ragged batches, offline and stepped, values, final states and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from convrnn.layers.base import Spec
from convrnn.layers.both_ways import BothWays
from convrnn.layers.combine import Residual, Serial
from convrnn.layers.conv import Conv
from convrnn.layers.framewise import Linear
from convrnn.layers.norm import BatchNorm, LayerNorm, RMSNorm
from convrnn.layers.norm_whole import GroupNorm
from convrnn.layers.pool import Pool
from convrnn.layers.recurrent import LSTM
from convrnn.layers.transposed import ConvTranspose
from tests.oracles import asked
from tests.oracles.asked import Finals, Transfer, final, ours, random_leaves, stepped
from tests.oracles.conftest import Versus
from tests.oracles.on_jax import agrees
from tests.oracles.on_sequence_layers import Peer, States, jax_dtype, none, of_lstm, running_values, sl
from tests.oracles.transfer import Parameters, bias_first, bias_first_transposed, jax_lstm, named, within

PEER = "sequence-layers"
FEATURES = 4
LENGTHS = (11, 0, 4, 1, 8)
STEPS = (2,)
"""Blocks in a step."""


class Twins(NamedTuple):
    """A layer here and there.

    Attributes:
        row: its row in the table.
        spec: ours.
        config: theirs, for weights of a dtype.
        transfer: their weights under our names.
        frame: what a frame looks like.
        blocks: blocks of a step, for each way in which it is stepped; none: theirs can only answer whole rows.
        finals: our and their final states, where both have them.
    """

    row: str
    spec: Spec
    config: Callable[[Any], Any]
    transfer: Transfer
    frame: tuple[int, ...] = (3,)
    blocks: tuple[int, ...] = STEPS
    finals: tuple[Finals, States] = (asked.none, none)


# ---- what is compared

PADDINGS = {"causal": "causal", "same": "same", "valid": "reverse_causal_valid", "ahead": "reverse_causal"}
"""Ours, and theirs: their `valid` cannot be stepped, but so can the padding under which the same frames are valid."""


def conv(padding: str, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> Twins:
    ahead = (kernel - 1) * dilation if padding == "ahead" else 0
    spec = Conv(
        FEATURES,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        groups=groups,
        padding="causal" if ahead else padding,  # pyright: ignore[reportArgumentType]  (a str of PADDINGS)
        ahead=ahead,
    )

    def config(dtype: Any) -> Any:
        return sl.Conv1D.Config(
            FEATURES, kernel, strides=stride, dilation_rate=dilation, padding=PADDINGS[padding], groups=groups, param_dtype=dtype
        )

    return Twins(f"Conv1D {PADDINGS[padding]}", spec, config, bias_first, (2 * groups,), () if padding == "same" else STEPS)


def conv_2d(padding: str, stride: tuple[int, int] = (1, 1), dilation: tuple[int, int] = (1, 1)) -> Twins:
    spec = Conv(FEATURES, kernel=3, stride=stride, dilation=dilation, padding=padding)  # pyright: ignore[reportArgumentType]
    space = "valid" if padding == "valid" else "same"

    def config(dtype: Any) -> Any:
        return sl.Conv2D.Config(FEATURES, 3, stride, dilation, time_padding=PADDINGS[padding], spatial_padding=space, param_dtype=dtype)

    return Twins(f"Conv2D {PADDINGS[padding]}", spec, config, bias_first, (6, 2), () if padding == "same" else STEPS)


def pool(kind: str, window: int, stride: int, partial: str, space: tuple[int, ...] = ()) -> Twins:
    """`masked_average`: theirs else divides by the whole window, see `test_differences.py`."""
    spec = Pool(window, stride=stride, kind=kind, partial=partial)  # pyright: ignore[reportArgumentType]
    padding = "reverse_causal" if partial == "keep" else "reverse_causal_valid"
    name = f"{'Max' if kind == 'max' else 'Average'}Pooling{len(space) + 1}D"
    maker = getattr(sl, name).Config
    paddings = {"time_padding": padding, "spatial_padding": "valid"} if space else {"padding": padding}
    averaging = {"masked_average": True} if kind == "mean" else {}
    # Theirs has no partial windows over space: there it fits.
    return Twins(f"{name} {padding}", spec, lambda dtype: maker(window, strides=stride, **paddings, **averaging), named(), (*space, 2))


def transposed(padding: str, kernel: int, stride: int) -> Twins:
    spec = ConvTranspose(FEATURES, kernel=kernel, stride=stride, padding=padding)  # pyright: ignore[reportArgumentType]

    def config(dtype: Any) -> Any:
        return sl.Conv1DTranspose.Config(FEATURES, kernel, strides=stride, padding=padding, param_dtype=dtype)

    blocks = STEPS if padding == "causal" else ()
    return Twins(f"Conv1DTranspose {padding}", spec, config, bias_first_transposed, blocks=blocks)


def lstm(units: int, dtype: Any) -> Any:
    return sl.LSTM.Config(units, param_dtype=dtype)


def one_lstm(weights: list[Tensor]) -> Parameters:
    return within("forward_layers.0", jax_lstm(weights))


def two_lstms(weights: list[Tensor]) -> Parameters:
    """Backward comes before forward."""
    return within("backward_layers.0", jax_lstm(weights[:3])) | within("forward_layers.0", jax_lstm(weights[3:]))


def bidirectional(inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda dtype: sl.Bidirectional.Config(inner(dtype), inner(dtype), combination=sl.CombinationMode.CONCAT)


def stack() -> Twins:
    """A stride, a residual, a recurrence and a pool; of means, as two frames nearly equal would send a maximum's gradient either way."""
    inner = Residual(Conv(FEATURES, kernel=3, dilation=2, padding="causal"))
    spec = Serial(
        Conv(FEATURES, kernel=5, stride=2, padding="causal"), LayerNorm(epsilon=1e-6), inner, LSTM(FEATURES), Pool(2, kind="mean")
    )

    def config(dtype: Any) -> Any:
        return sl.Serial.Config(
            [
                sl.Conv1D.Config(FEATURES, 5, strides=2, padding="causal", param_dtype=dtype, name="a"),
                sl.LayerNormalization.Config(param_dtype=dtype, name="b"),
                sl.Residual.Config([sl.Conv1D.Config(FEATURES, 3, dilation_rate=2, padding="causal", param_dtype=dtype)], name="c"),
                sl.LSTM.Config(FEATURES, param_dtype=dtype, name="d"),
                sl.AveragePooling1D.Config(2, strides=2, padding="reverse_causal", masked_average=True, name="e"),
            ]
        )

    def transfer(weights: list[Tensor]) -> Parameters:
        return (
            within("layers.0", bias_first(weights[:2]))
            | within("layers.1", named("shift", "scale")(weights[2:4]))
            | within("layers.2.branches.1", bias_first(weights[4:6]))
            | within("layers.3", one_lstm(weights[6:]))
        )

    return Twins("Serial of five", spec, config, transfer, blocks=(1, 3))


CASES: dict[str, Twins] = {
    "lstm": Twins("LSTM", LSTM(FEATURES), lambda dtype: lstm(FEATURES, dtype), one_lstm, blocks=(1, 3, 20), finals=(final(2), of_lstm)),
    "lstm-both": Twins(
        "Bidirectional(LSTM)", LSTM(FEATURES, bidirectional=True), bidirectional(lambda dtype: lstm(FEATURES, dtype)), two_lstms, blocks=()
    ),
    "conv-both": Twins(
        "Bidirectional(Conv1D causal)",
        BothWays(Conv(FEATURES, padding="causal")),
        bidirectional(lambda dtype: sl.Conv1D.Config(FEATURES, 3, padding="causal", param_dtype=dtype)),
        lambda weights: within("back", bias_first(weights[:2])) | within("forth", bias_first(weights[2:])),
        blocks=(),
    ),
    **{
        f"conv-{padding}-{k}-{s}-{d}-{g}": conv(padding, k, s, d, g)
        for padding in PADDINGS
        for k, s, d, g in ((3, 1, 1, 1), (4, 1, 1, 1), (3, 1, 2, 2), (3, 3, 2, 1), (2, 5, 1, 1))
    },
    **{
        f"conv-2d-{padding}-{i}": conv_2d(padding, stride, dilation)
        for padding in ("causal", "same", "valid")
        for i, (stride, dilation) in enumerate([((2, 2), (1, 1)), ((1, 1), (2, 1))])
    },
    **{f"transposed-{p}-{k}-{s}": transposed(p, k, s) for p in ("causal", "same") for k, s in ((4, 2), (5, 2), (3, 3))},
    # A wider kernel is one that theirs refuses where JAX has 64 bits: the mask is convolved in float32 with ones in float64.
    "transposed-valid-3-3": transposed("valid", 3, 3),
    **{
        f"pool-{kind}-{partial}-{w}-{s}": pool(kind, w, s, partial)
        for kind in ("max", "mean")
        for partial in ("keep", "drop")
        for w, s in ((2, 2), (3, 2), (2, 3))
    },
    **{f"pool-2d-{kind}": pool(kind, 2, 2, "drop", (4,)) for kind in ("max", "mean")},
    "linear": Twins(
        "Dense", Linear(FEATURES), lambda dtype: sl.Dense.Config(FEATURES, param_dtype=dtype), lambda w: {"weight": w[1].T, "bias": w[0]}
    ),
    "layer-norm": Twins(
        "LayerNormalization",
        LayerNorm(epsilon=1e-3),
        lambda dtype: sl.LayerNormalization.Config(epsilon=1e-3, param_dtype=dtype),
        named("shift", "scale"),
    ),
    "rms-norm": Twins(
        "RMSNormalization",
        RMSNorm(epsilon=1e-3),
        lambda dtype: sl.RMSNormalization.Config(epsilon=1e-3, param_dtype=dtype),
        named("scale"),
    ),
    "group-norm": Twins(
        "GroupNormalization",
        GroupNorm(2, epsilon=1e-3),
        lambda dtype: sl.GroupNormalization.Config(2, epsilon=1e-3, param_dtype=dtype),
        named("shift", "scale"),
        (5, 4),
        (),
    ),
    "batch-norm": Twins(
        "BatchNormalization, evaluation",
        BatchNorm(epsilon=1e-3),
        lambda dtype: sl.BatchNormalization.Config(epsilon=1e-3, param_dtype=dtype),
        lambda w: named("shift", "scale")(w) | dict.fromkeys(("mean", "var"), running_values(3, w[0].dtype)),
    ),
    "stack": stack(),
}


@pytest.mark.parametrize("case", CASES)
def test_offline(case: str, dtype: torch.dtype, versus: Versus) -> None:
    twins = CASES[case]
    peer = Peer(twins.config(jax_dtype(dtype)), LENGTHS, twins.frame, dtype)
    leaves = random_leaves([(sum(LENGTHS), *twins.frame), *peer.shapes], dtype)
    net = twins.spec.build(twins.frame).eval()
    agrees(versus(PEER, f"{twins.row}, offline"), ours(net, LENGTHS, twins.transfer), peer.offline(), leaves)


@pytest.mark.parametrize(("case", "blocks"), [(case, blocks) for case, twins in CASES.items() for blocks in twins.blocks])
def test_stepped(case: str, blocks: int, versus: Versus) -> None:
    """Both in the same chunks."""
    twins, dtype = CASES[case], torch.float64
    peer = Peer(twins.config(jax_dtype(dtype)), LENGTHS, twins.frame, dtype)
    leaves = random_leaves([(sum(LENGTHS), *twins.frame), *peer.shapes], dtype)
    net = twins.spec.build(twins.frame).eval()
    mine = stepped(net, LENGTHS, twins.transfer, blocks * peer.facts.block_size, twins.finals[0])
    agrees(versus(PEER, f"{twins.row}, stepped"), mine, peer.stepped(blocks, twins.finals[1]), leaves)


SAME = [case for case in CASES if CASES[case].row in ("Conv1D same", "Conv2D same")]


@pytest.mark.parametrize("case", SAME)
def test_same_stepped_here_is_same_offline_there(case: str, versus: Versus) -> None:
    """Theirs cannot step `same`; ours waits for its lookahead."""
    twins, dtype = CASES[case], torch.float64
    peer = Peer(twins.config(jax_dtype(dtype)), LENGTHS, twins.frame, dtype)
    leaves = random_leaves([(sum(LENGTHS), *twins.frame), *peer.shapes], dtype)
    assert not peer.facts.supports_step
    mine = stepped(twins.spec.build(twins.frame), LENGTHS, twins.transfer, 2)
    agrees(versus(PEER, f"{twins.row}, stepped here, offline there"), mine, peer.offline(), leaves)
