// Sums over the valid frames of all rows, channel by channel, and what is made of each frame by them: batch norm forward and backward. Knows
// nothing of Python and torch; rows and their parts are those of grid.h, with windows of one frame.
#pragma once

#include "windows.h"

namespace convrnn {

// Arrays `[B, T, C]` are dense; sums are `[C]`, in double: blocks of frames are added up in Real, blocks in double.
template <typename Real>
struct Moments {
    Grid grid;
    const Real *x;
    const Real *dy;    // null: mean and sum of (x - mean)^2; else sums of dy and of dy (x - middle)
    const Real *middle;  // [C], with dy only
    double *first, *second;
};

// y = dy p + (x - middle) q + r, zero beyond the lengths; without dy its product is left out.
template <typename Real>
struct Affine {
    Grid grid;
    const Real *x, *dy, *middle, *p, *q, *r;
    Real *y;
};

struct MomentLoops {
    bool (*sums_float)(const Moments<float> &);  // false: memory is short
    bool (*sums_double)(const Moments<double> &);
    void (*affine_float)(const Affine<float> &);
    void (*affine_double)(const Affine<double> &);
};

CONVRNN_DECLARE_FOR_EACH_ISA(MomentLoops, moments)

}  // namespace convrnn
