// Which rows a part of the work has, and in which order frames are read. Knows no cell.
#pragma once

#include <cstdint>

namespace convrnn {

// The rows of one part, by falling length: those alive at a step are the first ones. A step counts from where the recurrence begins in
// each row, so the backward direction needs no more than `frame`.
struct Rows {
    const int32_t *row;
    int count;
    const int64_t *length;  // of all rows
    bool reverse;

    int64_t steps() const { return count ? length[row[0]] : 0; }

    // How many rows have step s.
    int alive(int64_t s) const {
        int low = 0, high = count;
        while (low < high) {
            const int middle = (low + high) / 2;
            if (length[row[middle]] > s) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    int64_t frame(int i, int64_t s) const { return reverse ? length[row[i]] - 1 - s : s; }
};

// Rows by falling length, dealt out to and fro, so that each part has as much to do.
struct Plan {
    int parts;
    int32_t *row;     // [rows], one part behind the other
    int32_t *begins;  // [parts + 1]
    int64_t *length;  // [rows], within [0, frames]

    Rows rows(int part, bool reverse) const { return {row + begins[part], begins[part + 1] - begins[part], length, reverse}; }
};

// Fills the arrays of a plan whose `parts` is set, 1 <= parts <= rows or rows = 0.
void fill(Plan &plan, int64_t rows, int64_t frames, const int64_t *lengths);

}  // namespace convrnn
