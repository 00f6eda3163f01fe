// Recurrences that are linear in their state: c_t = a_t c_{t-1} + b_t, channel by channel, with a and b functions of the input's gates, and
// h_t read from c_t. Forward and backward. Knows the cells of scan_cells.h by name; nothing of Python, tensors or threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.h"

namespace convrnn {

// One job. Arrays are dense; what a cell reads of a frame are its operands, `units` numbers each, side by side in `gates`; the last one may
// stand in an array of its own, `apart`. Beyond a row's length nothing is read and zeros are written.
template <typename Real>
struct Scan {
    size_t rows, frames, units;
    const int64_t *lengths;  // [rows], 0 to frames; null: all rows are full
    bool reverse;            // from each row's last valid frame to its first
    int parts;               // that the work is cut into

    const Real *gates;  // [rows, frames, operands (one less with `apart`), units]
    const Real *apart;  // [rows, frames, units] or null
    double *carry;      // [rows, units]: forward the state, before and after; backward its gradient, after and before

    Real *h;       // [rows, frames, units]; forward only
    Real *memory;  // [rows, frames, units]: c. Forward it is written, or null: where c is h, always; backward it is read

    // backward only
    const Real *state;      // [rows, units], before the first frame
    const Real *dh;         // [rows, frames, units]
    Real *dgates, *dapart;  // as gates and apart
};

// The loops of a cell: each does one part of a Scan<float> or Scan<double>. What is computed does not depend on the number of parts.
typedef void ScanLoop(void *scan, int part);

struct ScanCell {
    const char *name;
    ScanLoop *forward_float, *backward_float, *forward_double, *backward_double;
};

struct ScanCells {
    const ScanCell *first;
    size_t count;
};

CONVRNN_DECLARE_FOR_EACH_ISA(ScanCells, scan_cells)

}  // namespace convrnn
