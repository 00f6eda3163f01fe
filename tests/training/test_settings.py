"""Settings: stored and short form, and one line for each mistake. Knows no training."""

from __future__ import annotations

import subprocess
import sys

import pytest

from convrnn.core.errors import SpecError
from convrnn.modality import Jitter, Mixup
from convrnn.training import Settings


@pytest.mark.parametrize("settings", [Settings(), Settings(epochs=3, clip=None, patience=None, augment=(Jitter(0.1), Mixup()))])
def test_both_forms_come_back(settings: Settings) -> None:
    assert Settings.from_json(settings.to_json()) == settings
    assert Settings.from_yaml(settings.to_yaml()) == settings
    assert eval(repr(settings)) == settings


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rat": 1.0}, "training.rat: no such field; did you mean 'rate'?"),
        ({"rate": "x"}, "training.rate: expected number, got 'x'"),
        ({"rate": 0.0}, "training.rate: expected a value greater than 0, got 0.0"),
        ({"rate": float("nan")}, "training.rate: expected a finite number, got nan"),
        ({"epochs": 0}, "training.epochs: expected a value greater than or equal to 1, got 0"),
        ({"epochs": 10**23}, "training.epochs: expected a value less than or equal to 1000000000, got 100000000000000000000000"),
        ({"epochs": 2.5}, "training.epochs: expected integer, got 2.5"),
        ({"momentum": 1.0}, "training.momentum: expected a value less than 1, got 1.0"),
        (
            {"schedule": "cos"},
            "training.schedule: expected 'constant', 'step', 'exponential', 'cosine', 'one_cycle' or 'plateau', got 'cos'",
        ),
        ({"device": "gpu"}, "training.device: expected auto, cpu, cuda or cuda:N, got 'gpu'; choose one of them"),
        ({"nesterov": True}, "training.nesterov: needs sgd with momentum, got adam with 0.9; leave it out"),
        (
            {"nesterov": True, "optimizer": "sgd", "momentum": 0.0},
            "training.nesterov: needs sgd with momentum, got sgd with 0.0; leave it out",
        ),
        (
            {"warmup": 5, "schedule": "one_cycle"},
            "training.warmup: one_cycle rises by itself; leave warmup out, or choose another schedule",
        ),
        ({"decay": 0.1}, "training.decay: has no effect with schedule cosine; leave it out, or choose step, exponential or plateau"),
        (
            {"floor": 0.1, "schedule": "constant"},
            "training.floor: has no effect with schedule constant; leave it out, or choose cosine, one_cycle or plateau",
        ),
        ({"beta2": 0.9, "optimizer": "sgd"}, "training.beta2: has no effect with optimizer sgd; leave it out, or choose adam or adamw"),
    ],
)
def test_one_line_for_each_mistake(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Settings.from_dict({"settings": "training", **fields})
    assert str(caught.value) == message


def test_differences() -> None:
    one, other = Settings(rate=0.1, checkpoint_minutes=1.0), Settings(rate=0.2, checkpoint_minutes=2.0, seed=4)
    assert one.differences(other) == {"rate": (0.1, 0.2), "seed": (0, 4)}


def test_no_torch() -> None:
    """A command line that only checks settings does not wait for torch."""
    code = "import sys; from convrnn.training import Settings; Settings(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
