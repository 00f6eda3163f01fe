// A recurrence backward. Each part runs its rows back through all frames, some steps at a time: step by step the gradients of the gates,
// kept, and of the state; then of these steps together the gradients of x and of the weights. Weights' gradients are a part's own until the
// end, when they are added up in the order of the parts.
#pragma once

#include "backward_part.h"

namespace {

using convrnn::Gradients;

template <typename Real, typename C>
struct Backward {
    typedef Shared<Real, C> S;
    static constexpr int G = C::gates, slots = C::slots;
    static constexpr bool gathers = true;

    typedef BackwardOwn<Real> Own;

    const Recurrence<Real> &r;
    Gradients<Real> g;
    S shared;
    Panels<Real> to_x, to_h, to_candidate, to_proj;
    Own *own = nullptr;
    int64_t steps = 1;

    Backward(const Recurrence<Real> &recurrence, const Gradients<Real> &gradients) : r(recurrence), g(gradients), shared(recurrence) {}

    int64_t input_width() const { return r.w_x ? r.channels : 0; }

    void lay_out(Scratch &scratch) {
        shared.lay_out(scratch);
        const int64_t units = shared.units_padded, width = shared.width_padded, n = shared.rows_a_part();
        steps = shared.steps_at_once(slots * units * static_cast<int64_t>(sizeof(Real)), 512 * 1024);
        lay_out_weights(scratch);
        own = scratch.take<Own>(shared.plan.parts);
        for (int part = 0; part < shared.plan.parts; ++part) {
            Own each;
            const int64_t m = n * steps;
            each.sums.w_x = scratch.take<Real>(G * units * padded(input_width()));
            each.sums.w_h = scratch.take<Real>(G * units * (r.elementwise ? 1 : width));
            each.sums.proj = scratch.take<Real>(r.proj ? width * units : 0);
            each.sums.bias = scratch.take<Real>(G * units);
            each.sums.b_h = scratch.take<Real>(units);
            each.sums.peep = scratch.take<Real>(r.peep ? 3 * units : 0);
            each.dh = scratch.take<Real>(n * width);
            each.dc = scratch.take<Real>(n * units);
            each.seen = scratch.take<Real>(n * width);
            each.direct = scratch.take<Real>(n * width);
            each.middle = scratch.take<Real>(n * units);
            each.slots = scratch.take<Real>(m * slots * units);
            each.given = scratch.take<Real>(r.proj ? m * width : 0);
            each.projected = scratch.take<Real>(r.proj ? m * units : 0);
            each.after_reset = scratch.take<Real>(C::two ? m * units : 0);
            each.old = scratch.take<const Real *>(m);
            each.inputs = scratch.take<const Real *>(m);
            each.rows = scratch.take<const Real *>(n);
            each.ptr = scratch.take<const Real *>(m);
            each.place = scratch.take<int64_t>(m);
            each.columns = scratch.take<Real>(m * most(most(padded(input_width()), width), units));
            each.strip = scratch.take<Real>(m * kOuterRows);
            if (scratch.real()) {
                own[part] = each;
            }
        }
    }

    void lay_out_weights(Scratch &scratch) {
        const int64_t units = shared.units_padded;
        if (r.w_x && g.x) {
            to_x.lay_out(scratch, 1, r.channels, G, r.units);
            for (int gate = 0; gate < G; ++gate) {
                to_x.jump[gate] = x_slot<C>(gate) * units;
            }
        }
        if (!r.elementwise) {
            to_h.lay_out(scratch, 1, r.width, S::first_gates, r.units);
            for (int gate = 0; gate < S::first_gates; ++gate) {
                to_h.jump[gate] = gate * units;
            }
        }
        if (C::two) {
            to_candidate.lay_out(scratch, 1, r.width, 1, r.units);
            to_candidate.jump[0] = (G - 1) * units;
        }
        if (r.proj) {
            to_proj.lay_out(scratch, 1, r.units, 1, r.width);
        }
    }

    // What all parts read, each packing some of it.
    void fill(int part) {
        const int parts = shared.plan.parts;
        if (part == 0) {
            shared.fill();
        }
        if (r.w_x && g.x) {
            to_x.pack_columns(r.w_x, r.channels, part, parts);
        }
        if (!r.elementwise) {
            to_h.pack_columns(r.w_h, r.width, part, parts);
        }
        if (C::two) {
            to_candidate.pack_columns(r.w_h + S::first_gates * r.units * r.width, r.width, part, parts);
        }
        if (r.proj) {
            to_proj.pack_columns(r.proj, r.units, part, parts);
        }
    }

    void work(int part) const {
        BackwardPart<Real, C, Backward>{*this, own[part], shared.plan.rows(part, r.reverse), r}.work();
    }

    // The parts' sums, added up in their order; each part adds up some of the rows.
    void gather(int part) const {
        const int64_t units = shared.units_padded, width = shared.width_padded, channels = padded(input_width());
        if (g.w_x && r.w_x) {
            add_up(part, &Sums<Real>::w_x, g.w_x, G, r.units, units, r.channels, channels);
        }
        if (g.w_h) {
            add_up(part, &Sums<Real>::w_h, g.w_h, G, r.units, units, r.elementwise ? 1 : r.width, r.elementwise ? 1 : width);
        }
        if (g.proj) {
            add_up(part, &Sums<Real>::proj, g.proj, 1, r.width, width, r.units, units);
        }
        if (g.b) {
            add_up(part, &Sums<Real>::bias, g.b, G, r.units, units, 1, 1);
        }
        if (g.b_h) {
            add_up(part, &Sums<Real>::b_h, g.b_h, 1, r.units, units, 1, 1);
        }
        if (g.peep) {
            add_up(part, &Sums<Real>::peep, g.peep, G - 1, r.units, units, 1, 1);
        }
    }

    void add_up(int part, Real *Sums<Real>::*which, Real *to, int64_t blocks, int64_t rows, int64_t rows_apart, int64_t columns,
                int64_t columns_apart) const {
        const int64_t parts = shared.plan.parts, begin = rows * part / parts, end = rows * (part + 1) / parts;
        for (int64_t block = 0; block < blocks; ++block) {
            for (int64_t i = begin; i < end; ++i) {
                Real *sum = to + (block * rows + i) * columns;
                const int64_t at = (block * rows_apart + i) * columns_apart;
                copy(sum, own[0].sums.*which + at, columns);
                for (int64_t other = 1; other < parts; ++other) {
                    const Real *from = own[other].sums.*which + at;
                    for (int64_t j = 0; j < columns; ++j) {
                        sum[j] += from[j];
                    }
                }
            }
        }
    }

};

}  // namespace
