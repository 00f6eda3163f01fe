// Squares of as many registers as a register has lanes, transposed. For files compiled once an instruction set, as vec.h.
#pragma once

#include "vec.h"

namespace {

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define CONVRNN_SHUFFLES
#endif
#endif

#if defined(CONVRNN_SHUFFLES)
template <int... I>
struct Places {};

template <int N, int... I>
struct UpTo : UpTo<N - 1, N - 1, I...> {};

template <int... I>
struct UpTo<0, I...> {
    typedef Places<I...> All;
};

// Of every 2 W lanes: the upper W of `a` for the lower W of `b`.
template <int W, typename V, int... I>
CONVRNN_INLINE void exchange(V &a, V &b, Places<I...>) {
    constexpr int lanes = sizeof...(I);
    const V first = __builtin_shufflevector(a, b, (I & W ? lanes + I - W : I)...);
    b = __builtin_shufflevector(a, b, (I & W ? lanes + I : I + W)...);
    a = first;
}

// Blocks of W by W beside the diagonal, then those of half their size (Eklundh 1972).
template <typename Real, int W = kLanes<Real> / 2>
CONVRNN_INLINE void transpose(Vec<Real> *square) {
    if constexpr (W > 0) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<Real>; ++i) {
            if (!(i & W)) {
                exchange<W>(square[i], square[i + W], typename UpTo<kLanes<Real>>::All());
            }
        }
        transpose<Real, W / 2>(square);
    }
}
#else
// GCC before 12.
template <typename Real>
void transpose(Vec<Real> *square) {
    for (int i = 0; i < kLanes<Real>; ++i) {
        for (int j = 0; j < i; ++j) {
            const Real upper = square[j][i];
            square[j][i] = square[i][j];
            square[i][j] = upper;
        }
    }
}
#endif

}  // namespace
