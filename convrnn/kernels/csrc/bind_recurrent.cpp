// The recurrences for Python; see bindings.h.

#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <new>
#include <stdexcept>
#include <vector>

#include "bindings.h"
#include "recurrent.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace convrnn {
namespace {

template <typename Real>
Real *at(uintptr_t address) { return reinterpret_cast<Real *>(address); }

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
    uintptr_t packed;
    bool packed_before;

    template <typename Real>
    Recurrence<Real> of() const {
        return {static_cast<Cell>(cell), reverse, elementwise, rows, frames, channels, units, width, at<Real>(x), x_row, x_frame,
                at<int64_t>(lengths), at<Real>(w_x), at<Real>(w_h), at<Real>(b), at<Real>(state), at<Real>(b_h), at<Real>(peep),
                at<Real>(proj), at<Real>(drop), at<Real>(zone), zone_row, zone_frame, threads, at<Real>(packed), packed_before};
    }
};

// y, final, saved; how far rows and frames of y are apart.
typedef std::array<int64_t, 5> Written;

// y, saved, dy, dfinal; how far rows and frames of y and of dy are apart; the gradients of x, w_x, w_h, b, state, b_h, peep, proj.
typedef std::array<int64_t, 16> Derived;

template <typename Real>
Outputs<Real> outputs(const Written &a) { return {at<Real>(a[0]), at<Real>(a[1]), at<Real>(a[2]), a[3], a[4]}; }

template <typename Real>
Gradients<Real> gradients(const Derived &a) {
    return {at<Real>(a[0]),  at<Real>(a[1]),  at<Real>(a[2]),  at<Real>(a[3]),  a[4],           a[5],           a[6],           a[7],
            at<Real>(a[8]),  at<Real>(a[9]),  at<Real>(a[10]), at<Real>(a[11]), at<Real>(a[12]), at<Real>(a[13]), at<Real>(a[14]),
            at<Real>(a[15])};
}

template <typename Real, typename Addresses, typename To>
void run(bool (*function)(const Recurrence<Real> *, const To *, int), const std::vector<Record> &records,
         const std::vector<Addresses> &addresses, To (*of)(const Addresses &)) {
    const size_t count = records.size();
    if (count < 1 || count > 2 || addresses.size() != count) {
        throw std::invalid_argument("one recurrence or two");
    }
    const size_t last = count - 1;
    const Recurrence<Real> r[] = {records[0].of<Real>(), records[last].of<Real>()};
    const To to[] = {of(addresses[0]), of(addresses[last])};
    if (!function(r, to, static_cast<int>(count))) {
        throw std::bad_alloc();
    }
}

void forward(const std::vector<Record> &records, const std::vector<Written> &written) {
    nb::gil_scoped_release release;
    if (records.at(0).twice) {
        run(recurrent().twice.forward, records, written, outputs<double>);
    } else {
        run(recurrent().single.forward, records, written, outputs<float>);
    }
}

void backward(const std::vector<Record> &records, const std::vector<Derived> &derived) {
    nb::gil_scoped_release release;
    if (records.at(0).twice) {
        run(recurrent().twice.backward, records, derived, gradients<double>);
    } else {
        run(recurrent().single.backward, records, derived, gradients<float>);
    }
}

int64_t packed_bytes(const Record &record) {
    return record.twice ? recurrent().twice.packed_bytes(record.of<double>()) : recurrent().single.packed_bytes(record.of<float>());
}

}  // namespace

void bind_recurrent(nb::module_ &m) {
    nb::class_<Record>(m, "Record")
        .def("__init__", [](Record *self, int cell, bool twice, bool reverse, bool elementwise, int64_t rows, int64_t frames,
                            int64_t channels, int64_t units, int64_t width, uintptr_t x, int64_t x_row, int64_t x_frame,
                            uintptr_t lengths, uintptr_t w_x, uintptr_t w_h, uintptr_t b, uintptr_t state, uintptr_t b_h, uintptr_t peep,
                            uintptr_t proj, uintptr_t drop, uintptr_t zone, int64_t zone_row, int64_t zone_frame, int threads) {
            new (self) Record{cell, twice, reverse, elementwise, rows, frames, channels, units, width, x, x_row, x_frame, lengths, w_x,
                              w_h, b, state, b_h, peep, proj, drop, zone, zone_row, zone_frame, threads, 0, false};
        })
        .def("keep_packed", [](Record &self, uintptr_t packed, bool before) { self.packed = packed, self.packed_before = before; });
    m.def("recur_packed_bytes", &packed_bytes, "record"_a);
    m.def("recur_forward", &forward, "records"_a, "written"_a);
    m.def("recur_backward", &backward, "records"_a, "derived"_a);
}

}  // namespace convrnn
