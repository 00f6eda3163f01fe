// One part of a recurrence backward: its rows, from their last frame to their first. See backward.h.
#pragma once

#include "outer.h"
#include "shared.h"

namespace {

// Gradients of weights, rows and columns with room to the end of a register, and of everything else that is one for all rows.
template <typename Real>
struct Sums {
    Real *w_x, *w_h, *proj, *bias, *b_h, *peep;
};

// What a part has for itself.
template <typename Real>
struct BackwardOwn {
    Sums<Real> sums;
    Real *dh, *dc, *seen, *direct, *middle;  // rows; `seen`: what comes back through the products; `middle`: of what stands between two
    Real *slots;                             // [steps x rows][slots][H]
    Real *given, *projected;                 // with a projection: dh of the steps, and what it saw
    Real *after_reset;                       // r h of the steps, where the candidate saw it
    const Real **old, **inputs, **rows, **ptr;
    int64_t *place;                          // of the frames, in [B, T]
    Real *columns, *strip;
};

// One part at work. `Call` is the whole call: its recurrence, the gradients, the packed weights.
template <typename Real, typename C, typename Call>
struct BackwardPart {
    typedef Vec<Real> V;
    static constexpr int L = kLanes<Real>, G = C::gates, slots = C::slots, first_gates = Shared<Real, C>::first_gates;

    const Call &call;
    const BackwardOwn<Real> &own;
    Rows rows;
    const Recurrence<Real> &r;
    int64_t units = call.shared.units_padded, width = call.shared.width_padded;
    int values = convrnn::saved_values(r.cell, r.zone);
    int64_t step = 0;

    void work() {
        begin();
        for (int64_t end = rows.steps(); end > 0;) {
            const int64_t first = most(0, end - call.steps);
            const int count = list(first, end);
            int at = count;
            for (step = end - 1; step >= first; --step) {
                const int alive = rows.alive(step);
                at -= alive;
                retreat(at, alive);
            }
            weights(count);
            inputs(count);
            end = first;
        }
        const int64_t k = r.width + (C::c >= 0 ? r.units : 0);
        for (int i = 0; call.g.state && i < rows.count; ++i) {
            Real *to = call.g.state + rows.row[i] * k;
            copy(to, own.dh + i * width, r.width);
            if (C::c >= 0) {
                copy(to + r.width, own.dc + i * units, r.units);
            }
        }
    }

    static int lanes(int64_t left) { return left < L ? static_cast<int>(left) : L; }

    void begin() {
        const int64_t k = r.width + (C::c >= 0 ? r.units : 0);
        for (int i = 0; i < rows.count; ++i) {
            const Real *from = call.g.dfinal + rows.row[i] * k;
            copy_padded(own.dh + i * width, from, 1, r.width);
            if (C::c >= 0) {
                copy_padded(own.dc + i * units, from + r.width, 1, r.units);
            }
            if (call.g.x) {
                const int64_t valid = rows.length[rows.row[i]], wide = r.w_x ? r.channels : G * r.units;
                zero(call.g.x + (rows.row[i] * r.frames + valid) * wide, (r.frames - valid) * wide);
            }
        }
        zero(own.sums.w_x, G * units * padded(call.input_width()));
        zero(own.sums.w_h, G * units * (r.elementwise ? 1 : width));
        zero(own.sums.proj, r.proj ? width * units : 0);
        zero(own.sums.bias, G * units);
        zero(own.sums.b_h, units);
        zero(own.sums.peep, r.peep ? 3 * units : 0);
    }

    // The frames of the steps [first, end) in the order of the recurrence: inputs and the h before each.
    int list(int64_t first, int64_t end) {
        int count = 0;
        const int64_t k = r.width + (C::c >= 0 ? r.units : 0);
        for (int64_t s = first; s < end; ++s) {
            for (int i = 0, alive = rows.alive(s); i < alive; ++i) {
                const int64_t b = rows.row[i];
                own.place[count] = b * r.frames + rows.frame(i, s);
                own.inputs[count] = r.x + b * r.x_row + rows.frame(i, s) * r.x_frame;
                own.old[count++] = s ? y(b, rows.frame(i, s - 1)) : r.state + b * k;
            }
        }
        return count;
    }

    const Real *y(int64_t row, int64_t frame) const { return call.g.y + row * call.g.y_row + frame * call.g.y_frame; }

    int64_t frame(int i) const { return rows.row[i] * r.frames + rows.frame(i, step); }

    // The values saved of a frame.
    const Real *saved(int i) const { return call.g.saved + frame(i) * values * units; }

