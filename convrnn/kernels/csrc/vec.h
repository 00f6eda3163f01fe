// Vectors of one register and the functions of gates on them. For files compiled once an instruction set: all is in an anonymous namespace.
//
// The vector types of GCC and Clang: + - * / work lane by lane, a comparison gives a mask of integers, `mask ? a : b` chooses.
// exp(x) - 1 = 2^n p + (2^n - 1) with n = round(x / ln 2), r = x - n ln 2 in two parts (Cody & Waite 1980), and p the Taylor series of
// e^r - 1 for |r| <= ln 2 / 2 until the next term is below half a unit in the last place; in float its last term is spread over those before
// it (an economized series, Lanczos 1938), which leaves a 32nd of it as the error. Errors of sigmoid and tanh are at most 2.5 and 3.6 units.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "runs.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define CONVRNN_VECTOR_BYTES 64
#elif defined(__AVX2__)
#include <immintrin.h>
#define CONVRNN_VECTOR_BYTES 32
#else
#define CONVRNN_VECTOR_BYTES 16
#endif

#define CONVRNN_INLINE inline __attribute__((always_inline))

namespace {

typedef float Float __attribute__((vector_size(CONVRNN_VECTOR_BYTES)));
typedef double Double __attribute__((vector_size(CONVRNN_VECTOR_BYTES)));
typedef uint32_t Bits32 __attribute__((vector_size(CONVRNN_VECTOR_BYTES)));
typedef uint64_t Bits64 __attribute__((vector_size(CONVRNN_VECTOR_BYTES)));

template <typename Real>
struct Lanes;

template <>
struct Lanes<float> {
    typedef Float Vec;
    typedef Bits32 Bits;
    static constexpr int count = CONVRNN_VECTOR_BYTES / 4;
    static constexpr int mantissa = 23, bias = 127, terms = 6;
    static constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which then stands in the low bits
    static constexpr float log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static constexpr float most = 87.0f;  // e^87 is finite, e^-87 is normal

    // Of r, r^2, ... in e^r - 1. Of the seventh power r^6, what is left after division by r, is a^2 3/2 r^4 - a^4 9/16 r^2 + a^6/32 for
    // |r| <= a = ln 2 / 2, to a^6/32.
    static constexpr double a2 = 0.34657359 * 0.34657359, seventh = 1.0 / 5040;
    static constexpr float series[terms] = {float(1 + seventh * a2 * a2 * a2 / 32),     1.0f / 2,
                                            float(1.0 / 6 - seventh * a2 * a2 * 9 / 16), 1.0f / 24,
                                            float(1.0 / 120 + seventh * a2 * 3 / 2),     1.0f / 720};
};

template <>
struct Lanes<double> {
    typedef Double Vec;
    typedef Bits64 Bits;
    static constexpr int count = CONVRNN_VECTOR_BYTES / 8;
    static constexpr int mantissa = 52, bias = 1023, terms = 13;
    static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double log2e = 1.4426950408889634, ln2_high = 0.693145751953125, ln2_low = 1.42860682030941723212e-6;
    static constexpr double most = 708.0;
    static constexpr double series[terms] = {1.0,           1.0 / 2,         1.0 / 6,         1.0 / 24,        1.0 / 120,
                                             1.0 / 720,     1.0 / 5040,      1.0 / 40320,     1.0 / 362880,    1.0 / 3628800,
                                             1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
};

template <typename Real>
using Vec = typename Lanes<Real>::Vec;

template <typename Real>
constexpr int kLanes = Lanes<Real>::count;

template <typename Real>
CONVRNN_INLINE Vec<Real> all(Real x) {
    return x - Vec<Real>{};  // x + 0 would not be -0 for x = -0, and so a true addition
}

// No alignment is asked for.
template <typename Real>
CONVRNN_INLINE Vec<Real> load(const Real *from) {
    Vec<Real> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <typename Real, typename V>
CONVRNN_INLINE void store(Real *to, V v) {
    static_assert(sizeof(V) == CONVRNN_VECTOR_BYTES, "a vector");
    std::memcpy(to, &v, sizeof v);
}

// The first n lanes.
template <typename Real, typename V>
CONVRNN_INLINE void store_first(Real *to, V v, int n) {
    if (n >= kLanes<Real>) {
        store(to, v);
    } else {
        std::memcpy(to, &v, static_cast<size_t>(n) * sizeof(Real));
    }
}

// The first n lanes, zero in the others.
template <typename Real>
CONVRNN_INLINE Vec<Real> load_first(const Real *from, int n) {
    if (n >= kLanes<Real>) {
        return load(from);
    }
    Vec<Real> v{};
    std::memcpy(&v, from, static_cast<size_t>(n) * sizeof(Real));
    return v;
}

// By masks in place of calls of memcpy: a third of the time of 50 channels in AVX2. The lanes that are masked out are not touched.
#if defined(__SANITIZE_ADDRESS__)
// It sees no access of a masked instruction, but those of memcpy.
#elif defined(__AVX512F__)
template <>
CONVRNN_INLINE Float load_first<float>(const float *from, int n) {
    return n >= 16 ? load(from) : (Float)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), from);
}

template <>
CONVRNN_INLINE Double load_first<double>(const double *from, int n) {
    return n >= 8 ? load(from) : (Double)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1u), from);
}

