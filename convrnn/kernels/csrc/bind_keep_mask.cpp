// keep_mask for Python: checks shapes, releases the GIL, calls.

#include <nanobind/ndarray.h>

#include <cstdint>

#include "bindings.h"
#include "keep_mask.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace convrnn {
namespace {

using Counters = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename Real>
using Frames = nb::ndarray<Real, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <typename Real>
void fill(const Counters &seed, const Counters &clock, uint64_t threshold, double scale, const Frames<Real> &out) {
    const size_t rows = out.shape(0), frames = out.shape(1), channels = out.shape(2);
    if (seed.shape(0) != rows || clock.shape(0) != rows) {
        throw nb::value_error("keep_mask: seed and clock must have one entry for each row of out");
    }
    const int64_t *seeds = seed.data(), *clocks = clock.data();
    Real *target = out.data();
    nb::gil_scoped_release release;
    keep_mask(seeds, clocks, rows, frames, channels, threshold, scale, target);
}

}  // namespace

void bind_keep_mask(nb::module_ &m) {
    // noconvert: a converted copy of out would be filled and thrown away.
    m.def("keep_mask", &fill<float>, "seed"_a.noconvert(), "clock"_a.noconvert(), "threshold"_a, "scale"_a, "out"_a.noconvert());
    m.def("keep_mask", &fill<double>, "seed"_a.noconvert(), "clock"_a.noconvert(), "threshold"_a, "scale"_a, "out"_a.noconvert());
}

}  // namespace convrnn