    // Asks for what the steps before this one read of a row, at the units of the register: a frame lies far from that of the next row, and so
    // no prefetcher of the processor finds it. c is read a step ahead of the rest.
    CONVRNN_INLINE void ask(int i, int64_t u) const {
        if (step > 1 && values) {
            const Real *from = call.g.saved + (rows.row[i] * r.frames + rows.frame(i, step - 2)) * values * units + u;
            for (int value = 0; value < values; ++value) {
                __builtin_prefetch(from + value * units);
            }
            __builtin_prefetch(call.g.dy + rows.row[i] * call.g.dy_row + rows.frame(i, step - 2) * call.g.dy_frame + u);
        }
    }

    // c before the step.
    CONVRNN_INLINE V old_c(int i, int64_t u) const {
        if (step) {
            return load(call.g.saved + ((rows.row[i] * r.frames + rows.frame(i, step - 1)) * values + C::c) * units + u);
        }
        return load_first(r.state + rows.row[i] * (r.width + r.units) + r.width + u, lanes(r.units - u));
    }

    CONVRNN_INLINE V zone(int i, int64_t first, int64_t count, int64_t u) const {
        return load_first(r.zone + rows.row[i] * r.zone_row + rows.frame(i, step) * r.zone_frame + first + u, lanes(count - u));
    }

    // One step back of the first `alive` rows, whose slots begin at place `at`.
    void retreat(int at, int alive) const {
        receive(at, alive);
        for (int i = 0; i < alive; ++i) {
            for (int64_t u = 0; u < r.units; u += L) {
                equations(at + i, i, u);
            }
        }
        if constexpr (C::two) {
            for (int i = 0; i < alive; ++i) {
                own.rows[i] = own.slots + (at + i) * slots * units;
            }
            call.to_candidate.product(own.rows, alive, [&](int i, int block, const Real *sums) { reset(at + i, i, block * L, sums); });
        }
        pass_on(at, alive);
    }

    // dh of the state after the step, of what the equations gave: zoneout takes its share, a projection is gone back through.
    void receive(int at, int alive) const {
        const int64_t y_row = call.g.dy_row, y_frame = call.g.dy_frame;
        for (int i = 0; i < alive; ++i) {
            const Real *dy = call.g.dy + rows.row[i] * y_row + rows.frame(i, step) * y_frame;
            for (int64_t u = 0; u < r.width; u += L) {
                V d = load(own.dh + i * width + u) + load_first(dy + u, lanes(r.width - u));
                V kept{};
                if (r.zone) {
                    kept = d * zone(i, 0, r.width, u);
                    d -= kept;
                }
                store(own.dh + i * width + u, d);
                store(own.direct + i * width + u, kept);
                if (r.proj) {
                    store(own.given + (at + i) * width + u, d);
                }
            }
        }
        if (r.proj) {
            for (int i = 0; i < alive; ++i) {
                own.rows[i] = own.dh + i * width;
            }
            call.to_proj.product(own.rows, alive,
                                 [&](int i, int block, const Real *sums) { store(own.middle + i * units + block * L, load(sums)); });
        }
    }

    CONVRNN_INLINE void equations(int place, int i, int64_t u) const {
        ask(i, u);
        Back<Real> a;
        a.saved = values ? saved(i) + u : nullptr;
        a.out = C::gates > 1 ? V{} : values ? a.value(0) : load_first(y(rows.row[i], rows.frame(i, step)) + u, lanes(r.width - u));
        a.h = r.proj ? V{} : load_first(own.old[place] + u, lanes(r.width - u));
        a.c = C::c >= 0 ? old_c(i, u) : V{};
        a.peep = r.peep ? call.shared.peep + u : nullptr;
        a.d_peep = own.sums.peep + u;
        a.dh = load((r.proj ? own.middle : own.dh) + i * units + u);
        a.slots = own.slots + place * slots * units + u;
        a.padded = a.slots_apart = a.peep_apart = units;
        V kept{};
        if constexpr (C::c >= 0) {
            a.dc = load(own.dc + i * units + u);
            if (r.zone) {
                kept = a.dc * zone(i, r.width, r.units, u);
                a.dc -= kept;
            }
        }
        C::back(a);
        if constexpr (C::c >= 0) {
            store(own.dc + i * units + u, a.dc + kept);
            if (r.proj) {
                store(own.projected + place * units + u, a.seen);
            }
        } else {
            store(own.direct + i * width + u, load(own.direct + i * width + u) + a.direct);
        }
    }

