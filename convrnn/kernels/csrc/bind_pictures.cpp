// The recurrences over pictures for Python; see bindings.h.

#include <nanobind/stl/array.h>

#include <array>
#include <new>

#include "bindings.h"
#include "pictures.h"

namespace nb = nanobind;

namespace convrnn {
namespace {

template <typename Real>
const Real *in(uintptr_t address) { return reinterpret_cast<const Real *>(address); }

template <typename Real>
Real *out(uintptr_t address) { return reinterpret_cast<Real *>(address); }

// What kernels/pictures.py gives, in the order of its functions: rows, frames, height, width, channels, units, x_row, x_frame; and the
// addresses of x, lengths, w_x, w_h, b, state, b_h, peep.
using Sizes = std::array<int64_t, 8>;
using Given = std::array<uintptr_t, 8>;

template <typename Real>
Pictures<Real> pictures(int cell, bool reverse, const Sizes &s, const Given &at, int threads) {
    return {static_cast<Cell>(cell), reverse, s[0], s[1], s[2], s[3], s[4], s[5], in<Real>(at[0]), s[6], s[7], in<int64_t>(at[1]),
            in<Real>(at[2]), in<Real>(at[3]), in<Real>(at[4]), in<Real>(at[5]), in<Real>(at[6]), in<Real>(at[7]), threads};
}

template <typename Real>
PicturesBack<Real> gradients(const std::array<uintptr_t, 4> &seen, int64_t dy_row, int64_t dy_frame, const std::array<uintptr_t, 7> &to) {
    return {in<Real>(seen[0]), in<Real>(seen[1]), in<Real>(seen[2]), in<Real>(seen[3]), dy_row, dy_frame, out<Real>(to[0]),
            out<Real>(to[1]), out<Real>(to[2]), out<Real>(to[3]), out<Real>(to[4]), out<Real>(to[5]), out<Real>(to[6])};
}

void check(bool done) {
    if (!done) {
        throw std::bad_alloc();
    }
}

}  // namespace

void bind_pictures(nb::module_ &m) {
    m.def("pictures_forward", [](int cell, bool twice, bool reverse, const Sizes &sizes, const Given &given, int threads,
                                 const std::array<uintptr_t, 3> &to) {
        nb::gil_scoped_release release;
        if (twice) {
            check(over_pictures().forward_double(pictures<double>(cell, reverse, sizes, given, threads),
                                                 {out<double>(to[0]), out<double>(to[1]), out<double>(to[2])}));
        } else {
            check(over_pictures().forward_float(pictures<float>(cell, reverse, sizes, given, threads),
                                                {out<float>(to[0]), out<float>(to[1]), out<float>(to[2])}));
        }
    });
    m.def("pictures_backward", [](int cell, bool twice, bool reverse, const Sizes &sizes, const Given &given, int threads,
                                  const std::array<uintptr_t, 4> &seen, int64_t dy_row, int64_t dy_frame,
                                  const std::array<uintptr_t, 7> &to) {
        nb::gil_scoped_release release;
        if (twice) {
            check(over_pictures().backward_double(pictures<double>(cell, reverse, sizes, given, threads),
                                                  gradients<double>(seen, dy_row, dy_frame, to)));
        } else {
            check(over_pictures().backward_float(pictures<float>(cell, reverse, sizes, given, threads),
                                                 gradients<float>(seen, dy_row, dy_frame, to)));
        }
    });
}

}  // namespace convrnn
