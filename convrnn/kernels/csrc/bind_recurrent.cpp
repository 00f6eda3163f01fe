// The recurrences for Python; see bindings.h.

#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <memory>
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

    bool has_c() const { return convrnn::has_c(static_cast<Cell>(cell)); }
    int64_t state_width() const { return width + (has_c() ? units : 0); }

    template <typename Real>
    Recurrence<Real> of() const {
        return {static_cast<Cell>(cell), reverse, elementwise, rows, frames, channels, units, width, at<Real>(x), x_row, x_frame,
                at<int64_t>(lengths), at<Real>(w_x), at<Real>(w_h), at<Real>(b), at<Real>(state), at<Real>(b_h), at<Real>(peep),
                at<Real>(proj), at<Real>(drop), at<Real>(zone), zone_row, zone_frame, threads, nullptr};
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

// Where a state lies, and how far its rows are apart.
typedef std::array<int64_t, 2> State;

// Recurrences over full rows one upon the other, each reading the answer of the one below, their weights packed once. It stays as it is:
// many threads may run it.
class Stack {
 public:
    explicit Stack(const std::vector<Record> &records) : records_(records), packed_(records.size()) {
        bool fit = !records.empty();
        for (size_t i = 1; i < records.size(); ++i) {
            fit = fit && records[i].twice == records[0].twice && records[i].channels == records[i - 1].width;
        }
        if (!fit) {
            throw std::invalid_argument("one recurrence or more, each reading what the one below answers");
        }
        if (records[0].twice) {
            pack(recurrent().twice);
        } else {
            pack(recurrent().single);
        }
    }

    Stack(const Stack &) = delete;
    Stack &operator=(const Stack &) = delete;

    // x: [rows, frames, channels]; states: h, and c where there is one, of each from the lowest on. y: the answer of the highest;
    // finals: [rows, all states side by side]. All but the states dense.
    void run(int64_t rows, int64_t frames, uintptr_t x, const std::vector<State> &states, uintptr_t y, uintptr_t finals, int threads) const {
        nb::gil_scoped_release release;
        if (records_[0].twice) {
            run_as(recurrent().twice, rows, frames, at<double>(x), states, at<double>(y), at<double>(finals), threads);
        } else {
            run_as(recurrent().single, rows, frames, at<float>(x), states, at<float>(y), at<float>(finals), threads);
        }
    }

 private:
    template <typename Real>
    void pack(const RecurrentOf<Real> &kernels) {
        for (size_t i = 0; i < records_.size(); ++i) {
            Recurrence<Real> r = records_[i].of<Real>();
            packed_[i].reset(new char[static_cast<size_t>(kernels.packed_bytes(r)) + kLine]);
            r.packed = packed<Real>(i);
            kernels.pack(r);
        }
    }

    template <typename Real>
    Real *packed(size_t i) const { return at<Real>((reinterpret_cast<uintptr_t>(packed_[i].get()) + kLine - 1) / kLine * kLine); }

    template <typename Real>
    void run_as(const RecurrentOf<Real> &kernels, int64_t rows, int64_t frames, const Real *x, const std::vector<State> &states, Real *y,
                Real *finals, int threads) const {
        int64_t widest = 0, together = 0;
        size_t count = 0;
        for (const Record &each : records_) {
            widest = std::max(widest, each.width);
            together += each.state_width();
            count += each.has_c() ? 2 : 1;
        }
        if (states.size() != count) {
            throw std::invalid_argument("as many states as the recurrences have");
        }
        // What layers hand up, by turns, and the states of one before and after.
        const size_t answers = static_cast<size_t>(rows * frames * widest), of_states = static_cast<size_t>(rows * together);
        std::unique_ptr<Real[]> room(new Real[2 * answers + 2 * of_states]);
        Real *const before = room.get() + 2 * answers, *const after = before + of_states;
        auto state = states.begin();
        for (size_t i = 0; i < records_.size(); ++i) {
            Recurrence<Real> r = records_[i].of<Real>();
            const int64_t k = records_[i].state_width();
            rows_between<Real>(rows, before, k, at<Real>((*state)[0]), (*state)[1], r.width);
            ++state;
            if (k > r.width) {
                rows_between<Real>(rows, before + r.width, k, at<Real>((*state)[0]), (*state)[1], r.units);
                ++state;
            }
            r.rows = rows, r.frames = frames, r.x = x, r.x_row = frames * r.channels, r.x_frame = r.channels;
            r.state = before, r.threads = threads, r.packed = packed<Real>(i);
            Real *const to = i + 1 < records_.size() ? room.get() + (i % 2) * answers : y;
            const Outputs<Real> out = {to, after, nullptr, frames * r.width, r.width};
            if (!kernels.forward(&r, &out, 1)) {
                throw std::bad_alloc();
            }
            rows_between<Real>(rows, finals, together, after, k, k);
            finals += k, x = to;
        }
    }

    template <typename Real>
    static void rows_between(int64_t rows, Real *to, int64_t to_apart, const Real *from, int64_t from_apart, int64_t width) {
        for (int64_t row = 0; row < rows; ++row) {
            std::copy_n(from + row * from_apart, width, to + row * to_apart);
        }
    }

    static constexpr uintptr_t kLine = 64;

    std::vector<Record> records_;
    std::vector<std::unique_ptr<char[]>> packed_;
};

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
    nb::class_<Stack>(m, "Stack")
        .def(nb::init<const std::vector<Record> &>(), "records"_a)
        .def("run", &Stack::run, "rows"_a, "frames"_a, "x"_a, "states"_a, "y"_a, "finals"_a, "threads"_a);
    m.def("recur_forward", &forward, "records"_a, "written"_a);
    m.def("recur_backward", &backward, "records"_a, "derived"_a);
}

}  // namespace convrnn