    // What the products saw of h before the step.
    CONVRNN_INLINE V seen(int place, int i, int64_t u) const {
        const V h = load_first(own.old[place] + u, lanes(r.width - u));
        return r.drop ? h * load_first(r.drop + rows.row[i] * r.width + u, lanes(r.width - u)) : h;
    }

    CONVRNN_INLINE void reset(int place, int i, int64_t u, const Real *sums) const {
        if constexpr (C::two) {
            const V h = seen(place, i, u);
            store(own.seen + i * width + u, C::back_reset(saved(i) + u, own.slots + place * slots * units + u, load(sums), h));
            store(own.after_reset + place * units + u, load(saved(i) + u) * h);
        }
    }

    // dh of the state before the step: through the products, and past them.
    void pass_on(int at, int alive) const {
        const auto take = [&](int i, int64_t u, V through) {
            if (C::two) {
                through += load(own.seen + i * width + u);
            }
            if (r.drop) {
                through *= load_first(r.drop + rows.row[i] * r.width + u, lanes(r.width - u));
            }
            store(own.dh + i * width + u, load(own.direct + i * width + u) + through);
        };
        if (!r.elementwise) {
            for (int i = 0; i < alive; ++i) {
                own.rows[i] = own.slots + (at + i) * slots * units;
            }
            call.to_h.product(own.rows, alive, [&](int i, int block, const Real *sums) { take(i, block * L, load(sums)); });
            return;
        }
        for (int i = 0; i < alive; ++i) {
            for (int64_t u = 0; u < r.units; u += L) {
                V through{};
                for (int gate = 0; gate < G; ++gate) {
                    const V d = load(own.slots + ((at + i) * slots + gate) * units + u);
                    through += d * load(call.shared.w_h + gate * units + u);
                    Real *sum = own.sums.w_h + gate * units + u;
                    store(sum, load(sum) + d * seen(at + i, i, u));
                }
                take(i, u, through);
            }
        }
    }

    // The gradients of the weights, of the steps at hand.
    void weights(int count) const {
        const Outer<Real> outer{own.strip, own.columns};
        const int64_t apart = slots * units;
        for (int gate = 0; gate < G; ++gate) {
            add_rows(own.sums.bias + gate * units, own.slots + x_slot<C>(gate) * units, count);
        }
        if (r.b_h) {
            add_rows(own.sums.b_h, own.slots + (G - 1) * units, count);
        }
        if (r.w_x) {
            outer.pack(own.inputs, count, r.channels);
            for (int gate = 0; gate < G; ++gate) {
                outer.add(own.slots + x_slot<C>(gate) * units, apart, count, r.units, r.channels,
                          own.sums.w_x + gate * units * padded(r.channels));
            }
        }
        if (!r.elementwise) {
            outer.pack(own.old, count, r.width, r.drop, own.place, r.frames);
            for (int gate = 0; gate < first_gates; ++gate) {
                outer.add(own.slots + gate * units, apart, count, r.units, r.width, own.sums.w_h + gate * units * width);
            }
        }
        if (C::two) {
            outer.pack(spread(own.after_reset, units, count), count, r.width);
            outer.add(own.slots + (G - 1) * units, apart, count, r.units, r.width, own.sums.w_h + (G - 1) * units * width);
        }
        if (r.proj) {
            outer.pack(spread(own.projected, units, count), count, r.units);
            outer.add(own.given, width, count, r.width, r.units, own.sums.proj);
        }
    }

    const Real *const *spread(const Real *first, int64_t apart, int count) const {
        for (int i = 0; i < count; ++i) {
            own.ptr[i] = first + i * apart;
        }
        return own.ptr;
    }

    void add_rows(Real *to, const Real *slot, int count) const {
        for (int64_t u = 0; u < r.units; u += L) {
            V sum = load(to + u);
            for (int i = 0; i < count; ++i) {
                sum += load(slot + i * slots * units + u);
            }
            store(to + u, sum);
        }
    }

    // The gradient of x, or of the gates that came ready-made.
    void inputs(int count) const {
        if (!call.g.x) {
            return;
        }
        if (r.w_x) {
            call.to_x.product(spread(own.slots, slots * units, count), count, [&](int i, int block, const Real *sums) {
                store_first(call.g.x + own.place[i] * r.channels + block * L, load(sums), lanes(r.channels - block * L));
            });
            return;
        }
        for (int i = 0; i < count; ++i) {
            for (int gate = 0; gate < G; ++gate) {
                copy(call.g.x + (own.place[i] * G + gate) * r.units, own.slots + (i * slots + x_slot<C>(gate)) * units, r.units);
            }
        }
    }
};

}  // namespace
