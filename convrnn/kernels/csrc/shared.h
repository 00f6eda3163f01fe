// What all parts of a call read: weights packed, biases with room to the end of a register. And how a call is run in parts.
#pragma once

#include "cells.h"
#include "panels.h"
#include "parallel.h"
#include "plan.h"

namespace {

using convrnn::padded;
using convrnn::Plan;
using convrnn::Recurrence;
using convrnn::Rows;

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// `rows` vectors of `count` numbers, each with room to the end of a register: zeros there, and everywhere where `from` is null.
template <typename Real>
void copy_padded(Real *to, const Real *from, int64_t rows, int64_t count) {
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < padded(count); ++j) {
            to[i * padded(count) + j] = from && j < count ? from[i * count + j] : Real(0);
        }
    }
}

template <typename Real, typename C>
struct Shared {
    static constexpr int G = C::gates, first_gates = C::two ? G - 1 : G;

    const Recurrence<Real> &r;
    Plan plan;
    int64_t units_padded, width_padded;
    Panels<Real> x, h, candidate, proj;  // of the gates; of the candidate where it has a product of its own
    Real *bias, *b_h, *peep, *w_h;

    explicit Shared(const Recurrence<Real> &recurrence) : r(recurrence), units_padded(padded(r.units)), width_padded(padded(r.width)) {}

    int64_t weights() const { return G * r.units * (r.channels + r.width); }

    // Whether so many like it are done before another thread has woken up.
    bool small(int count) const { return count * r.rows * r.frames * weights() < 4'000'000; }

    int64_t rows_a_part() const { return (r.rows + plan.parts - 1) / plan.parts; }

    // Steps at a time whose `bytes` for each row lie in about `near`, and not so few that a product of them has too few rows.
    int64_t steps_at_once(int64_t bytes, int64_t near) const {
        const int64_t row_steps = most(48, near / bytes);
        return most(1, least(r.frames, row_steps / most(rows_a_part(), 1)));
    }

    void lay_out(Scratch &scratch) {
        plan.parts = small(1) ? 1 : static_cast<int>(most(1, least(r.threads, r.rows)));
        plan.row = scratch.take<int32_t>(r.rows);
        plan.begins = scratch.take<int32_t>(plan.parts + 1);
        plan.length = scratch.take<int64_t>(r.rows);
        bias = scratch.take<Real>(G * units_padded);
        b_h = scratch.take<Real>(units_padded);
        peep = scratch.take<Real>(r.peep ? 3 * units_padded : 0);
        w_h = scratch.take<Real>(r.elementwise ? G * units_padded : 0);
    }

    void fill() {
        convrnn::fill(plan, r.rows, r.frames, r.lengths);
        copy_padded(bias, r.b, G, r.units);
        copy_padded(b_h, r.b_h, 1, r.units);
        if (r.peep) {
            copy_padded(peep, r.peep, G - 1, r.units);
        }
        if (r.elementwise) {
            copy_padded(w_h, r.w_h, G, r.units);
        }
    }
};

// One call, or two over the same rows at once.
template <typename Call>
struct Together {
    Call *calls;
    int count;

    int parts() const { return calls->shared.plan.parts; }

    void lay_out(Scratch &scratch) const {
        for (int i = 0; i < count; ++i) {
            calls[i].lay_out(scratch);
        }
    }

    // The second call begins with its last part: a thread whose part of the first has a row more has one less there.
    template <auto task>
    static void at(void *context, int number) {
        const Together &all = *static_cast<Together *>(context);
        const int part = number % all.parts(), which = number / all.parts();
        (all.calls[which].*task)(which ? all.parts() - 1 - part : part);
    }

    void work() {
        const auto &shared = calls->shared;
        const int threads = shared.small(count) ? 1 : calls->r.threads, packing = shared.weights() < 100'000 ? 1 : threads;
        convrnn::parallel(count * parts(), at<&Call::fill>, this, packing);
        convrnn::parallel(count * parts(), at<&Call::work>, this, threads);
        if constexpr (Call::gathers) {
            convrnn::parallel(count * parts(), at<&Call::gather>, this, threads);
        }
    }
};

// They lay their memory out twice, to measure it and to have it, fill what their parts share, and each part does its work. False: there was
// not enough memory, and nothing was done.
template <typename Call>
bool run(Call *calls, int count) {
    Together<Call> all{calls, count};
    Scratch measure(nullptr);
    all.lay_out(measure);
    void *memory = std::malloc(measure.used() + 64);
    if (!memory) {
        return false;
    }
    Scratch scratch(static_cast<char *>(memory) + (64 - reinterpret_cast<uintptr_t>(memory) % 64) % 64);
    all.lay_out(scratch);
    all.work();
    std::free(memory);
    return true;
}

}  // namespace
