"""Types of the compiled module (csrc/module.cpp); present only where a C++ compiler built it."""

from torch import Tensor

def keep_mask(seed: Tensor, clock: Tensor, threshold: int, scale: float, out: Tensor) -> None: ...

INTERFACE: int

def isa() -> str: ...
def threads_from() -> str: ...

class Record:
    def __init__(self, *values: int) -> None: ...
    def again(self, x: int, state: int, y: int, final: int, packed: int, packed_before: bool, threads: int) -> None: ...

# Of one recurrence or two; addresses and strides in the order of csrc/bind_recurrent.cpp.
def recur_packed_bytes(record: Record) -> int: ...
def recur_forward(records: list[Record], written: list[tuple[int, ...]]) -> None: ...
def recur_backward(records: list[Record], derived: list[tuple[int, ...]]) -> None: ...

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
