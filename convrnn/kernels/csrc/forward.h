// A recurrence forward. Each part runs its rows through all frames, some steps at a time: first the input's part of the gates of these
// steps as one product, then step by step the state's part, gates and state while the sums are at hand.
#pragma once

#include "pages.h"
#include "shared.h"

namespace {

using convrnn::Outputs;

template <typename Real, typename C>
struct Forward {
    typedef Vec<Real> V;
    typedef Shared<Real, C> S;
    static constexpr int L = kLanes<Real>, G = C::gates;
    static constexpr bool gathers = false;

    // What a part has for itself. The state and what the products see of it are there twice: other units still read the old one.
    struct Own {
        Real *h[2], *seen[2], *c, *middle, *gates;
        Real **y, **saved;  // of the rows of this step
        const Real **inputs, **rows;
    };

    const Recurrence<Real> &r;
    Outputs<Real> out;
    S shared;
    Own *own = nullptr;
    int64_t steps = 1;

    Forward(const Recurrence<Real> &recurrence, const Outputs<Real> &outputs) : r(recurrence), out(outputs), shared(recurrence) {}

    bool two() const { return C::two || r.proj; }

    void lay_out(Scratch &scratch) {
        shared.lay_out(scratch);
        const int64_t n = shared.rows_a_part(), units = shared.units_padded, width = shared.width_padded;
        steps = shared.steps_at_once(G * units * static_cast<int64_t>(sizeof(Real)), 384 * 1024);
        Scratch kept(r.packed);
        lay_out_weights(r.packed ? kept : scratch);
        own = scratch.take<Own>(shared.plan.parts);
        for (int part = 0; part < shared.plan.parts; ++part) {
            Own each;
            for (int i = 0; i < 2; ++i) {
                each.h[i] = scratch.take<Real>(n * width);
                each.seen[i] = r.drop ? scratch.take<Real>(n * width) : each.h[i];
            }
            each.c = scratch.take<Real>(C::c >= 0 ? n * units : 0);
            each.middle = scratch.take<Real>(two() ? n * units : 0);
            each.gates = scratch.take<Real>(n * steps * G * units);
            each.inputs = scratch.take<const Real *>(n * steps);
            each.rows = scratch.take<const Real *>(n);
            each.y = scratch.take<Real *>(n);
            each.saved = scratch.take<Real *>(n);
            if (scratch.real()) {
                own[part] = each;
            }
        }
    }

    void lay_out_weights(Scratch &scratch) {
        S &s = shared;
        if (r.w_x) {
            s.x.lay_out(scratch, G, r.units, 1, r.channels);
        }
        if (!r.elementwise) {
            s.h.lay_out(scratch, S::first_gates, r.units, 1, r.width);
        }
        if (C::two) {
            s.candidate.lay_out(scratch, 1, r.units, 1, r.units);
        }
        if (r.proj) {
            s.proj.lay_out(scratch, 1, r.width, 1, r.units);
        }
    }

    // What all parts read, each packing some of it.
    void fill(int part) {
        if (!r.packed) {
            pack(part, shared.plan.parts);
        }
        if (part > 0) {
            return;
        }
        shared.fill();
        const int64_t saved = convrnn::saved_values(r.cell, r.zone) * shared.units_padded;
        convrnn::in_large_pages(out.saved, static_cast<size_t>(r.rows * r.frames * saved) * sizeof(Real));
    }

    void pack(int part, int parts) {
        if (r.w_x) {
            shared.x.pack_rows(r.w_x, r.channels, part, parts);
        }
        if (!r.elementwise) {
            shared.h.pack_rows(r.w_h, r.width, part, parts);
        }
        if (C::two) {
            shared.candidate.pack_rows(r.w_h + S::first_gates * r.units * r.width, r.width, part, parts);
        }
        if (r.proj) {
            shared.proj.pack_rows(r.proj, r.units, part, parts);
        }
    }

    void work(int part) const { Part{*this, own[part], shared.plan.rows(part, r.reverse), r}.work(); }

    struct Part {
        const Forward &call;
        const Own &own;
        Rows rows;
        const Recurrence<Real> &r;
        int64_t units = call.shared.units_padded, width = call.shared.width_padded;
        int now = 0;        // which of the two states is the old one
        int64_t step = 0;
        const Real *at = nullptr;  // the gates of this step's first row

