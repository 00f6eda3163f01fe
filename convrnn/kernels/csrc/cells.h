// The equations of kernels/reference.py and their derivatives, for one row and the units of one register. Knows no product and no loop.
//
// Values lie side by side at a distance of `padded` units: the gates of the input, the values saved for backward, the slots of gradients
// before the gates' functions; peepholes at `peep_apart`. i f g o, r z n, c and h are the papers' symbols; a d before one is the gradient of the loss by it.
#pragma once

#include "recurrent.h"
#include "vec.h"

namespace {

// What a step forward reads, at the units of the register.
template <typename Real>
struct Here {
    const Real *sums;         // [gates][sums_apart]: what the state gives to the gates
    Real *gates;              // [gates][padded]: what the input gives
    Vec<Real> h, c;           // the state
    const Real *b_h, *peep;   // the bias inside the reset (zeros where there is none); peepholes [.][padded] or null
    Real *saved;              // [values][padded], or null where no backward will come
    int64_t padded, sums_apart, peep_apart;

    CONVRNN_INLINE Vec<Real> from_state(int gate) const { return load(sums + gate * sums_apart); }
    CONVRNN_INLINE Vec<Real> from_input(int gate) const { return load(gates + gate * padded); }
    CONVRNN_INLINE Vec<Real> gate(int gate) const { return from_input(gate) + from_state(gate); }
    CONVRNN_INLINE void save(int value, Vec<Real> v) const {
        if (saved) {
            store(saved + value * padded, v);
        }
    }
};

// What a step back reads and writes, at the units of the register.
template <typename Real>
struct Back {
    const Real *saved;     // as forward left them
    Vec<Real> out;         // h as the equations gave it
    Vec<Real> h, c;        // the state before the step
    const Real *peep;
    Real *d_peep;          // summed up here, or null
    Vec<Real> dh, dc;      // of what the equations gave; dc is then that of the state before
    Real *slots;           // [slots][slots_apart]
    Vec<Real> direct;      // what of the gradient of h before the step does not come through the products
    Vec<Real> seen;        // o tanh(c), what a projection sees
    int64_t padded, slots_apart, peep_apart;

    CONVRNN_INLINE Vec<Real> value(int which) const { return load(saved + which * padded); }
    CONVRNN_INLINE void slot(int which, Vec<Real> v) const { store(slots + which * slots_apart, v); }
    CONVRNN_INLINE void add_to_peep(int which, Vec<Real> v) const {
        if (d_peep) {
            store(d_peep + which * peep_apart, load(d_peep + which * peep_apart) + v);
        }
    }
};

// Of every cell: `gates`, in the products; `slots`, gates whose gradients are kept apart; x_slot(g) and h_slot(g), where the gradient of
// gate g by the input's and by the state's part lies; `c`, where c lies in what is saved (-1: none); `two`, whether a second product reads
// what comes from the first.
template <typename Real, bool relu>
struct Rnn {
    static constexpr int gates = 1, slots = 1, c = -1;
    static constexpr bool two = false;
    typedef Vec<Real> V;

    static CONVRNN_INLINE V step(const Here<Real> &a, V &) {
        const V sum = a.gate(0);
        if constexpr (relu) {
            return sum < V{} ? V{} : sum;
        } else {
            return tanh<Real>(sum);
        }
    }

    static CONVRNN_INLINE void back(Back<Real> &a) {
        if constexpr (relu) {
            a.slot(0, a.out > V{} ? a.dh : V{});
        } else {
            a.slot(0, a.dh * (Real(1) - a.out * a.out));
        }
        a.direct = V{};
    }
};

template <typename Real>
struct Lstm {
    static constexpr int gates = 4, slots = 4, c = 4;
    static constexpr bool two = false;
    typedef Vec<Real> V;

    static CONVRNN_INLINE V step(const Here<Real> &a, V &c) {
        V i = a.gate(0), f = a.gate(1), o = a.gate(3);
        if (a.peep) {
            i += load(a.peep) * a.c;
            f += load(a.peep + a.peep_apart) * a.c;
        }
        i = sigmoid<Real>(i), f = sigmoid<Real>(f);
        const V g = tanh<Real>(a.gate(2));
        c = f * a.c + i * g;
        if (a.peep) {
            o += load(a.peep + 2 * a.peep_apart) * c;
        }
        o = sigmoid<Real>(o);
        a.save(0, i), a.save(1, f), a.save(2, g), a.save(3, o);
        return o * tanh<Real>(c);
    }

    static CONVRNN_INLINE void back(Back<Real> &a) {
        const V i = a.value(0), f = a.value(1), g = a.value(2), o = a.value(3);
        const V c = f * a.c + i * g, tanh_c = tanh<Real>(c);
        const V d_o = a.dh * tanh_c * (o * (Real(1) - o));
        V dc = a.dc + a.dh * o * (Real(1) - tanh_c * tanh_c);
        if (a.peep) {
            dc += d_o * load(a.peep + 2 * a.peep_apart);
        }
        const V d_i = dc * g * (i * (Real(1) - i)), d_f = dc * a.c * (f * (Real(1) - f));
        a.slot(0, d_i), a.slot(1, d_f), a.slot(2, dc * i * (Real(1) - g * g)), a.slot(3, d_o);
        a.dc = dc * f;
        if (a.peep) {
            a.dc += d_i * load(a.peep) + d_f * load(a.peep + a.peep_apart);
            a.add_to_peep(0, d_i * a.c), a.add_to_peep(1, d_f * a.c), a.add_to_peep(2, d_o * c);
        }
        a.direct = V{};
        a.seen = o * tanh_c;
    }
};

template <typename Real>
struct LstmCoupled {
    static constexpr int gates = 3, slots = 3, c = 3;
    static constexpr bool two = false;
    typedef Vec<Real> V;

