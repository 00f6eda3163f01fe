// Convolution and pooling over windows of frames, in rows of their own lengths, forward and backward: what goes in and out. Knows nothing of
// Python and torch.
//
// Shapes: B rows, T frames, C channels, U windows a row, F features. All arrays are dense. Beyond a row's length nothing is read, and where
// there is no window zeros are written: ragged rows cost their own length, and what comes out needs no mask.
#pragma once

#include <cstdint>

#include "isa.h"

namespace convrnn {

// Window j of a row reads the frames j * stride - left + k * dilation for k < taps; those outside of the row count as zeros, and in a pool
// not at all. A pool has no dilation and nothing on the left.
struct Grid {
    int64_t rows, frames, channels;
    const int64_t *lengths;  // [B], 0 to frames; null: all rows are full
    int64_t windows;         // U, of a row of all frames
    int64_t taps, stride, dilation, left;
    bool partial;  // a row of n frames has ceil(n / stride) windows; else only as many as it fills
    int parts;     // that the work is cut into; only gradients of weights depend on it, in their last bits
};

template <typename Real>
struct Conv {
    Grid grid;
    int64_t features;
    const Real *x;     // [B, T, C]
    const Real *w;     // [F, C, taps]
    const Real *bias;  // [F] or null
    Real *y;           // [B, U, F]; forward only

    // backward only
    const Real *dy;         // [B, U, F]
    Real *dx, *dw, *dbias;  // those not null
};

template <typename Real>
struct Pool {
    Grid grid;
    bool maximum;   // else the mean of the frames that there are
    const Real *x;  // [B, T, C]
    Real *y;        // [B, U, C]; backward it is read, if `maximum`

    // backward only
    const Real *dy;  // [B, U, C]
    Real *dx;        // [B, T, C]; of equal frames the first takes all
};

// Those of convolution return false, having done nothing, where memory is short.
struct WindowLoops {
    bool (*conv_forward_float)(const Conv<float> &);
    bool (*conv_forward_double)(const Conv<double> &);
    bool (*conv_backward_float)(const Conv<float> &);
    bool (*conv_backward_double)(const Conv<double> &);
};

struct PoolLoops {
    void (*forward_float)(const Pool<float> &);
    void (*forward_double)(const Pool<double> &);
    void (*backward_float)(const Pool<float> &);
    void (*backward_double)(const Pool<double> &);
};

CONVRNN_DECLARE_FOR_EACH_ISA(WindowLoops, conv)
CONVRNN_DECLARE_FOR_EACH_ISA(PoolLoops, pool)

}  // namespace convrnn