        void work() {
            begin();
            const int64_t steps = rows.steps();
            for (int64_t first = 0; first < steps; first += call.steps) {
                const int64_t end = least(steps, first + call.steps);
                input_part(first, end);
                Real *gates = own.gates;
                for (step = first; step < end; ++step) {
                    const int alive = rows.alive(step);
                    advance(gates, alive);
                    gates += alive * G * units;
                    now = 1 - now;
                    finish(rows.alive(step + 1), alive);
                }
            }
        }

        void begin() {
            const int64_t k = r.width + (C::c >= 0 ? r.units : 0);
            for (int i = 0; i < rows.count; ++i) {
                const Real *state = r.state + rows.row[i] * k;
                copy_padded(own.h[0] + i * width, state, 1, r.width);
                if (r.drop) {
                    copy_padded(own.seen[0] + i * width, r.drop + rows.row[i] * r.width, 1, r.width);
                    for (int64_t j = 0; j < r.width; ++j) {
                        own.seen[0][i * width + j] *= state[j];
                    }
                }
                if (C::c >= 0) {
                    copy_padded(own.c + i * units, state + r.width, 1, r.units);
                }
                const int64_t valid = rows.length[rows.row[i]];
                for (int64_t t = valid; t < r.frames; ++t) {
                    zero(y(rows.row[i], t), r.width);
                }
                clear_saved(rows.row[i], valid);
            }
            finish(rows.alive(0), rows.count);
        }

        Real *y(int64_t row, int64_t frame) const { return call.out.y + row * call.out.y_row + frame * call.out.y_frame; }

        // What no step writes of the values saved, so that all outputs are the same from run to run.
        void clear_saved(int64_t row, int64_t valid) const {
            const int64_t frame = convrnn::saved_values(r.cell, r.zone) * units;
            if (call.out.saved && frame) {
                const int64_t from = (r.units + L - 1) / L * L < units ? 0 : valid;
                Real *at = call.out.saved + (row * r.frames + from) * frame;
                zero(at, (r.frames - from) * frame);
            }
        }

        // The state of rows that have come to their end.
        void finish(int alive, int before) const {
            const int64_t k = r.width + (C::c >= 0 ? r.units : 0);
            for (int i = alive; i < before; ++i) {
                Real *final = call.out.final + rows.row[i] * k;
                copy(final, own.h[now] + i * width, r.width);
                if (C::c >= 0) {
                    copy(final + r.width, own.c + i * units, r.units);
                }
            }
        }

        // The gates' part that the input gives, of the steps [first, end), bias included.
        void input_part(int64_t first, int64_t end) const {
            int count = 0;
            for (int64_t s = first; s < end; ++s) {
                for (int i = 0, alive = rows.alive(s); i < alive; ++i) {
                    own.inputs[count++] = r.x + rows.row[i] * r.x_row + rows.frame(i, s) * r.x_frame;
                }
            }
            const Real *bias = call.shared.bias;
            if (r.w_x) {
                call.shared.x.product(own.inputs, count, [&](int i, int block, const Real *sums) {
                    Real *to = own.gates + i * G * units + block * L;
                    for (int g = 0; g < G; ++g) {
                        store(to + g * units, load(sums + g * L) + load(bias + g * units + block * L));
                    }
                });
                return;
            }
            for (int i = 0; i < count; ++i) {
                for (int g = 0; g < G; ++g) {
                    Real *to = own.gates + (i * G + g) * units;
                    const Real *from = own.inputs[i] + g * r.units, *b = bias + g * units;
                    for (int64_t j = 0; j < r.units; j += L) {
                        store(to + j, load_first(from + j, lanes(r.units - j)) + load(b + j));
                    }
                }
            }
        }

        static int lanes(int64_t left) { return left < L ? static_cast<int>(left) : L; }

        CONVRNN_INLINE Here<Real> here(Real *gates, int i, int block, const Real *sums) const {
            const int64_t u = block * L;
            Here<Real> a;
            a.sums = sums;
            a.gates = gates + i * G * units + u;
            a.h = r.proj ? V{} : load(own.h[now] + i * width + u);
            a.c = C::c >= 0 ? load(own.c + i * units + u) : V{};
            a.b_h = call.shared.b_h + u;
            a.peep = r.peep ? call.shared.peep + u : nullptr;
            a.saved = own.saved[i] ? own.saved[i] + u : nullptr;
            a.padded = units;
            a.sums_apart = L;
            a.peep_apart = units;
            return a;
        }

