// Steps without products for Python; see bindings.h. A table is a pair of numbers, its address and how far its rows are apart.

#include <nanobind/stl/pair.h>

#include <utility>

#include "bindings.h"
#include "steps.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace convrnn {
namespace {

using Where = std::pair<uintptr_t, int64_t>;

template <typename Real>
Table<Real> table(const Where &where) { return {reinterpret_cast<Real *>(where.first), where.second}; }

template <typename Real>
Step<Real> step(int cell, bool reset, int64_t rows, int64_t units, int threads, const Where &gates, const Where &sums, const Where &h,
                const Where &c, uintptr_t b_h, uintptr_t peep, int64_t peep_rows, const Where &saved, const Where &new_h,
                const Where &new_c) {
    return {static_cast<Cell>(cell), reset, rows, units, threads, table<Real>(gates), table<Real>(sums), table<Real>(h), table<Real>(c),
            reinterpret_cast<const Real *>(b_h), reinterpret_cast<const Real *>(peep), peep_rows, table<Real>(saved),
            table<Real>(new_h), table<Real>(new_c)};
}

template <typename Real>
StepBack<Real> back(int cell, bool reset, int64_t rows, int64_t units, int threads, const Where &out, const Where &h, const Where &c,
                    const Where &saved, const Where &d_gates, const Where &d_sums, const Where &dh, const Where &dc, uintptr_t peep,
                    int64_t peep_rows) {
    return {static_cast<Cell>(cell), reset, rows, units, threads, table<Real>(out), table<Real>(h), table<Real>(c), table<Real>(saved),
            table<Real>(d_gates), table<Real>(d_sums), table<Real>(dh), table<Real>(dc), reinterpret_cast<const Real *>(peep),
            peep_rows};
}

}  // namespace

void bind_steps(nb::module_ &m) {
    m.def("step_forward", [](bool twice, int cell, bool reset, int64_t rows, int64_t units, int threads, const Where &gates,
                             const Where &sums, const Where &h, const Where &c, uintptr_t b_h, uintptr_t peep, int64_t peep_rows,
                             const Where &saved, const Where &new_h, const Where &new_c) {
        nb::gil_scoped_release release;
        if (twice) {
            steps().forward_double(step<double>(cell, reset, rows, units, threads, gates, sums, h, c, b_h, peep, peep_rows, saved, new_h, new_c));
        } else {
            steps().forward_float(step<float>(cell, reset, rows, units, threads, gates, sums, h, c, b_h, peep, peep_rows, saved, new_h, new_c));
        }
    });
    m.def("step_backward", [](bool twice, int cell, bool reset, int64_t rows, int64_t units, int threads, const Where &out, const Where &h,
                              const Where &c, const Where &saved, const Where &d_gates, const Where &d_sums, const Where &dh,
                              const Where &dc, uintptr_t peep, int64_t peep_rows) {
        nb::gil_scoped_release release;
        if (twice) {
            steps().backward_double(back<double>(cell, reset, rows, units, threads, out, h, c, saved, d_gates, d_sums, dh, dc, peep, peep_rows));
        } else {
            steps().backward_float(back<float>(cell, reset, rows, units, threads, out, h, c, saved, d_gates, d_sums, dh, dc, peep, peep_rows));
        }
    });
}

}  // namespace convrnn
