// Where windows lie, and which part of the work computes which. Knows no arithmetic of a window.
#pragma once

#include "vec.h"
#include "windows.h"

namespace {

using convrnn::Grid;

inline int64_t length(const Grid &g, int64_t row) {
    const int64_t n = g.lengths ? g.lengths[row] : g.frames;
    return n < 0 ? 0 : n > g.frames ? g.frames : n;
}

inline int64_t span(const Grid &g) { return (g.taps - 1) * g.dilation + 1; }

inline int64_t windows(const Grid &g, int64_t row) {
    const int64_t n = length(g, row);
    if (g.partial) {
        return (n + g.stride - 1) / g.stride;
    }
    return n < span(g) ? 0 : (n - span(g)) / g.stride + 1;
}

// The frame that window j begins at.
inline int64_t start(const Grid &g, int64_t j) { return j * g.stride - g.left; }

// Some windows of one row, [begin, end), and the frames [first, last) that nobody else writes the gradient of.
struct Piece {
    int64_t row, begin, end, first, last;
};

// The windows of a part: those of all rows, one row behind the other, are divided into equal parts, wherever that cuts.
class Pieces {
 public:
    Pieces(const Grid &grid, int part) : g_(grid) {
        int64_t total = 0;
        for (int64_t row = 0; row < g_.rows; ++row) {
            total += windows(g_, row);
        }
        begin_ = total * part / g_.parts;
        end_ = total * (part + 1) / g_.parts;
    }

    bool next(Piece &piece) {
        for (; row_ < g_.rows; ++row_) {
            const int64_t n = windows(g_, row_), begin = begin_ - passed_, end = end_ - passed_;
            passed_ += n;
            piece = {row_, begin < 0 ? 0 : begin, end > n ? n : end, 0, 0};
            if (piece.begin < piece.end) {
                piece.first = piece.begin ? inside(start(g_, piece.begin)) : 0;
                piece.last = piece.end < n ? inside(start(g_, piece.end)) : length(g_, row_);
                ++row_;
                return true;
            }
        }
        return false;
    }

 private:
    int64_t inside(int64_t frame) const {
        const int64_t n = length(g_, row_);
        return frame < 0 ? 0 : frame > n ? n : frame;
    }

    const Grid &g_;
    int64_t row_ = 0, passed_ = 0, begin_ = 0, end_ = 0;
};

// The windows that read any of the frames [first, last) of a row.
inline void reading(const Grid &g, int64_t row, int64_t first, int64_t last, int64_t &begin, int64_t &end) {
    const int64_t low = first + g.left - span(g) + 1, high = last - 1 + g.left, n = windows(g, row);
    begin = low <= 0 ? 0 : (low + g.stride - 1) / g.stride;
    end = high < 0 || first >= last ? 0 : high / g.stride + 1;
    end = end > n ? n : end;
}

// Zeros behind the last window of each row; the rows are divided among the parts.
template <typename Real>
void clear_windows(const Grid &g, int part, int64_t width, Real *y) {
    for (int64_t row = g.rows * part / g.parts; row < g.rows * (part + 1) / g.parts; ++row) {
        const int64_t n = windows(g, row);
        zero(y + (row * g.windows + n) * width, (g.windows - n) * width);
    }
}

// Zeros for the frames that no piece has: those behind the end of each row, and all of a row without a window.
template <typename Real>
void clear_frames(const Grid &g, int part, Real *dx) {
    for (int64_t row = g.rows * part / g.parts; row < g.rows * (part + 1) / g.parts; ++row) {
        const int64_t n = windows(g, row) ? length(g, row) : 0;
        zero(dx + (row * g.frames + n) * g.channels, (g.frames - n) * g.channels);
    }
}

template <typename Real>
CONVRNN_INLINE int lanes(int64_t left) {
    return left < kLanes<Real> ? static_cast<int>(left) : kLanes<Real>;
}

}  // namespace
