// The recurrences for Python; see bindings.h.

#include <nanobind/stl/array.h>

#include <array>
#include <new>

#include "bindings.h"
#include "recurrent.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace convrnn {
namespace {

template <typename Real>
const Real *in(uintptr_t address) { return reinterpret_cast<const Real *>(address); }

template <typename Real>
Real *out(uintptr_t address) { return reinterpret_cast<Real *>(address); }

// What kernels/compiled.py gives: the sizes and the addresses of what goes in, in the order of its function `_record`.
struct Record {
    int cell;
    bool twice, reverse, elementwise;
    int64_t rows, frames, channels, units, width;
    uintptr_t x;
    int64_t x_row, x_frame;
    uintptr_t lengths, w_x, w_h, b, state, b_h, peep, proj, drop, zone;
    int64_t zone_row, zone_frame;
    int threads;

    template <typename Real>
    Recurrence<Real> of() const {
        return {static_cast<Cell>(cell), reverse, elementwise, rows, frames, channels, units, width, in<Real>(x), x_row, x_frame,
                in<int64_t>(lengths), in<Real>(w_x), in<Real>(w_h), in<Real>(b), in<Real>(state), in<Real>(b_h), in<Real>(peep),
                in<Real>(proj), in<Real>(drop), in<Real>(zone), zone_row, zone_frame, threads};
    }
};

void check(bool done) {
    if (!done) {
        throw std::bad_alloc();
    }
}

void forward(const Record &r, uintptr_t y, uintptr_t final, uintptr_t saved) {
    nb::gil_scoped_release release;
    if (r.twice) {
        check(recurrent().forward_double(r.of<double>(), {out<double>(y), out<double>(final), out<double>(saved)}));
    } else {
        check(recurrent().forward_float(r.of<float>(), {out<float>(y), out<float>(final), out<float>(saved)}));
    }
}

template <typename Real>
Gradients<Real> gradients(uintptr_t y, uintptr_t saved, uintptr_t dy, uintptr_t dfinal, int64_t dy_row, int64_t dy_frame,
                          const std::array<uintptr_t, 8> &to) {
    return {in<Real>(y), in<Real>(saved), in<Real>(dy), in<Real>(dfinal), dy_row, dy_frame, out<Real>(to[0]), out<Real>(to[1]),
            out<Real>(to[2]), out<Real>(to[3]), out<Real>(to[4]), out<Real>(to[5]), out<Real>(to[6]), out<Real>(to[7])};
}

void backward(const Record &r, uintptr_t y, uintptr_t saved, uintptr_t dy, uintptr_t dfinal, int64_t dy_row, int64_t dy_frame,
              const std::array<uintptr_t, 8> &to) {
    nb::gil_scoped_release release;
    if (r.twice) {
        check(recurrent().backward_double(r.of<double>(), gradients<double>(y, saved, dy, dfinal, dy_row, dy_frame, to)));
    } else {
        check(recurrent().backward_float(r.of<float>(), gradients<float>(y, saved, dy, dfinal, dy_row, dy_frame, to)));
    }
}

}  // namespace

void bind_recurrent(nb::module_ &m) {
    nb::class_<Record>(m, "Record")
        .def("__init__", [](Record *self, int cell, bool twice, bool reverse, bool elementwise, int64_t rows, int64_t frames,
                            int64_t channels, int64_t units, int64_t width, uintptr_t x, int64_t x_row, int64_t x_frame,
                            uintptr_t lengths, uintptr_t w_x, uintptr_t w_h, uintptr_t b, uintptr_t state, uintptr_t b_h, uintptr_t peep,
                            uintptr_t proj, uintptr_t drop, uintptr_t zone, int64_t zone_row, int64_t zone_frame, int threads) {
            new (self) Record{cell, twice, reverse, elementwise, rows, frames, channels, units, width, x, x_row, x_frame, lengths, w_x,
                              w_h, b, state, b_h, peep, proj, drop, zone, zone_row, zone_frame, threads};
        });
    m.def("recur_forward", &forward, "record"_a, "y"_a, "final"_a, "saved"_a);
    m.def("recur_backward", &backward, "record"_a, "y"_a, "saved"_a, "dy"_a, "dfinal"_a, "dy_row"_a, "dy_frame"_a, "gradients"_a);
}

}  // namespace convrnn
