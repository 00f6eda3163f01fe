"""Arrays of measurements: offset and spread of each channel, and numbers in place of missing values. Knows no modality.

Shape legend: T frames, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

# ---- scaling


def statistics(values_TC: Doubles, scale: str, unseen: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Offset, spread and mean of each channel, missing values left out; a channel without any value takes its mean from `unseen`."""
    offsets, spreads, means = np.zeros_like(unseen), np.ones_like(unseen), unseen.copy()
    for channel in range(values_TC.shape[1]):
        seen = values_TC[:, channel]
        seen = seen[~np.isnan(seen)]
        if seen.size:
            means[channel] = seen.mean()
        if scale != "none":
            offsets[channel], spreads[channel] = _SCALE[scale](seen) if seen.size else (means[channel], 1.0)
    return offsets, spreads, means


def median_row_size(rows: Sequence[Doubles], values_TC: Doubles) -> float:
    """How large a row is beside the deviation of all frames, in the channel where that is least: half of the rows are smaller.

    The size of a row is its deviation, or how far its level is from that of the median row if that is more: levels far apart show on one
    scale, and tell much. Rows without variation do not count.
    """
    shares = [1.0]
    for channel in range(values_TC.shape[1]):
        seen = [row[:, channel][~np.isnan(row[:, channel])] for row in rows]
        found = [(float(values.mean()), size) for values in seen if (size := _deviation(values)) > 0]
        if found:
            levels, sizes = np.array(found).T
            apart = np.abs(levels - np.median(levels))
            shares.append(float(np.median(np.maximum(sizes, apart))) / _deviation(values_TC[:, channel]))
    return min(shares)


def _deviation(values: Doubles) -> float:
    """Standard deviation of the values that are there; 0 of a constant."""
    seen = values[~np.isnan(values)]
    return float(seen.std()) if seen.size and seen.min() < seen.max() else 0.0  # a computed one may be a rounding error, not 0


def _standard(seen: Doubles) -> tuple[float, float]:
    # Equal extremes tell a constant exactly; its computed deviation may be a rounding error, not 0.
    return float(seen.mean()), (float(seen.std()) if seen.min() < seen.max() else 0.0) or 1.0


def _minmax(seen: Doubles) -> tuple[float, float]:
    return float(seen.min()), float(seen.max() - seen.min()) or 1.0


def _robust(seen: Doubles) -> tuple[float, float]:
    """Median and interquartile range; where more than half the values are equal, the standard deviation in its place."""
    low, middle, high = np.quantile(seen, [0.25, 0.5, 0.75])
    return float(middle), float(high - low) or _standard(seen)[1]


_SCALE = {"standard": _standard, "minmax": _minmax, "robust": _robust}


# ---- missing values


def _fill_previous(values_TC: Doubles, missing_TC: NDArray[np.bool_], means: Doubles) -> Doubles:
    frame = np.where(missing_TC, -1, np.arange(len(values_TC))[:, None])
    last = np.maximum.accumulate(frame, axis=0)
    return np.where(last < 0, means, np.take_along_axis(values_TC, np.maximum(last, 0), axis=0))


def _fill_linear(values_TC: Doubles, missing_TC: NDArray[np.bool_], means: Doubles) -> Doubles:
    filled = np.where(missing_TC, means, values_TC)
    for channel in np.flatnonzero(missing_TC.any(axis=0) & ~missing_TC.all(axis=0)):
        gaps, seen = np.flatnonzero(missing_TC[:, channel]), np.flatnonzero(~missing_TC[:, channel])
        filled[gaps, channel] = np.interp(gaps, seen, values_TC[seen, channel])
    return filled


def _fill_mean(values_TC: Doubles, missing_TC: NDArray[np.bool_], means: Doubles) -> Doubles:
    return np.where(missing_TC, means, values_TC)


def _fill_zero(values_TC: Doubles, missing_TC: NDArray[np.bool_], means: Doubles) -> Doubles:
    return np.where(missing_TC, 0.0, values_TC)


FILL = {"previous": _fill_previous, "linear": _fill_linear, "mean": _fill_mean, "zero": _fill_zero}
