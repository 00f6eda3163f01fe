"""Types of the compiled module (csrc/module.cpp); present only where a C++ compiler built it."""

from torch import Tensor

def keep_mask(seed: Tensor, clock: Tensor, threshold: int, scale: float, out: Tensor) -> None: ...

INTERFACE: int

def isa() -> str: ...
def threads_from() -> str: ...

class Record:
    def __init__(self, *values: int) -> None: ...

def recur_forward(record: Record, y: int, final: int, saved: int) -> None: ...
def recur_backward(record: Record, y: int, saved: int, dy: int, dfinal: int, dy_row: int, dy_frame: int, gradients: list[int]) -> None: ...

class WindowRecord:
    def __init__(self, *values: int) -> None: ...

def conv_forward(record: WindowRecord, features: int, *addresses: int) -> None: ...
def conv_backward(record: WindowRecord, features: int, *addresses: int) -> None: ...
def pool_forward(record: WindowRecord, maximum: bool, *addresses: int) -> None: ...
def pool_backward(record: WindowRecord, maximum: bool, *addresses: int) -> None: ...
def frame_sums(record: WindowRecord, *addresses: int) -> None: ...
def frame_affine(record: WindowRecord, addresses: list[int]) -> None: ...

# Addresses, sizes and switches, in the order of csrc/bind_lattice.cpp.
def crf_log_partition(*numbers: int) -> None: ...
def crf_expect(*numbers: int) -> None: ...
def crf_viterbi(*numbers: int) -> None: ...
def ctc_search(*numbers: float) -> CtcFound: ...

class CtcFound:
    def longest(self) -> int: ...
    def write(self, *addresses: int) -> None: ...

def scan_forward(
    cell: str,
    wide: bool,
    rows: int,
    frames: int,
    units: int,
    lengths: int,
    reverse: bool,
    threads: int,
    gates: int,
    apart: int,
    carry: int,
    memory: int,
    h: int,
) -> None: ...
def scan_backward(
    cell: str,
    wide: bool,
    rows: int,
    frames: int,
    units: int,
    lengths: int,
    reverse: bool,
    threads: int,
    gates: int,
    apart: int,
    carry: int,
    memory: int,
    state: int,
    dh: int,
    dgates: int,
    dapart: int,
) -> None: ...
