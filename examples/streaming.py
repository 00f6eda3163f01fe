"""One model, two ways to run it: the whole row at once, or a live stream in chunks of any size. The frames are the same."""

import torch
from torch import Tensor

import convrnn as cr


def frames_of(out: cr.Seq) -> Tensor:
    """The frames of the one row there is: `lengths` counts them, None means that all are valid."""
    return out.values if out.lengths is None else out.values[:, : int(out.lengths)]


spec = cr.Serial(
    cr.Conv(32, kernel=5, stride=2, padding="causal"),  # every second frame, looks back only
    cr.Activation("relu"),
    cr.Residual(cr.Conv(32, kernel=3)),  # looks one frame ahead: the skip waits for it
    cr.GRU(64),
    cr.Linear(10),
)
net = spec.build(8).eval()  # 8 channels in
row = torch.randn(1, 100, 8)
with torch.inference_mode():
    offline = net(cr.Seq(row)).seq.values

stream = net.stream()
pieces = []
for chunk in row.split([1, 30, 2, 47, 20], dim=1):
    pieces.append(frames_of(stream.push(chunk)))
    print(f"{chunk.shape[1]:2} frames in, {pieces[-1].shape[1]:2} out, {net.lookahead} frames behind at most")
pieces.append(frames_of(stream.finish()))

live = torch.cat(pieces, 1)
print(f"{live.shape[1]} frames both ways, largest difference {float((live - offline).abs().max()):.1e}")

try:
    cr.LSTM(16, bidirectional=True).build(8).stream()
except cr.NotStreamable as error:
    print(error)
