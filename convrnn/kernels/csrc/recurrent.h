// The recurrences of kernels/reference.py over whole rows, forward and backward: what goes in and out. Knows nothing of Python and torch.
//
// Shapes: B rows, T frames, C channels, H units, P width of h (H, or that of the projection), G gates x H, K width of the state (P, or P + H
// with a c), in the layouts and the gate orders of kernels/reference.py. Arrays are dense but for x, y, dy and zone, whose strides are given.
#pragma once

#include <cstdint>

#include "isa.h"

namespace convrnn {

enum class Cell { rnn_tanh, rnn_relu, lstm, lstm_coupled, gru, gru_before, ligru };

// As kernels.reference.Recurrence; a null pointer where that has None. Strides in elements.
template <typename Real>
struct Recurrence {
    Cell cell;
    bool reverse;
    bool elementwise;  // w_h is [G]
    int64_t rows, frames, channels, units, width;
    const Real *x;
    int64_t x_row, x_frame;
    const int64_t *lengths;
    const Real *w_x, *w_h, *b, *state, *b_h, *peep, *proj, *drop;
    const Real *zone;
    int64_t zone_row, zone_frame;
    int threads;  // at most; results may differ in the last bits of weights' gradients between numbers of threads, not between runs
    Real *packed;  // the weights as forward reads them, 64-aligned, left there by `pack`; null: each call packs them in memory of its own
};

// saved: what backward needs, [B, T, saved_values(cell, zone), padded(H)], or null.
template <typename Real>
struct Outputs {
    Real *y, *final, *saved;
    int64_t y_row, y_frame;
};

// In: y and saved as forward left them. Out: those not null.
template <typename Real>
struct Gradients {
    const Real *y, *saved, *dy, *dfinal;
    int64_t y_row, y_frame, dy_row, dy_frame;
    Real *x, *w_x, *w_h, *b, *state, *b_h, *peep, *proj;
};

// Units of a saved value: a multiple of every register's lanes.
constexpr int64_t padded(int64_t units) { return (units + 15) / 16 * 16; }

// Whether a state is h and c side by side.
constexpr bool has_c(Cell cell) { return cell == Cell::lstm || cell == Cell::lstm_coupled; }

// How many values of H units a frame backward needs besides y.
constexpr int saved_values(Cell cell, bool zone) {
    switch (cell) {
        case Cell::lstm: return 5;
        case Cell::lstm_coupled: return 4;
        case Cell::gru: return 4;
        case Cell::gru_before: return 3;
        case Cell::ligru: return 2;
        default: return zone ? 1 : 0;
    }
}

// One recurrence, or two of the same cell over the same rows, the directions of a layer, at once. Forward and backward return false, having
// done nothing, where memory is short.
template <typename Real>
struct RecurrentOf {
    bool (*forward)(const Recurrence<Real> *, const Outputs<Real> *, int count);
    bool (*backward)(const Recurrence<Real> *, const Gradients<Real> *, int count);
    int64_t (*packed_bytes)(const Recurrence<Real> &);
    void (*pack)(const Recurrence<Real> &);
};

struct Recurrent {
    RecurrentOf<float> single;
    RecurrentOf<double> twice;
};

CONVRNN_DECLARE_FOR_EACH_ISA(Recurrent, recurrent)

}  // namespace convrnn
