// Recurrences over pictures, kernels/reference.py with products that are convolutions of 3 x 3 positions: what goes in and out. Knows
// nothing of Python and torch.
//
// Shapes: B rows, T frames, Y x X positions, C channels, H units, G gates x H, K = H or, with a c, 2 H, in the layouts and the gate orders of
// kernels/reference.py. Arrays are dense but for x and dy, of which a frame is, and whose strides from row to row and frame to frame are given.
#pragma once

#include <cstdint>

#include "isa.h"
#include "recurrent.h"

namespace convrnn {

// A null pointer where kernels.reference.Recurrence has None. w_x and w_h are [G, C or H, 3, 3]; with w_x null x is the input's part of the
// gates ready-made, and C is G. peep is [gates that see c, Y, X, H].
template <typename Real>
struct Pictures {
    Cell cell;
    bool reverse;
    int64_t rows, frames, height, width, channels, units;
    const Real *x;
    int64_t x_row, x_frame;
    const int64_t *lengths;
    const Real *w_x, *w_h, *b, *state, *b_h, *peep;
    int threads;  // at most; results may differ in the last bits of weights' gradients between numbers of threads, not between runs
};

// saved: what backward needs, [B, T, Y, X, saved_values(cell, false), padded(H)], or null.
template <typename Real>
struct PicturesOut {
    Real *y, *final, *saved;
};

// In: y and saved as forward left them. Out: those not null.
template <typename Real>
struct PicturesBack {
    const Real *y, *saved, *dy, *dfinal;
    int64_t dy_row, dy_frame;
    Real *x, *w_x, *w_h, *b, *state, *b_h, *peep;
};

// For cells of one product. All return false, having done nothing, where memory is short.
struct OverPictures {
    bool (*forward_float)(const Pictures<float> &, const PicturesOut<float> &);
    bool (*forward_double)(const Pictures<double> &, const PicturesOut<double> &);
    bool (*backward_float)(const Pictures<float> &, const PicturesBack<float> &);
    bool (*backward_double)(const Pictures<double> &, const PicturesBack<double> &);
};

CONVRNN_DECLARE_FOR_EACH_ISA(OverPictures, over_pictures)

}  // namespace convrnn