        Real *saved(int i) const {
            const int values = convrnn::saved_values(r.cell, r.zone);
            return call.out.saved && values ? call.out.saved + (rows.row[i] * r.frames + rows.frame(i, step)) * values * units : nullptr;
        }

        // One step of the first `alive` rows.
        void advance(Real *gates, int alive) const {
            for (int i = 0; i < alive; ++i) {
                own.rows[i] = own.seen[now] + i * width;
                own.y[i] = y(rows.row[i], rows.frame(i, step));
                own.saved[i] = saved(i);
            }
            if constexpr (C::two) {
                call.shared.h.product(own.rows, alive, [&](int i, int block, const Real *sums) {
                    const Here<Real> a = here(gates, i, block, sums);
                    store(own.middle + i * units + block * L, C::reset(a, load(own.seen[now] + i * width + block * L)));
                });
                second(call.shared.candidate, alive, [&](int i, int block, const Real *sums) { equations(gates, i, block, sums); });
            } else if (r.elementwise) {
                elementwise(gates, alive);
            } else {
                call.shared.h.product(own.rows, alive, [&](int i, int block, const Real *sums) { equations(gates, i, block, sums); });
                if (r.proj) {
                    second(call.shared.proj, alive, [&](int i, int block, const Real *sums) { keep_h(i, block, load(sums)); });
                }
            }
        }

        // The product of what the first one left in the middle.
        template <typename Each>
        void second(const Panels<Real> &panels, int alive, Each &&each) const {
            for (int i = 0; i < alive; ++i) {
                own.rows[i] = own.middle + i * units;
            }
            panels.product(own.rows, alive, each);
        }

        void elementwise(Real *gates, int alive) const {
            for (int i = 0; i < alive; ++i) {
                for (int block = 0; block * L < r.units; ++block) {
                    Real sums[G * L];
                    for (int g = 0; g < G; ++g) {
                        store(sums + g * L, load(own.rows[i] + block * L) * load(call.shared.w_h + g * units + block * L));
                    }
                    equations(gates, i, block, sums);
                }
            }
        }

        CONVRNN_INLINE void equations(Real *gates, int i, int block, const Real *sums) const {
            const Here<Real> a = here(gates, i, block, sums);
            V c = a.c;
            const V h = C::step(a, c);
            if constexpr (C::c >= 0) {
                if (r.zone) {
                    c = blend(c, a.c, zone(i, r.width, r.units, block));
                }
                store(own.c + i * units + block * L, c);
                a.save(C::c, c);
            } else if (C::gates == 1 && r.zone) {
                a.save(0, h);
            }
            if (r.proj) {
                store(own.middle + i * units + block * L, h);
            } else {
                keep_h(i, block, h);
            }
        }

        // The share of the old state that stays, of the `count` values of a state that begin at `first` in it.
        CONVRNN_INLINE V zone(int i, int64_t first, int64_t count, int block) const {
            const Real *from = r.zone + rows.row[i] * r.zone_row + rows.frame(i, step) * r.zone_frame + first + block * L;
            return load_first(from, lanes(count - block * L));
        }

        // Where all of the old one stays it stays to the last bit.
        static CONVRNN_INLINE V blend(V fresh, V old, V stays) {
            const V apart = old - fresh;
            return stays < all<Real>(Real(0.5)) ? fresh + stays * apart : old - (Real(1) - stays) * apart;
        }

        CONVRNN_INLINE void keep_h(int i, int block, V h) const {
            const int64_t u = block * L;
            const int here = lanes(r.width - u);
            if (r.zone) {
                h = blend(h, load(own.h[now] + i * width + u), zone(i, 0, r.width, block));
            }
            store(own.h[1 - now] + i * width + u, h);
            if (r.drop) {
                store(own.seen[1 - now] + i * width + u, h * load_first(r.drop + rows.row[i] * r.width + u, here));
            }
            store_first(own.y[i] + u, h, here);
        }
    };
};

}  // namespace
