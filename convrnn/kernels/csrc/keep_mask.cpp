// Counter-based keep masks with the mixing function of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014, https://doi.org/10.1145/2660193.2660195). Knows nothing of Python, tensors or threads.
//
// Why a counter and not a generator: the mask of a frame must not depend on how many frames, rows or chunks were drawn before it.

#include "keep_mask.h"

namespace convrnn {
namespace {

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15u;

inline uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

template <typename Real>
void fill(const int64_t *seed, const int64_t *clock, size_t rows, size_t frames, size_t channels, uint64_t threshold, double scale,
          Real *out) {
    const Real kept = static_cast<Real>(scale);
    for (size_t b = 0; b < rows; ++b) {
        const uint64_t row = mix(static_cast<uint64_t>(seed[b]) + kGolden);
        for (size_t t = 0; t < frames; ++t) {
            const uint64_t frame = mix(row + (static_cast<uint64_t>(clock[b]) + t) * kGolden);
            for (size_t c = 0; c < channels; ++c) {
                *out++ = (mix(frame + (c + 1) * kGolden) >> 11) < threshold ? kept : Real(0);
            }
        }
    }
}

}  // namespace

void keep_mask(const int64_t *seed, const int64_t *clock, size_t rows, size_t frames, size_t channels, uint64_t threshold, double scale,
               float *out) {
    fill(seed, clock, rows, frames, channels, threshold, scale, out);
}

void keep_mask(const int64_t *seed, const int64_t *clock, size_t rows, size_t frames, size_t channels, uint64_t threshold, double scale,
               double *out) {
    fill(seed, clock, rows, frames, channels, threshold, scale, out);
}

}  // namespace convrnn
