"""Every layer, several ways each, as data: adding a layer to the law suite is one line here. Knows no law."""

from __future__ import annotations

from convrnn.core.seq import Ids
from convrnn.layers.combine import Parallel, Residual, Serial
from convrnn.layers.conv import Conv
from convrnn.layers.dropout import Dropout
from convrnn.layers.embed import Embedding
from convrnn.layers.framewise import Activation, Flatten, Fold, Linear
from convrnn.layers.norm import BatchNorm, LayerNorm
from convrnn.layers.pool import GlobalPool, Pool
from convrnn.layers.recurrent import GRU, LSTM, RNN
from convrnn.testing.laws import Case

_WHOLE = "needs the whole row"
BACKWARD = {law: f"{_WHOLE}: the backward direction begins at its end" for law in ("chunking", "state", "gradient", "gradient:train")}
ADAPTIVE = {law: f"{_WHOLE}: its windows depend on the length" for law in ("chunking", "state", "gradient", "gradient:train")}
STATISTICS = {"gradient:train": "batch norm in training: the statistics are those of the batch, a chunk is another batch"}
SYMBOLS = {"reach": "ids cannot be NaN"}
FIXED = {"empty": "its rows have a fixed number of frames"}


CASES: tuple[Case, ...] = (
    Case("conv", Conv(4), 3),
    Case("conv-even-kernel", Conv(4, kernel=4), 3),
    Case("conv-causal", Conv(4, kernel=5, padding="causal"), 3),
    # One row: only there do chunks often come without lengths, and a buffer is shifted by slices.
    Case("conv-causal-one-row", Conv(4, kernel=5, padding="causal"), 3, (11,)),
    Case("conv-causal-dilated", Conv(4, kernel=3, dilation=3, padding="causal"), 3),
    Case("conv-valid", Conv(4, kernel=3, padding="valid"), 3),
    Case("conv-valid-strided", Conv(4, kernel=3, stride=2, dilation=2, padding="valid"), 3),
    Case("conv-same-stride-3-dilation-2", Conv(4, kernel=3, stride=3, dilation=2), 3),
    Case("conv-stride-longer-than-kernel", Conv(4, kernel=2, stride=5, padding="causal"), 3, (13, 0, 5, 1, 6)),
    Case("conv-pointwise", Conv(4, kernel=1, bias=False), 3),
    Case("conv-pointwise-strided", Conv(4, kernel=1, stride=3), 3),
    Case("conv-grouped", Conv(4, kernel=3, groups=2), 6),
    Case("conv-depthwise", Conv(4, kernel=3, groups=4), 4),
    Case("conv-separable", Conv(5, kernel=3, stride=2, separable=True), 4),
    Case("conv-2d", Conv(3, kernel=(3, 2), stride=(2, 1)), (4, 2), (7, 0, 4)),
    Case("conv-2d-causal", Conv(3, kernel=3, padding="causal", separable=True), (4, 2), (7, 0, 4)),
    Case("conv-2d-valid", Conv(3, kernel=3, padding="valid"), (5, 2), (7, 0, 4)),
    Case("conv-3d", Conv(2, kernel=(2, 3, 3), stride=(1, 2, 1)), (3, 4, 2), (5, 0, 3)),
    Case("pool-max", Pool(2), 3),
    Case("pool-mean", Pool(3, kind="mean"), 3),
    Case("pool-overlapping", Pool(3, stride=2), 3),
    Case("pool-mean-stride-1", Pool(3, stride=1, kind="mean"), 3),
    Case("pool-stride-longer-than-window", Pool(2, stride=5, kind="mean"), 3, (13, 0, 5, 1, 6)),
    Case("pool-drop", Pool(3, stride=2, partial="drop"), 3),
    Case("pool-mean-drop", Pool(2, kind="mean", partial="drop"), 3),
    Case("pool-2d", Pool(2), (5, 3), (7, 0, 4)),
    Case("pool-2d-mean", Pool((3, 2), stride=(2, 2), kind="mean"), (5, 3), (7, 0, 4)),
    Case("pool-2d-mean-drop", Pool(2, kind="mean", partial="drop"), (5, 3), (7, 0, 4)),
    Case("pool-3d", Pool(2, kind="mean"), (3, 4, 2), (5, 0, 3)),
    Case("pool-3d-max", Pool(2), (3, 4, 2), (5, 0, 3)),
    Case("pool-windows", Pool(windows=3), 3, exempt=ADAPTIVE),
    Case("pool-windows-mean", Pool(windows=4, kind="mean"), (2, 3), (7, 0, 4, 1), exempt=ADAPTIVE),
    Case("global-mean", GlobalPool(), 3),
    Case("global-max", GlobalPool("max"), 3),
    Case("global-last", GlobalPool("last"), (2, 3)),
    Case("global-attention", GlobalPool("attention", size=4), 3),
    Case("embedding", Embedding(4), Ids(7), exempt=SYMBOLS),
    Case("linear", Linear(4), 3),
    Case("linear-no-bias-2d", Linear(4, bias=False), (2, 3)),
    *(Case(f"activation-{name}", Activation.from_dict({"activation": name}), 3, (5, 0, 2)) for name in ("relu", "gelu", "softmax")),
    Case("dropout", Dropout(0.4), 3),
    Case("dropout-variational-2d", Dropout(0.4, variational=True), (2, 3)),
    Case("batch-norm", BatchNorm(), 3, exempt=STATISTICS),
    Case("batch-norm-2d", BatchNorm(momentum=0.5), (2, 3), exempt=STATISTICS),
    Case("layer-norm", LayerNorm(), 3),
    Case("fold", Fold(), (2, 3)),
    Case("fold-mean", Fold("mean"), (2, 2, 3), (5, 0, 2)),
    Case("fold-max", Fold("max"), (2, 3), (5, 0, 2)),
    Case("flatten", Flatten(5), (2, 3), (5, 5, 5), exempt=FIXED),
    Case("rnn", RNN(4), 3),
    Case("rnn-relu", RNN(4, nonlinearity="relu", layers=2), 3),
    Case("rnn-bidirectional", RNN(4, bidirectional=True, merge="mean"), 3, exempt=BACKWARD),
    Case("lstm", LSTM(4), 3),
    Case("lstm-stacked-dropout", LSTM(4, layers=3, dropout=0.3), 3),
    Case("lstm-bidirectional", LSTM(4, layers=2, bidirectional=True, dropout=0.3), 3, exempt=BACKWARD),
    Case("lstm-bidirectional-gate", LSTM(4, bidirectional=True, merge="gate", layers=2), 3, exempt=BACKWARD),
    Case("gru", GRU(4), 3),
    Case("gru-one-row", GRU(4), 3, (11,)),
    Case("gru-before", GRU(4, reset="before", layers=2), 3),
    Case("gru-bidirectional", GRU(4, bidirectional=True), 3, exempt=BACKWARD),
    Case("gru-before-bidirectional-sum", GRU(4, reset="before", bidirectional=True, merge="sum"), 3, exempt=BACKWARD),
    Case("serial-empty", Serial(), 3),
    Case("serial-mixed", Serial(Conv(4, stride=2), Activation("relu"), Pool(2), GRU(3), Linear(2)), 3, (17, 0, 5, 1)),
    Case("serial-to-one-frame", Serial(Conv(4), BatchNorm(), Pool(2), LSTM(3), GlobalPool("last"), Linear(2)), 3, exempt=STATISTICS),
    Case("parallel-concat", Parallel(Conv(2, kernel=5), Conv(3, padding="causal"), Linear(2)), 3),
    Case("parallel-strided", Parallel(Conv(3, kernel=5, stride=2), Pool(2), Serial(Conv(3), Pool(2)), merge="add"), 3),
    Case("parallel-gate", Parallel(Conv(3, kernel=7), GRU(3), merge="gate"), 3),
    Case("parallel-to-one-frame", Parallel(Serial(LSTM(3), GlobalPool("last")), Serial(Conv(4), GlobalPool("mean"))), 3),
    Case("residual", Residual(Serial(Conv(3, kernel=5), Activation("relu"), Conv(3, kernel=3, dilation=2))), 3),
    Case("residual-nested", Residual(Serial(Residual(Conv(3, kernel=3)), GRU(3), Residual(Pool(3, stride=1)))), 3),
)
