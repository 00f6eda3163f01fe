// Dropout masks as a pure function of numbers. Knows nothing of Python, tensors or threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace convrnn {

// Writes out[b, t, c] = scale if hash(seed[b], clock[b] + t, c) >> 11 is below threshold, else 0; out is dense [rows, frames, channels].
// All integer arithmetic is modulo 2^64, as in the torch reference (kernels/native.py), so both give the same bits.
void keep_mask(const int64_t *seed, const int64_t *clock, size_t rows, size_t frames, size_t channels, uint64_t threshold, double scale,
               float *out);
void keep_mask(const int64_t *seed, const int64_t *clock, size_t rows, size_t frames, size_t channels, uint64_t threshold, double scale,
               double *out);

}  // namespace convrnn