    static CONVRNN_INLINE V step(const Here<Real> &a, V &c) {
        V f = a.gate(0), o = a.gate(2);
        if (a.peep) {
            f += load(a.peep) * a.c;
        }
        f = sigmoid<Real>(f);
        const V g = tanh<Real>(a.gate(1));
        c = g + f * (a.c - g);
        if (a.peep) {
            o += load(a.peep + a.peep_apart) * c;
        }
        o = sigmoid<Real>(o);
        a.save(0, f), a.save(1, g), a.save(2, o);
        return o * tanh<Real>(c);
    }

    static CONVRNN_INLINE void back(Back<Real> &a) {
        const V f = a.value(0), g = a.value(1), o = a.value(2);
        const V c = g + f * (a.c - g), tanh_c = tanh<Real>(c);
        const V d_o = a.dh * tanh_c * (o * (Real(1) - o));
        V dc = a.dc + a.dh * o * (Real(1) - tanh_c * tanh_c);
        if (a.peep) {
            dc += d_o * load(a.peep + a.peep_apart);
        }
        const V d_f = dc * (a.c - g) * (f * (Real(1) - f));
        a.slot(0, d_f), a.slot(1, dc * (Real(1) - f) * (Real(1) - g * g)), a.slot(2, d_o);
        a.dc = dc * f;
        if (a.peep) {
            a.dc += d_f * load(a.peep);
            a.add_to_peep(0, d_f * a.c), a.add_to_peep(1, d_o * c);
        }
        a.direct = V{};
        a.seen = o * tanh_c;
    }
};

template <typename Real>
struct Gru {
    static constexpr int gates = 3, slots = 4, c = -1;
    static constexpr bool two = false;
    typedef Vec<Real> V;

    static CONVRNN_INLINE V step(const Here<Real> &a, V &) {
        const V r = sigmoid<Real>(a.gate(0)), z = sigmoid<Real>(a.gate(1));
        const V h_n = a.from_state(2) + load(a.b_h);
        const V n = tanh<Real>(a.from_input(2) + r * h_n);
        a.save(0, r), a.save(1, z), a.save(2, n), a.save(3, h_n);
        return n + z * (a.h - n);
    }

    static CONVRNN_INLINE void back(Back<Real> &a) {
        const V r = a.value(0), z = a.value(1), n = a.value(2), h_n = a.value(3);
        const V d_n = a.dh * (Real(1) - z) * (Real(1) - n * n);
        a.slot(0, d_n * h_n * (r * (Real(1) - r)));
        a.slot(1, a.dh * (a.h - n) * (z * (Real(1) - z)));
        a.slot(2, d_n * r);
        a.slot(3, d_n);
        a.direct = a.dh * z;
    }
};

template <typename Real>
struct LiGru {
    static constexpr int gates = 2, slots = 2, c = -1;
    static constexpr bool two = false;
    typedef Vec<Real> V;

    static CONVRNN_INLINE V step(const Here<Real> &a, V &) {
        const V z = sigmoid<Real>(a.gate(0)), sum = a.gate(1), n = sum < V{} ? V{} : sum;
        a.save(0, z), a.save(1, n);
        return n + z * (a.h - n);
    }

    static CONVRNN_INLINE void back(Back<Real> &a) {
        const V z = a.value(0), n = a.value(1);
        a.slot(0, a.dh * (a.h - n) * (z * (Real(1) - z)));
        a.slot(1, n > V{} ? a.dh * (Real(1) - z) : V{});
        a.direct = a.dh * z;
    }
};

// The candidate's product sees r h: `reset` stands between the products, forward and back.
template <typename Real>
struct GruBefore {
    static constexpr int gates = 3, slots = 3, c = -1;
    static constexpr bool two = true;
    typedef Vec<Real> V;

    // r times what the products see of h; z is left where the input's part of it was.
    static CONVRNN_INLINE V reset(const Here<Real> &a, V seen) {
        const V r = sigmoid<Real>(a.gate(0)), z = sigmoid<Real>(a.gate(1));
        a.save(0, r), a.save(1, z);
        store(a.gates + a.padded, z);
        return r * seen;
    }

    static CONVRNN_INLINE V step(const Here<Real> &a, V &) {
        const V z = a.from_input(1), n = tanh<Real>(a.from_input(2) + a.from_state(0));
        a.save(2, n);
        return n + z * (a.h - n);
    }

    static CONVRNN_INLINE void back(Back<Real> &a) {
        const V z = a.value(1), n = a.value(2);
        a.slot(1, a.dh * (a.h - n) * (z * (Real(1) - z)));
        a.slot(2, a.dh * (Real(1) - z) * (Real(1) - n * n));
        a.direct = a.dh * z;
    }

    // From the gradient of r times seen: that of seen, by this way.
    static CONVRNN_INLINE V back_reset(const Real *saved, Real *slots, V d_product, V seen) {
        const V r = load(saved);
        store(slots, d_product * seen * (r * (Real(1) - r)));
        return d_product * r;
    }
};

// Where the gradients of gate g by the input's part and by the state's part lie: apart only where r multiplies the latter.
template <typename C>
constexpr int x_slot(int g) { return C::slots > C::gates && g == C::gates - 1 ? g + 1 : g; }

}  // namespace
