"""Sound files -> recordings of one channel, through soundfile (libsndfile). Knows no folder and no label."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

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
        problem = tr("the recording is cut off: its header promises {lacking:,} bytes more", lacking=lacking)
        raise DataError(where, problem, tr("copy or download it again, or remove it"))
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        problem = tr("expected a recording, got {got} bytes that are none or damaged", got=len(data))
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
    """Bytes that a file promises in its header and does not have; libsndfile would read what there is and say nothing.

    FLAC's decoder says it itself; MP3 promises nothing, nor does Ogg what pages are to follow.
    """
    form, sort = data[:4], data[8:12]
    if form in (b"RIFF", b"RF64") and sort == b"WAVE":
        return _of_chunks(data, b"data", "little")
    if form == b"FORM" and sort in (b"AIFF", b"AIFC"):
        return _of_chunks(data, b"SSND", "big")
    if form in (b".snd", b"dns."):
        order = "big" if form == b".snd" else "little"
        begin, size = (int.from_bytes(data[place : place + 4], order) for place in (4, 8))
        return 0 if size >= _STREAMED else begin + size - len(data)
    return _of_pages(data) if form == b"OggS" else 0


def _of_chunks(data: bytes, sounding: bytes, order: Literal["little", "big"]) -> int:
    """The same of WAV, of its long form RF64, whose true size stands in `ds64`, and of AIFF."""
    place, long = 12, 0
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], order)
        if name == b"ds64":
            long = int.from_bytes(data[place + 16 : place + 24], "little")
        if name == sounding:
            size = long if size >= _STREAMED else size
            return place + 8 + size - len(data) if size else 0
        place += 8 + size + size % 2
    return 0


def _of_pages(data: bytes) -> int:
    """The same of Ogg: of the page in which it ends; 27 bytes, the last of them the number of sizes, the sizes, and so many bytes."""
    place = 0
    while data[place : place + 4] == b"OggS":
        sizes = data[place + 27 : place + 27 + data[place + 26]] if place + 27 <= len(data) else b""
        place += 27 + len(sizes) + sum(sizes)
    return place - len(data)
