// Steps without products for one instruction set. Rows are dealt out in runs; units go register by register, the last one by a copy, so
// that nothing beyond a row is touched.

#include "steps.h"

#include "cells.h"
#include "parallel.h"

namespace {

using convrnn::Cell;
using convrnn::Step;
using convrnn::StepBack;
using convrnn::Table;

constexpr int kMostValues = 5;  // saved of an LSTM; gates and sums are fewer

// The values of one row at the units of one register: where they lie if a whole register is there, else a copy.
template <typename Real>
class Window {
 public:
    static constexpr int L = kLanes<Real>;

    CONVRNN_INLINE Window(const Table<Real> &table, int64_t row, int64_t u, int64_t units, int values, bool read)
        : at_(table.at ? table.at + row * table.apart + u : nullptr), units_(units), values_(values),
          left_(static_cast<int>(units - u)) {
        if (at_ && left_ < L) {
            for (int v = 0; v < values_; ++v) {
                store(copy_ + v * L, read ? load_first(at_ + v * units_, left_) : Vec<Real>{});
            }
        }
    }

    CONVRNN_INLINE Real *data() { return !at_ || left_ >= L ? at_ : copy_; }
    CONVRNN_INLINE int64_t apart() const { return left_ >= L ? units_ : L; }

    CONVRNN_INLINE void write() {
        if (at_ && left_ < L) {
            for (int v = 0; v < values_; ++v) {
                store_first(at_ + v * units_, load(copy_ + v * L), left_);
            }
        }
    }

