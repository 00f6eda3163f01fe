// The Python module convrnn.kernels._native: checks shapes, releases the GIL, calls. Knows nothing of the mathematics, nor of torch:
// tensors arrive by DLPack, so nothing links against torch and one build serves every torch version.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>

#include "keep_mask.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Counters = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename Real>
using Frames = nb::ndarray<Real, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <typename Real>
void keep_mask(const Counters &seed, const Counters &clock, uint64_t threshold, double scale, const Frames<Real> &out) {
    const size_t rows = out.shape(0), frames = out.shape(1), channels = out.shape(2);
    if (seed.shape(0) != rows || clock.shape(0) != rows) {
        throw nb::value_error("keep_mask: seed and clock must have one entry for each row of out");
    }
    const int64_t *seeds = seed.data(), *clocks = clock.data();
    Real *target = out.data();
    nb::gil_scoped_release release;
    convrnn::keep_mask(seeds, clocks, rows, frames, channels, threshold, scale, target);
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Compiled kernels of convrnn; each has a reference in Python that gives the same result.";
    // noconvert: a converted copy of out would be filled and thrown away.
    m.def("keep_mask", &keep_mask<float>, "seed"_a.noconvert(), "clock"_a.noconvert(), "threshold"_a, "scale"_a, "out"_a.noconvert());
    m.def("keep_mask", &keep_mask<double>, "seed"_a.noconvert(), "clock"_a.noconvert(), "threshold"_a, "scale"_a, "out"_a.noconvert());
}
