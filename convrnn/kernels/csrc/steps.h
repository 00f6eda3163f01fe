// One step of a cell without its products, forward and back, for many rows: what stands behind a convolution over space, where each
// position is a row. Knows nothing of Python, torch, time and lengths.
#pragma once

#include <cstdint>

#include "isa.h"
#include "recurrent.h"

namespace convrnn {

// Numbers that lie side by side in rows; rows `apart`.
template <typename Real>
struct Table {
    Real *at;
    int64_t apart;
};

// Rows of `units` numbers a gate, value or state. What of a cell is done: `whole`, or of the GRU with the reset before the product what
// stands before its second product.
template <typename Real>
struct Step {
    Cell cell;
    bool reset;
    int64_t rows, units;
    int threads;
    Table<Real> gates, sums;  // [G]: what the input gives; what the state gives, of this product's gates
    Table<Real> h, c;         // the state before; c where the cell has one
    const Real *b_h, *peep;   // peepholes [G - 1][peep_rows][units], the rows one after the other again and again
    int64_t peep_rows;
    Table<Real> saved;        // [values], or null
    Table<Real> new_h, new_c; // with `reset` new_h is r h
};

// gates, sums and saved as above where backward reads them. d_gates [G] and d_sums [G] are filled; they are the same but where r stands
// between (GRU, reset after the product). dh, dc: of the state after the step, then of the one before, as far as it is known without the
// products. With `reset` dh is that of r h, then that of h by this way. Gradients of peepholes are left to who has all frames.
template <typename Real>
struct StepBack {
    Cell cell;
    bool reset;
    int64_t rows, units;
    int threads;
    Table<Real> out, h, c, saved, d_gates, d_sums, dh, dc;
    const Real *peep;
    int64_t peep_rows;
};

struct Steps {
    void (*forward_float)(const Step<float> &);
    void (*forward_double)(const Step<double> &);
    void (*backward_float)(const StepBack<float> &);
    void (*backward_double)(const StepBack<double> &);
};

CONVRNN_DECLARE_FOR_EACH_ISA(Steps, steps)

}  // namespace convrnn
