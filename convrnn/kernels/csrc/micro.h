// The products that everything here is made of: a few rows times a panel of columns, in registers from the first term to the last.
//
// A panel is packed as it is read: for each k, the lanes of G vectors. MR rows x G x U vectors are summed up at once, as many as there are
// registers; each sum runs over k in its order, in one register, whatever MR and U are. So a row's result does not depend on the rows
// beside it, on the batch or on the chunk, to the bit. (Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication".)
#pragma once

#include "vec.h"

namespace {

// Sums in registers: of 32 or of 16, less those for the panel and the rows.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kSums = 24, kMostRows = 8;
#else
constexpr int kSums = 12, kMostRows = 6;
#endif

// Rows at a time with G vectors each.
constexpr int rows_at_once(int G) { return kSums / G < kMostRows ? kSums / G : kMostRows; }

// Panels at a time for MR rows, so that few rows keep the multipliers busy too.
constexpr int panels_at_once(int G, int MR) {
    const int u = kSums / (G * MR);
    return u < 1 ? 1 : u > 4 ? 4 : u;
}

// tile[row][panel][G][lanes] = or += the sum over k of a[row][k] panel[k][G][lanes].
template <typename Real>
using Micro = void (*)(const Real *const *a, int64_t terms, const Real *panel, int64_t next_panel, Real *tile, bool add);

template <typename Real, int G, int MR, int U>
void micro(const Real *const *a, int64_t terms, const Real *panel, int64_t next_panel, Real *tile, bool add) {
    typedef Vec<Real> V;
    constexpr int L = kLanes<Real>, N = G * U;
    V sum[MR][N];
    const Real *row[MR];
    for (int i = 0; i < MR; ++i) {
        row[i] = a[i];
        for (int j = 0; j < N; ++j) {
            sum[i][j] = add ? load(tile + (i * N + j) * L) : V{};
        }
    }
    for (int64_t k = 0; k < terms; ++k) {
        V b[N];
#pragma GCC unroll 16
        for (int j = 0; j < N; ++j) {
            b[j] = load(panel + (j / G) * next_panel + (k * G + j % G) * L);
        }
#pragma GCC unroll 8
        for (int i = 0; i < MR; ++i) {
            const Real each = row[i][k];
#pragma GCC unroll 16
            for (int j = 0; j < N; ++j) {
                sum[i][j] += each * b[j];
            }
        }
    }
    for (int i = 0; i < MR; ++i) {
        for (int j = 0; j < N; ++j) {
            store(tile + (i * N + j) * L, sum[i][j]);
        }
    }
}

// The same for rows that lie side by side, a[k][MR], and sums that lie in a matrix: to[row * stride + j lanes] += ...
template <typename Real, int MR, int NV>
void outer(const Real *a, int64_t terms, const Real *panel, Real *to, int64_t stride) {
    typedef Vec<Real> V;
    constexpr int L = kLanes<Real>;
    V sum[MR][NV] = {};
    for (int64_t k = 0; k < terms; ++k) {
        V b[NV];
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) {
            b[j] = load(panel + (k * NV + j) * L);
        }
#pragma GCC unroll 8
        for (int i = 0; i < MR; ++i) {
            const Real each = a[k * MR + i];
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) {
                sum[i][j] += each * b[j];
            }
        }
    }
    for (int i = 0; i < MR; ++i) {
        for (int j = 0; j < NV; ++j) {
            store(to + i * stride + j * L, load(to + i * stride + j * L) + sum[i][j]);
        }
    }
}

// Rows of a gradient of weights at a time, with at most three vectors of columns.
constexpr int kOuterRows = rows_at_once(3) / 4 * 4;

template <typename Real>
CONVRNN_INLINE void outer(int vectors, const Real *a, int64_t terms, const Real *panel, Real *to, int64_t stride) {
    switch (vectors) {
        case 1: return outer<Real, kOuterRows, 1>(a, terms, panel, to, stride);
        case 2: return outer<Real, kOuterRows, 2>(a, terms, panel, to, stride);
        default: return outer<Real, kOuterRows, 3>(a, terms, panel, to, stride);
    }
}

// By the number of vectors in a panel, 1 to 4, and of rows, 1 to rows_at_once(vectors): one panel at a time, or as many as registers hold.
template <typename Real, int G, int MR, bool Many>
constexpr Micro<Real> pick() {
    if constexpr (MR <= rows_at_once(G)) {
        return micro<Real, G, MR, Many ? panels_at_once(G, MR) : 1>;
    } else {
        return nullptr;
    }
}

template <typename Real, int G, bool Many>
Micro<Real> pick(int rows) {
    static constexpr Micro<Real> table[] = {pick<Real, G, 1, Many>(), pick<Real, G, 2, Many>(), pick<Real, G, 3, Many>(),
                                            pick<Real, G, 4, Many>(), pick<Real, G, 5, Many>(), pick<Real, G, 6, Many>(),
                                            pick<Real, G, 7, Many>(), pick<Real, G, 8, Many>()};
    return table[rows - 1];
}

template <typename Real, bool Many>
Micro<Real> pick(int vectors, int rows) {
    switch (vectors) {
        case 1: return pick<Real, 1, Many>(rows);
        case 2: return pick<Real, 2, Many>(rows);
        case 3: return pick<Real, 3, Many>(rows);
        default: return pick<Real, 4, Many>(rows);
    }
}

}  // namespace
