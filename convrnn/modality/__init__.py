"""Modalities: raw inputs -> arrays of frames, what they learn from the training part, and augmentation. Knows no file, batch or model."""

from convrnn.modality.audio import Audio
from convrnn.modality.augment import (
    Flip,
    Jitter,
    Mixup,
    Noise,
    Rotate,
    Scale,
    Scaling,
    Shift,
    TimeWarp,
    WindowSlice,
    WordDropout,
    augment,
    augment_batch,
    check_augmentations,
)
from convrnn.modality.augment_sound import Delay, Gain, Hiss, SpecAugment
from convrnn.modality.base import Augmentation, Collated, Examples, Modality, modality_for
from convrnn.modality.image import Image
from convrnn.modality.series import Series
from convrnn.modality.sound import Resampler, Sound
from convrnn.modality.text import Text

__all__ = [
    "Audio",
    "Augmentation",
    "Collated",
    "Delay",
    "Examples",
    "Flip",
    "Gain",
    "Hiss",
    "Image",
    "Jitter",
    "Mixup",
    "Modality",
    "Noise",
    "Resampler",
    "Rotate",
    "Scale",
    "Scaling",
    "Series",
    "Shift",
    "Sound",
    "SpecAugment",
    "Text",
    "TimeWarp",
    "WindowSlice",
    "WordDropout",
    "augment",
    "augment_batch",
    "check_augmentations",
    "modality_for",
]