 private:
    Real *at_;
    int64_t units_;
    int values_, left_;
    Real copy_[kMostValues * L];
};

template <typename Real>
CONVRNN_INLINE Vec<Real> read(const Table<Real> &table, int64_t row, int64_t u, int n) {
    return table.at ? load_first(table.at + row * table.apart + u, n) : Vec<Real>{};
}

template <typename Real>
CONVRNN_INLINE void write(const Table<Real> &table, int64_t row, int64_t u, int n, Vec<Real> v) {
    if (table.at) {
        store_first(table.at + row * table.apart + u, v, n);
    }
}

// The peepholes of a row's position, a register apart.
template <typename Real>
CONVRNN_INLINE const Real *peepholes(const Real *peep, int64_t rows, int64_t row, int64_t u, int64_t units, int gates, Real *copy) {
    if (!peep) {
        return nullptr;
    }
    const int n = units - u < kLanes<Real> ? static_cast<int>(units - u) : kLanes<Real>;
    for (int p = 0; p < gates - 1; ++p) {
        store(copy + p * kLanes<Real>, load_first(peep + (p * rows + row % rows) * units + u, n));
    }
    return copy;
}

template <typename Real, typename C>
CONVRNN_INLINE void forward_at(const Step<Real> &s, int64_t row, int64_t u) {
    constexpr int L = kLanes<Real>;
    const int n = s.units - u < L ? static_cast<int>(s.units - u) : L;
    const int sums_of = !C::two ? C::gates : s.reset ? C::gates - 1 : 1;
    Window<Real> gates(s.gates, row, u, s.units, C::gates, true), sums(s.sums, row, u, s.units, sums_of, true);
    Window<Real> saved(s.saved, row, u, s.units, convrnn::saved_values(s.cell, false), C::two);
    Real bias[L], peep[3 * L];
    store(bias, s.b_h ? load_first(s.b_h + u, n) : Vec<Real>{});
    Here<Real> a;
    a.sums = sums.data(), a.sums_apart = sums.apart();
    a.gates = gates.data(), a.padded = gates.apart();
    a.h = read(s.h, row, u, n), a.c = read(s.c, row, u, n);
    a.b_h = bias;
    a.peep = peepholes(s.peep, s.peep_rows, row, u, s.units, C::gates, peep), a.peep_apart = L;
    a.saved = saved.data();
    Vec<Real> c = a.c, h;
    if constexpr (C::two) {
        h = s.reset ? C::reset(a, a.h) : C::step(a, c);
        gates.write();  // z waits there for the second half
    } else {
        h = C::step(a, c);
    }
    if constexpr (C::c >= 0) {
        a.save(C::c, c);
        write(s.new_c, row, u, n, c);
    }
    write(s.new_h, row, u, n, h);
    saved.write();
}

template <typename Real, typename C>
CONVRNN_INLINE void backward_at(const StepBack<Real> &s, int64_t row, int64_t u) {
    constexpr int L = kLanes<Real>;
    const int n = s.units - u < L ? static_cast<int>(s.units - u) : L;
    Window<Real> saved(s.saved, row, u, s.units, convrnn::saved_values(s.cell, false), true);
    if constexpr (C::two) {
        if (s.reset) {
            Window<Real> slots(s.d_gates, row, u, s.units, 1, false);
            write(s.dh, row, u, n, C::back_reset(saved.data(), slots.data(), read(s.dh, row, u, n), read(s.h, row, u, n)));
            slots.write();
            return;
        }
    }
    Real slots[C::slots * L], peep[3 * L];
    Back<Real> a;
    a.saved = saved.data(), a.padded = saved.apart();
    a.out = read(s.out, row, u, n), a.h = read(s.h, row, u, n), a.c = read(s.c, row, u, n);
    a.dh = read(s.dh, row, u, n), a.dc = read(s.dc, row, u, n);
    a.peep = peepholes(s.peep, s.peep_rows, row, u, s.units, C::gates, peep), a.peep_apart = L;
    a.d_peep = nullptr;
    a.slots = slots, a.slots_apart = L;
    C::back(a);
    for (int gate = C::two ? 1 : 0; gate < C::gates; ++gate) {
        write(s.d_gates, row, gate * s.units + u, n, load(slots + x_slot<C>(gate) * L));
        if (C::slots > C::gates) {
            write(s.d_sums, row, gate * s.units + u, n, load(slots + gate * L));
        }
    }
    write(s.dh, row, u, n, a.direct);
    write(s.dc, row, u, n, a.dc);
}

template <typename S, void (*at)(const S &, int64_t, int64_t)>
void in_parts(const S &step) {
    // A step takes longer to share than to do where there are few rows.
    const int64_t enough = 4096 / (step.units < 1 ? 1 : step.units) + 1;
    const int64_t parts = step.rows / enough < step.threads ? step.rows / enough : step.threads;
    struct Work {
        const S &step;
        int64_t parts;
    } work{step, parts < 1 ? 1 : parts};
    const auto some = [](void *context, int part) {
        const Work &w = *static_cast<Work *>(context);
        for (int64_t row = w.step.rows * part / w.parts; row < w.step.rows * (part + 1) / w.parts; ++row) {
            for (int64_t u = 0; u < w.step.units; u += kLanes<decltype(*w.step.h.at + 0)>) {
                at(w.step, row, u);
            }
        }
    };
    convrnn::parallel(static_cast<int>(work.parts), some, &work);
}

template <typename Real>
void forward(const Step<Real> &s) {
    switch (s.cell) {
        case Cell::rnn_tanh: return in_parts<Step<Real>, forward_at<Real, Rnn<Real, false>>>(s);
        case Cell::rnn_relu: return in_parts<Step<Real>, forward_at<Real, Rnn<Real, true>>>(s);
        case Cell::lstm: return in_parts<Step<Real>, forward_at<Real, Lstm<Real>>>(s);
        case Cell::lstm_coupled: return in_parts<Step<Real>, forward_at<Real, LstmCoupled<Real>>>(s);
        case Cell::gru: return in_parts<Step<Real>, forward_at<Real, Gru<Real>>>(s);
        case Cell::gru_before: return in_parts<Step<Real>, forward_at<Real, GruBefore<Real>>>(s);
        case Cell::ligru: return in_parts<Step<Real>, forward_at<Real, LiGru<Real>>>(s);
    }
}

template <typename Real>
void backward(const StepBack<Real> &s) {
    switch (s.cell) {
        case Cell::rnn_tanh: return in_parts<StepBack<Real>, backward_at<Real, Rnn<Real, false>>>(s);
        case Cell::rnn_relu: return in_parts<StepBack<Real>, backward_at<Real, Rnn<Real, true>>>(s);
        case Cell::lstm: return in_parts<StepBack<Real>, backward_at<Real, Lstm<Real>>>(s);
        case Cell::lstm_coupled: return in_parts<StepBack<Real>, backward_at<Real, LstmCoupled<Real>>>(s);
        case Cell::gru: return in_parts<StepBack<Real>, backward_at<Real, Gru<Real>>>(s);
        case Cell::gru_before: return in_parts<StepBack<Real>, backward_at<Real, GruBefore<Real>>>(s);
        case Cell::ligru: return in_parts<StepBack<Real>, backward_at<Real, LiGru<Real>>>(s);
    }
}

}  // namespace

namespace convrnn {

const Steps &CONVRNN_ENTRY(steps)() {
    static constexpr Steps entries = {::forward<float>, ::forward<double>, ::backward<float>, ::backward<double>};
    return entries;
}

}  // namespace convrnn
