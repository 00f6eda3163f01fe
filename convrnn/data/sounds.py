"""Sound files -> recordings of one channel, through soundfile (libsndfile). Knows no folder and no label."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from convrnn.core.errors import DataError
from convrnn.core.language import tr
from convrnn.modality import Sound

SOUND = re.compile(r"(?i)\.(wav|wave|flac|ogg|oga|opus|mp3|aiff?|au)$")
"""Names of sound files."""

_STREAMED = 0x7FFF_0000
"""Sizes from here on are what programs write into a header when they cannot know the length."""


def is_sound(data: bytes) -> bool:
    """Whether bytes begin as a WAV, FLAC, Ogg or AIFF file does."""
    return (data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE") or data[:4] in (b"fLaC", b"OggS") or data[8:12] in (b"AIFF", b"AIFC")


def sound(data: bytes, where: str) -> Sound:
    """A recording: samples float32, full scale 1, whatever the file has (8 to 32 bits, floats); several channels are averaged.

    Raises:
        DataError: soundfile is not installed; the file is damaged, cut off or holds no sample, or one that is no number.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there, the library libsndfile is not
        remedy = tr("pip install 'convrnn[audio]'")
        raise DataError(where, tr("recordings need soundfile, which is not installed"), remedy) from error
    lacking = _lacking(data)
    if lacking > 0:
        problem = f"the recording is cut off: its header promises {lacking:,} bytes more"
        raise DataError(where, problem, tr("copy or download it again, or remove it"))
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        problem = f"expected a recording, got {len(data)} bytes that are none or damaged"
        raise DataError(where, problem, tr("replace or remove the file")) from error
    if not len(samples):
        raise DataError(where, tr("the recording holds no sample"), tr("remove the file"))
    recorded = Sound(samples.mean(axis=1), int(rate), samples.shape[1])
    if not abs(float(recorded.samples.sum(dtype="float64"))) < float("inf"):
        raise DataError(where, tr("expected finite samples, got some that are not"), tr("mend or remove the recording"))
    return recorded


def sound_notes(name: str, sounds: Sequence[Any]) -> tuple[str, ...]:
    """How many recordings have more than one channel."""
    counts = Counter(each.channels for each in sounds if each.channels > 1)
    return tuple(
        tr(
            "{name}: {count:,} of {all:,} recordings have {channels} channels; their mean is taken",
            name=name,
            count=count,
            all=len(sounds),
            channels=channels,
        )
        for channels, count in sorted(counts.items())
    )


def sound_facts(sounds: Sequence[Any]) -> dict[str, Any]:
    """Durations in seconds, and how many recordings have which rate and how many channels."""
    seconds = sorted(each.seconds for each in sounds)
    return {
        "seconds": {"min": seconds[0], "median": seconds[len(seconds) // 2], "max": seconds[-1], "total": sum(seconds)},
        "rates": {str(rate): count for rate, count in sorted(Counter(each.rate for each in sounds).items())},
        "channels": {str(number): count for number, count in sorted(Counter(each.channels for each in sounds).items())},
    }


def _lacking(data: bytes) -> int:
    """Bytes that a WAV file promises in its header and does not have; libsndfile would read what there is and say nothing."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return 0
    place = 12
    while place + 8 <= len(data):
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        if data[place : place + 4] == b"data":
            return 0 if size >= _STREAMED else place + 8 + size - len(data)
        place += 8 + size + size % 2
    return 0
