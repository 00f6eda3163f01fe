// Gradients of weights: sums over frames of a column of one matrix times a row of another. Knows no cell.
#pragma once

#include "panels.h"
#include "recurrent.h"

namespace {

template <typename Real>
struct Outer {
    static constexpr int L = kLanes<Real>, R = kOuterRows;

    Real *strip;    // [terms][R]
    Real *columns;  // [groups of three vectors][terms][vectors][lanes]

    // Takes the rows that are multiplied with, of `width` numbers each; with `factors`, each times that of its row of the batch, which
    // is place / frames.
    void pack(const Real *const *rows, int64_t terms, int64_t width, const Real *factors = nullptr, const int64_t *place = nullptr,
              int64_t frames = 1) const {
        Real *to = columns;
        for (int64_t first = 0; first < width; first += 3 * L) {
            const int64_t here = vectors(width - first);
            for (int64_t k = 0; k < terms; ++k) {
                for (int64_t j = 0; j < here; ++j, to += L) {
                    const int64_t at = first + j * L;
                    const int n = static_cast<int>(width - at < L ? width - at : L);
                    auto v = load_first(rows[k] + at, n);
                    if (factors) {
                        v *= load_first(factors + place[k] / frames * width + at, n);
                    }
                    store(to, v);
                }
            }
        }
    }

    // to[row][column], rows `padded(width)` apart, += the sum over k of a[k * apart + row] times the column of what was packed.
    void add(const Real *a, int64_t apart, int64_t terms, int64_t rows, int64_t width, Real *to) const {
        const int64_t stride = convrnn::padded(width);
        for (int64_t row = 0; row < rows; row += R) {
            for (int64_t k = 0; k < terms; ++k) {
                std::memcpy(strip + k * R, a + k * apart + row, R * sizeof(Real));
            }
            const Real *panel = columns;
            for (int64_t first = 0; first < width; first += 3 * L) {
                const int64_t here = vectors(width - first);
                outer(static_cast<int>(here), strip, terms, panel, to + row * stride + first, stride);
                panel += here * L * terms;
            }
        }
    }

 private:
    static int64_t vectors(int64_t left) { return left >= 3 * L ? 3 : (left + L - 1) / L; }
};

}  // namespace
