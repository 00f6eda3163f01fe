// The linear recurrences for Python: finds the cell, chooses the number of parts, releases the GIL, calls. Knows no equation.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "bindings.h"
#include "parallel.h"
#include "scan.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace convrnn {
namespace {

// An address as Python has it, 0 for none.
typedef uintptr_t Address;

// Numbers of a part below which another thread costs more than it brings: waking one takes some microseconds.
constexpr size_t kGrain = size_t(1) << 15;

const ScanCell &find(const char *name) {
    const ScanCells &cells = scan_cells();
    for (size_t i = 0; i < cells.count; ++i) {
        if (!std::strcmp(cells.first[i].name, name)) {
            return cells.first[i];
        }
    }
    throw nb::value_error("scan: no such cell");
}

template <typename Real>
Real *at(Address address) {
    return reinterpret_cast<Real *>(address);
}

struct Shape {
    size_t rows, frames, units;
    Address lengths;
    bool reverse;
    int threads;
};

// What both directions have; the rest is null.
template <typename Real>
Scan<Real> common(const Shape &shape, Address gates, Address apart, Address carry, Address memory) {
    Scan<Real> scan{};
    scan.rows = shape.rows;
    scan.frames = shape.frames;
    scan.units = shape.units;
    scan.lengths = at<const int64_t>(shape.lengths);
    scan.reverse = shape.reverse;
    const size_t worth = 1 + shape.rows * shape.frames * shape.units / kGrain;
    scan.parts = static_cast<int>(std::min(worth, static_cast<size_t>(std::max(shape.threads, 1))));
    scan.gates = at<const Real>(gates);
    scan.apart = at<const Real>(apart);
    scan.carry = at<double>(carry);
    scan.memory = at<Real>(memory);
    return scan;
}

template <typename Real>
void forward(ScanLoop *loop, Scan<Real> scan, Address h) {
    scan.h = at<Real>(h);
    nb::gil_scoped_release release;
    parallel(scan.parts, loop, &scan);
}

template <typename Real>
void backward(ScanLoop *loop, Scan<Real> scan, Address state, Address dh, Address dgates, Address dapart) {
    scan.state = at<const Real>(state);
    scan.dh = at<const Real>(dh);
    scan.dgates = at<Real>(dgates);
    scan.dapart = at<Real>(dapart);
    nb::gil_scoped_release release;
    parallel(scan.parts, loop, &scan);
}

void scan_forward(const char *name, bool wide, size_t rows, size_t frames, size_t units, Address lengths, bool reverse, int threads,
                  Address gates, Address apart, Address carry, Address memory, Address h) {
    const ScanCell &cell = find(name);
    const Shape shape{rows, frames, units, lengths, reverse, threads};
    if (wide) {
        forward(cell.forward_double, common<double>(shape, gates, apart, carry, memory), h);
    } else {
        forward(cell.forward_float, common<float>(shape, gates, apart, carry, memory), h);
    }
}

void scan_backward(const char *name, bool wide, size_t rows, size_t frames, size_t units, Address lengths, bool reverse, int threads,
                   Address gates, Address apart, Address carry, Address memory, Address state, Address dh, Address dgates,
                   Address dapart) {
    const ScanCell &cell = find(name);
    const Shape shape{rows, frames, units, lengths, reverse, threads};
    if (wide) {
        backward(cell.backward_double, common<double>(shape, gates, apart, carry, memory), state, dh, dgates, dapart);
    } else {
        backward(cell.backward_float, common<float>(shape, gates, apart, carry, memory), state, dh, dgates, dapart);
    }
}

}  // namespace

void bind_scan(nb::module_ &m) {
    m.def("scan_forward", &scan_forward, "cell"_a, "wide"_a, "rows"_a, "frames"_a, "units"_a, "lengths"_a, "reverse"_a, "threads"_a,
          "gates"_a, "apart"_a, "carry"_a, "memory"_a, "h"_a);
    m.def("scan_backward", &scan_backward, "cell"_a, "wide"_a, "rows"_a, "frames"_a, "units"_a, "lengths"_a, "reverse"_a, "threads"_a,
          "gates"_a, "apart"_a, "carry"_a, "memory"_a, "state"_a, "dh"_a, "dgates"_a, "dapart"_a);
}

}  // namespace convrnn
