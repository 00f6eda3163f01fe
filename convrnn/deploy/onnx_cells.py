"""`convrnn::recur` as ONNX nodes GRU, LSTM and RNN with `sequence_lens`: how the weights lie there. Knows no layer; loaded only to export.

Gates lie in blocks of H rows, in ONNX in the order `z r h` (GRU) and `i o f c` (LSTM, whose peepholes are `i o f`); ours are
`r z n` and `i f g o`. ONNX couples as f = 1 - i, we as i = 1 - f: since 1 - sigmoid(a) = sigmoid(-a), its i takes the negative of our f.
"""

from __future__ import annotations

from typing import Any

from onnxscript import opset18

op: Any = opset18  # its stubs describe one concrete type where symbolic values flow


_BLOCKS = {
    "rnn_tanh": (0,),
    "rnn_relu": (0,),
    "gru": (1, 0, 2),
    "gru_before": (1, 0, 2),
    "lstm": (0, 3, 1, 2),
    "lstm_coupled": (0, 2, 0, 1),
}
"""Which of our blocks stands where in ONNX. The forget gate of a coupled cell is there and never read."""

_PEEPHOLES = {"lstm": (0, 2, 1), "lstm_coupled": (0, 1, 0)}


def recur(
    cell: str,
    x: Any,
    lengths: Any,
    w_x: Any,
    w_h: Any,
    b: Any,
    state: Any,
    b_h: Any,
    peep: Any,
    proj: Any,
    drop: Any,
    zone: Any,
    reverse: bool,
    save: bool,
) -> tuple[Any, Any, Any]:
    """One node, for the recurrences of which `kernels.dispatch.has_onnx_operator` is true.

    Returns:
        y `[B, T, H]`, the final state `[B, K]`, and what backward needs, which no graph uses.
    """
    assert proj is None and drop is None and zone is None and w_x is not None
    units = w_h.shape[1]
    axis = op.Constant(value_ints=[0])
    counts = _every_frame(x) if lengths is None else lengths
    coupled = cell == "lstm_coupled"
    inputs = [
        op.Transpose(x, perm=[1, 0, 2]),
        op.Unsqueeze(_arranged(cell, w_x, units), axis),
        op.Unsqueeze(_arranged(cell, w_h, units), axis),
        op.Unsqueeze(_biases(cell, b, b_h, units), axis),
        op.Cast(counts, to=6),
    ]
    options: dict[str, Any] = {"hidden_size": units, "direction": "reverse" if reverse else "forward"}
    if cell in _PEEPHOLES:
        h, c = op.Split(op.Unsqueeze(state, axis), num_outputs=2, axis=-1)
        peepholes = None if peep is None else op.Unsqueeze(_peepholes(cell, peep, units), axis)
        y, h, c = op.LSTM(*inputs, h, c, peepholes, input_forget=int(coupled), **options)
        last = op.Concat(h, c, axis=-1)
    elif cell in ("gru", "gru_before"):
        y, last = op.GRU(*inputs, op.Unsqueeze(state, axis), linear_before_reset=int(cell == "gru"), **options)
    else:
        y, last = op.RNN(*inputs, op.Unsqueeze(state, axis), activations=["Tanh" if cell == "rnn_tanh" else "Relu"], **options)
    # ONNX Runtime 1.22 to 1.31 gives a row of no frames the state zero; a row that pauses keeps its own.
    paused = op.Unsqueeze(op.Equal(counts, op.Constant(value_int=0)), op.Constant(value_ints=[1]))
    final = op.Where(paused, state, op.Squeeze(last, axis))
    return op.Transpose(op.Squeeze(y, op.Constant(value_ints=[1])), perm=[1, 0, 2]), final, op.Identity(state)


def _rows(blocks: tuple[int, ...], units: int) -> Any:
    """The rows of blocks of H, in this order."""
    return op.Constant(value_ints=[block * units + row for block in blocks for row in range(units)])


def _arranged(cell: str, values: Any, units: int) -> Any:
    """`[G, ...]` in the order of ONNX."""
    rows = op.Gather(values, _rows(_BLOCKS[cell], units), axis=0)
    if cell != "lstm_coupled":
        return rows
    signs = op.Constant(value_floats=[-1.0] * units + [1.0] * 3 * units)
    return op.Mul(rows, signs if len(values.shape) == 1 else op.Unsqueeze(signs, op.Constant(value_ints=[1])))


def _peepholes(cell: str, peep: Any, units: int) -> Any:
    """`[3 H]` from `[gates that see c, H]`."""
    flat = op.Reshape(peep, op.Constant(value_ints=[-1]))
    rows = op.Gather(flat, _rows(_PEEPHOLES[cell], units), axis=0)
    return rows if cell == "lstm" else op.Mul(rows, op.Constant(value_floats=[-1.0] * units + [1.0] * 2 * units))


def _biases(cell: str, b: Any, b_h: Any, units: int) -> Any:
    """Of the input's product, then of the state's: only the reset of `gru` has one there, in the last block."""
    blocks = len(_BLOCKS[cell])
    of_input = _zeros(blocks * units) if b is None else _arranged(cell, b, units)
    of_state = _zeros(blocks * units) if b_h is None else op.Concat(_zeros((blocks - 1) * units), b_h, axis=0)
    return op.Concat(of_input, of_state, axis=0)


def _zeros(count: int) -> Any:
    return op.Constant(value_floats=[0.0] * count)


def _every_frame(x: Any) -> Any:
    """int64 `[B]`: all frames of every row."""
    batch, frames, _ = op.Split(op.Shape(x), num_outputs=3, axis=0)
    return op.Expand(frames, batch)