template <>
CONVRNN_INLINE void store_first<float, Float>(float *to, Float v, int n) {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1u), (__m512)v);
}

template <>
CONVRNN_INLINE void store_first<double, Double>(double *to, Double v, int n) {
    _mm512_mask_storeu_pd(to, static_cast<__mmask8>(n >= 8 ? 0xffu : (1u << n) - 1u), (__m512d)v);
}
#elif defined(__AVX2__)
CONVRNN_INLINE __m256i first_floats(int n) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }

CONVRNN_INLINE __m256i first_doubles(int n) { return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)); }

template <>
CONVRNN_INLINE Float load_first<float>(const float *from, int n) {
    return n >= 8 ? load(from) : (Float)_mm256_maskload_ps(from, first_floats(n));
}

template <>
CONVRNN_INLINE Double load_first<double>(const double *from, int n) {
    return n >= 4 ? load(from) : (Double)_mm256_maskload_pd(from, first_doubles(n));
}

template <>
CONVRNN_INLINE void store_first<float, Float>(float *to, Float v, int n) {
    if (n >= 8) {
        store(to, v);
    } else {
        _mm256_maskstore_ps(to, first_floats(n), (__m256)v);
    }
}

template <>
CONVRNN_INLINE void store_first<double, Double>(double *to, Double v, int n) {
    if (n >= 4) {
        store(to, v);
    } else {
        _mm256_maskstore_pd(to, first_doubles(n), (__m256d)v);
    }
}
#endif

// A NaN stays one.
template <typename Real, typename V>
CONVRNN_INLINE V between(V x, Real low, Real high) {
    const V l = all<Real>(low), h = all<Real>(high);
    x = x < l ? l : x;
    return x > h ? h : x;
}

#if defined(__AVX512F__)
// In one instruction each, which gives its second operand where one is NaN; under a mask of all lanes, for GCC warns of the form without.
template <>
CONVRNN_INLINE Float between<float, Float>(Float x, float low, float high) {
    return (Float)_mm512_maskz_min_ps(0xFFFF, (__m512)all(high), _mm512_maskz_max_ps(0xFFFF, (__m512)all(low), (__m512)x));
}

template <>
CONVRNN_INLINE Double between<double, Double>(Double x, double low, double high) {
    return (Double)_mm512_maskz_min_pd(0xFF, (__m512d)all(high), _mm512_maskz_max_pd(0xFF, (__m512d)all(low), (__m512d)x));
}
#elif defined(__AVX2__)
template <>
CONVRNN_INLINE Float between<float, Float>(Float x, float low, float high) {
    return (Float)_mm256_min_ps((__m256)all(high), _mm256_max_ps((__m256)all(low), (__m256)x));
}

template <>
CONVRNN_INLINE Double between<double, Double>(Double x, double low, double high) {
    return (Double)_mm256_min_pd((__m256d)all(high), _mm256_max_pd((__m256d)all(low), (__m256d)x));
}
#endif

// 2^n and e^r - 1, with x = n ln 2 + r; |x| within `most`.
template <typename Real, typename V>
CONVRNN_INLINE void split_exp(V x, V &scale, V &rest) {
    typedef Lanes<Real> L;
    typedef typename L::Bits Bits;
    const V shifted = x * L::log2e + L::magic;
    const V n = shifted - L::magic;
    const V r = (x - n * L::ln2_high) - n * L::ln2_low;
    // Horner's rule.
    V sum = all<Real>(L::series[L::terms - 1]);
#pragma GCC unroll 16
    for (int k = L::terms - 2; k >= 0; --k) {
        sum = sum * r + L::series[k];
    }
    rest = sum * r;
    Bits bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + L::bias) << L::mantissa;
    std::memcpy(&scale, &bits, sizeof scale);
}

// 1 / x for normal, finite x.
template <typename Real, typename V>
CONVRNN_INLINE V reciprocal(V x) {
    return Real(1) / x;
}

#if defined(__AVX512F__)
// A fifth of the time of a division: 14 bits looked up, and a step of Newton's method, which leaves an error of 2^-28 before rounding.
template <>
CONVRNN_INLINE Float reciprocal<float, Float>(Float x) {
    __m512 first = _mm512_maskz_rcp14_ps(0xFFFF, (__m512)x);
    Float y = (Float)first;
    return y + y * (1.0f - x * y);
}
#endif

template <typename Real, typename V>
CONVRNN_INLINE V sigmoid(V x) {
    V scale, rest;
    split_exp<Real>(between<Real>(-x, -Lanes<Real>::most, Lanes<Real>::most), scale, rest);
    return reciprocal<Real>(Real(1) + (scale + scale * rest));
}

// By e^2x - 1, so that tanh of a small x is as exact as x.
template <typename Real, typename V>
CONVRNN_INLINE V tanh(V x) {
    V scale, rest;
    split_exp<Real>(between<Real>(x + x, -Real(40), Real(40)), scale, rest);
    const V less = scale * rest + (scale - Real(1));
    return less * reciprocal<Real>(less + Real(2));
}

}  // namespace
