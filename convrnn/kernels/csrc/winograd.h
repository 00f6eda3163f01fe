// A convolution of 3 x 3 positions in 16 products for each 2 x 2 outputs where the direct way has 36: F(2 x 2, 3 x 3) of Winograd, by Lavin &
// Gray 2016, arXiv 1509.09308. Knows no cell and no memory.
//
// Outputs y of a tile from its 4 x 4 inputs d and the weights w:  y = A^T [(G w G^T) . (B^T d B)] A,  summed over channels before the A. Each of
// the 16 places in the brackets is a product of matrices of its own, [tiles, channels] x [channels, outputs]. The map is linear in d and in w,
// and so its gradients go the same way back: with Z = A dy A^T that of d is B [(G w G^T) . Z] B^T and that of w is G^T [(B^T d B) . Z] G. The
// numbers in A, B and G are 0, 1 and 1/2: in float32 the result is as exact as the direct one's (larger tiles have larger ones, and are not).
#pragma once

#include "micro.h"

namespace {

constexpr int kPlaces = 16;

// A line of each matrix, to be applied to the columns and then to the rows.
struct SpreadInputs {  // B^T
    static constexpr int from = 4, to = 4;
    template <typename T>
    static CONVRNN_INLINE void line(const T *d, int a, T *to, int b) {
        to[0] = d[0] - d[2 * a], to[b] = d[a] + d[2 * a], to[2 * b] = d[2 * a] - d[a], to[3 * b] = d[a] - d[3 * a];
    }
};

struct CollectInputs {  // B
    static constexpr int from = 4, to = 4;
    template <typename T>
    static CONVRNN_INLINE void line(const T *p, int a, T *to, int b) {
        to[0] = p[0], to[b] = p[a] - p[2 * a] + p[3 * a], to[2 * b] = p[a] + p[2 * a] - p[0], to[3 * b] = -p[3 * a];
    }
};

struct CollectOutputs {  // A^T
    static constexpr int from = 4, to = 2;
    template <typename T>
    static CONVRNN_INLINE void line(const T *m, int a, T *to, int b) {
        to[0] = m[0] + m[a] + m[2 * a], to[b] = m[a] - m[2 * a] - m[3 * a];
    }
};

struct SpreadOutputs {  // A
    static constexpr int from = 2, to = 4;
    template <typename T>
    static CONVRNN_INLINE void line(const T *y, int a, T *to, int b) {
        to[0] = y[0], to[b] = y[0] + y[a], to[2 * b] = y[0] - y[a], to[3 * b] = -y[a];
    }
};

struct SpreadWeights {  // G
    static constexpr int from = 3, to = 4;
    template <typename T>
    static CONVRNN_INLINE void line(const T *w, int a, T *to, int b) {
        const T ends = (w[0] + w[2 * a]) * T(0.5), middle = w[a] * T(0.5);
        to[0] = w[0], to[b] = ends + middle, to[2 * b] = ends - middle, to[3 * b] = w[2 * a];
    }
};

struct CollectWeights {  // G^T
    static constexpr int from = 4, to = 3;
    template <typename T>
    static CONVRNN_INLINE void line(const T *s, int a, T *to, int b) {
        const T sum = (s[a] + s[2 * a]) * T(0.5), difference = (s[a] - s[2 * a]) * T(0.5);
        to[0] = s[0] + sum, to[b] = difference, to[2 * b] = sum + s[3 * a];
    }
};

// from[Line::from][Line::from] to to[Line::to][Line::to].
template <typename Line, typename T>
CONVRNN_INLINE void both_ways(const T *from, T *to) {
    T middle[Line::to * Line::from];
#pragma GCC unroll 4
    for (int j = 0; j < Line::from; ++j) {
        Line::line(from + j, Line::from, middle + j, Line::from);
    }
#pragma GCC unroll 4
    for (int i = 0; i < Line::to; ++i) {
        Line::line(middle + i * Line::from, 1, to + i * Line::to, 1);
    }
}

// B^T d B of the channels of one register, at[] being where those of each input lie, to to[place * apart].
template <typename Real, bool whole>
CONVRNN_INLINE void spread_register(const Real *const *at, int64_t u, int n, Real *to, int64_t apart) {
    typedef Vec<Real> V;
    V d[kPlaces], v[kPlaces];
#pragma GCC unroll 16
    for (int i = 0; i < kPlaces; ++i) {
        d[i] = whole ? load(at[i] + u) : load_first(at[i] + u, n);
    }
    both_ways<SpreadInputs>(d, v);
#pragma GCC unroll 16
    for (int i = 0; i < kPlaces; ++i) {
        if (whole) {
            store(to + i * apart + u, v[i]);
        } else {
            store_first(to + i * apart + u, v[i], n);
        }
    }
}

// The same of `count` channels; nothing is written behind them.
template <typename Real>
void spread(const Real *const *at, int64_t count, Real *to, int64_t apart) {
    constexpr int L = kLanes<Real>;
    int64_t u = 0;
    for (; u + L <= count; u += L) {
        spread_register<Real, true>(at, u, L, to, apart);
    }
    if (u < count) {
        spread_register<Real, false>(at, u, static_cast<int>(count - u), to, apart);
    }
}

// to[row][vectors][lanes] = the sum over k of rows[row * apart + k] panel[k][vectors][lanes].
template <typename Real>
void times_panel(const Real *rows, int64_t apart, int count, int64_t terms, const Real *panel, int vectors, Real *to) {
    // As equal as they come: a group of one row costs as much as one of half a dozen.
    const int most = rows_at_once(vectors), groups = (count + most - 1) / most, small = count / groups, larger = count % groups;
    for (int g = 0, first = 0; g < groups; ++g) {
        const int n = small + (g < larger);
        const Real *at[kMostRows];
        for (int i = 0; i < n; ++i) {
            at[i] = rows + (first + i) * apart;
        }
        pick<Real, false>(vectors, n)(at, terms, panel, 0, to + first * vectors * kLanes<Real>, false);
        first += n;
    }
}

// to[i * stride + column] += the sum over k of a[k * a_apart + i] b[k * b_apart + column], i < kOuterRows.
template <typename Real, int NV>
void add_outer(const Real *a, int64_t a_apart, const Real *b, int64_t b_apart, int terms, Real *to, int64_t stride) {
    typedef Vec<Real> V;
    constexpr int L = kLanes<Real>;
    V sum[kOuterRows][NV] = {};
    for (int k = 0; k < terms; ++k) {
        V columns[NV];
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) {
            columns[j] = load(b + k * b_apart + j * L);
        }
#pragma GCC unroll 8
        for (int i = 0; i < kOuterRows; ++i) {
            const Real each = a[k * a_apart + i];
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) {
                sum[i][j] += each * columns[j];
            }
        }
    }
    for (int i = 0; i < kOuterRows; ++i) {
        for (int j = 0; j < NV; ++j) {
            store(to + i * stride + j * L, load(to + i * stride + j * L) + sum[i][j]);
        }
    }
}

// The same for `rows` and `columns`, which both have room to the end of kOuterRows and of a register.
template <typename Real>
void add_outer(const Real *a, int64_t a_apart, const Real *b, int64_t b_apart, int terms, int64_t rows, int64_t columns, Real *to,
               int64_t stride) {
    constexpr int L = kLanes<Real>;
    for (int64_t column = 0; column < columns; column += 3 * L) {
        const int64_t left = (columns - column + L - 1) / L;
        for (int64_t row = 0; row < rows; row += kOuterRows) {
            const Real *mine = a + row;
            Real *target = to + row * stride + column;
            switch (left) {
                case 1: add_outer<Real, 1>(mine, a_apart, b + column, b_apart, terms, target, stride); break;
                case 2: add_outer<Real, 2>(mine, a_apart, b + column, b_apart, terms, target, stride); break;
                default: add_outer<Real, 3>(mine, a_apart, b + column, b_apart, terms, target, stride);
            }
        }
    }
}

}  // namespace
