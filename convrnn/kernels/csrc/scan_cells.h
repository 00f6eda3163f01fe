// The cells of linear recurrences, a frame of one vector of channels each; kernels/gated.py has the same in torch. For files compiled once
// an instruction set: all is in an anonymous namespace. Knows nothing of time, rows or memory.
//
// A cell has `operands`, what it reads of a frame, in order, and two functions.
//   forward(x, carry, c)                    carry, c_{t-1}, becomes c_t; gives h_t, and c_t too where `reads` says that it is not h.
//   backward(x, c, before, dh, carry, dx)   carry, the gradient of c_t by later frames, becomes that of c_{t-1} = before; fills dx, those
//                                           of the operands. c is c_t where `reads`, else nothing.
//
// 1 - sigmoid(x) is never taken: in float32 the difference of 1 and 0.999999 has one good digit. One exponential gives both.
#pragma once

#include "vec.h"

namespace {

template <typename Real, typename V>
CONVRNN_INLINE V exponential(V x) {
    V scale, rest;
    split_exp<Real>(between<Real>(x, -Lanes<Real>::most, Lanes<Real>::most), scale, rest);
    return scale + scale * rest;
}

// sigmoid(x) and sigmoid(-x), and their derivative but for the sign.
template <typename Real>
struct Gate {
    Vec<Real> open, shut;

    CONVRNN_INLINE explicit Gate(Vec<Real> x) {
        const Vec<Real> e = exponential<Real>(-x);
        open = reciprocal<Real>(Real(1) + e);
        shut = e * open;
    }

    CONVRNN_INLINE Vec<Real> slope() const { return open * shut; }
};

// What goes on from frame to frame, in float64: in float32 ten thousand frames of gates near 1 leave four good digits of a gradient, and
// these loops wait for the memory anyway.
template <typename Real>
class Carry;

template <>
class Carry<double> {
public:
    CONVRNN_INLINE void load(const double *from, int lanes) { value_ = load_first(from, lanes); }
    CONVRNN_INLINE void store(double *to, int lanes) const { store_first<double>(to, value_, lanes); }

    // Becomes a c + b, and gives it.
    CONVRNN_INLINE Double advance(Double a, Double b) { return value_ = a * value_ + b; }
    // Becomes c + b, and gives it.
    CONVRNN_INLINE Double add(Double b) { return value_ += b; }
    CONVRNN_INLINE void scale(Double a) { value_ *= a; }

private:
    Double value_;
};

// The lower and the upper half of the lanes in float64, and back. By hand, since GCC 12 compiles the portable form to a detour through
// memory; with masks that mask nothing, since in the forms without it warns of its own undefined registers.
#if defined(__AVX512F__)
CONVRNN_INLINE void widen(Float x, Double &low, Double &high) {
    low = (Double)_mm512_maskz_cvtps_pd(0xff, _mm512_maskz_extractf32x8_ps(0xff, (__m512)x, 0));
    high = (Double)_mm512_maskz_cvtps_pd(0xff, _mm512_maskz_extractf32x8_ps(0xff, (__m512)x, 1));
}
CONVRNN_INLINE Float narrow(Double low, Double high) {
    const __m512 half = _mm512_insertf32x8(_mm512_setzero_ps(), _mm512_maskz_cvtpd_ps(0xff, (__m512d)low), 0);
    return (Float)_mm512_insertf32x8(half, _mm512_maskz_cvtpd_ps(0xff, (__m512d)high), 1);
}
#elif defined(__AVX2__)
CONVRNN_INLINE void widen(Float x, Double &low, Double &high) {
    low = (Double)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x));
    high = (Double)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1));
}
CONVRNN_INLINE Float narrow(Double low, Double high) {
    return (Float)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)high), _mm256_cvtpd_ps((__m256d)low));
}
#else
typedef float Half __attribute__((vector_size(CONVRNN_VECTOR_BYTES / 2)));

CONVRNN_INLINE void widen(Float x, Double &low, Double &high) {
    Half halves[2];
    std::memcpy(halves, &x, sizeof x);
    low = __builtin_convertvector(halves[0], Double);
    high = __builtin_convertvector(halves[1], Double);
}
CONVRNN_INLINE Float narrow(Double low, Double high) {
    const Half halves[2] = {__builtin_convertvector(low, Half), __builtin_convertvector(high, Half)};
    Float x;
    std::memcpy(&x, halves, sizeof x);
    return x;
}
#endif

template <>
class Carry<float> {
    static constexpr int kHalf = kLanes<double>;

public:
    CONVRNN_INLINE void load(const double *from, int lanes) {
        low_ = load_first(from, lanes < kHalf ? lanes : kHalf);
        high_ = load_first(from + kHalf, lanes < kHalf ? 0 : lanes - kHalf);
    }
    CONVRNN_INLINE void store(double *to, int lanes) const {
        store_first<double>(to, low_, lanes < kHalf ? lanes : kHalf);
        store_first<double>(to + kHalf, high_, lanes < kHalf ? 0 : lanes - kHalf);
    }

    CONVRNN_INLINE Float advance(Float a, Float b) {
        Double a_low, a_high, b_low, b_high;
        widen(a, a_low, a_high);
        widen(b, b_low, b_high);
        low_ = a_low * low_ + b_low;
        high_ = a_high * high_ + b_high;
        return narrow(low_, high_);
    }
    CONVRNN_INLINE Float add(Float b) {
        Double b_low, b_high;
        widen(b, b_low, b_high);
        low_ += b_low;
        high_ += b_high;
        return narrow(low_, high_);
    }
    CONVRNN_INLINE void scale(Float a) {
        Double a_low, a_high;
        widen(a, a_low, a_high);
        low_ *= a_low;
        high_ *= a_high;
    }

private:
    Double low_, high_;
};

// ---- functions of a value; `slope` is the derivative where the value is x and the function y

struct Identity {
    template <typename Real, typename V>
    static CONVRNN_INLINE V value(V x) {
        return x;
    }
    template <typename Real, typename V>
    static CONVRNN_INLINE V slope(V, V) {
        return all<Real>(1);
    }
};

struct Tanh {
    template <typename Real, typename V>
    static CONVRNN_INLINE V value(V x) {
        return tanh<Real>(x);
    }
    template <typename Real, typename V>
    static CONVRNN_INLINE V slope(V, V y) {
        return Real(1) - y * y;
    }
};

struct Relu {  // a NaN stays one
    template <typename Real, typename V>
    static CONVRNN_INLINE V value(V x) {
        const V zero{};
        return x < zero ? zero : x;
    }
    template <typename Real, typename V>
    static CONVRNN_INLINE V slope(V x, V) {
        const V zero{}, one = all<Real>(1);
        return x > zero ? one : zero;
    }
};

struct Positive {  // x + 0.5 for x >= 0, else sigmoid(x): the g of Feng et al. 2024
    template <typename Real, typename V>
    static CONVRNN_INLINE V value(V x) {
        const V zero{}, below = sigmoid<Real>(x);
        return x >= zero ? x + Real(0.5) : below;
    }
    template <typename Real, typename V>
    static CONVRNN_INLINE V slope(V x, V y) {
        const V zero{}, one = all<Real>(1);
        return x >= zero ? one : y * (one - y);
    }
};

// ---- cells

// c = a c + b: the recurrence itself.
template <typename Real_>
struct Linear {
    typedef Real_ Real;
    typedef Vec<Real> V;
    static constexpr int operands = 2;
    static constexpr bool reads = false;

    static CONVRNN_INLINE V forward(const V *x, Carry<Real> &carry, V &) { return carry.advance(x[0], x[1]); }

    static CONVRNN_INLINE void backward(const V *x, V, V before, V dh, Carry<Real> &carry, V *dx) {
        const V dc = carry.add(dh);
        carry.scale(x[0]);
        dx[0] = dc * before;
        dx[1] = dc;
    }
};

// Of z, n: c = sigmoid(-z) c + sigmoid(z) g(n). Feng et al. 2024, arXiv 2410.01201.
template <typename Real_, typename Candidate>
struct MinGRU {
    typedef Real_ Real;
    typedef Vec<Real> V;
    static constexpr int operands = 2;
    static constexpr bool reads = false;

    static CONVRNN_INLINE V forward(const V *x, Carry<Real> &carry, V &) {
        const Gate<Real> z(x[0]);
        return carry.advance(z.shut, z.open * Candidate::template value<Real>(x[1]));
    }

    static CONVRNN_INLINE void backward(const V *x, V, V before, V dh, Carry<Real> &carry, V *dx) {
        const Gate<Real> z(x[0]);
        const V n = Candidate::template value<Real>(x[1]), dc = carry.add(dh);
        carry.scale(z.shut);
        dx[0] = dc * (n - before) * z.slope();
        dx[1] = dc * z.open * Candidate::template slope<Real>(x[1], n);
    }
};

// Of f, i, n, with F = sigmoid(f), I = sigmoid(i): c = F / (F + I) c + I / (F + I) g(n). Feng et al. 2024, arXiv 2410.01201.
template <typename Real_, typename Candidate>
struct MinLSTM {
    typedef Real_ Real;
    typedef Vec<Real> V;
    static constexpr int operands = 3;
    static constexpr bool reads = false;

    // F / (F + I) = (1 + e^-i) / (2 + e^-f + e^-i): no quotient of two vanishing gates. Where an exponent is above 60 both are lowered by
    // what it is above: beside e^60 neither 1 nor the share of the other counts, in float64 either.
    struct Shares {
        V keep, enter, e_f, e_i;  // F / (F + I), I / (F + I), and the exponentials

        CONVRNN_INLINE Shares(V f, V i) {
            const V zero{}, least = f < i ? f : i, over = -least - Real(60), lowered = over > zero ? over : zero;
            e_f = exponential<Real>(-f - lowered);
            e_i = exponential<Real>(-i - lowered);
            const V part = reciprocal<Real>((Real(1) + e_f) + (Real(1) + e_i));
            keep = (Real(1) + e_i) * part;
            enter = (Real(1) + e_f) * part;
        }
    };

    static CONVRNN_INLINE V forward(const V *x, Carry<Real> &carry, V &) {
        const Shares share(x[0], x[1]);
        return carry.advance(share.keep, share.enter * Candidate::template value<Real>(x[2]));
    }

    static CONVRNN_INLINE void backward(const V *x, V, V before, V dh, Carry<Real> &carry, V *dx) {
        const Shares share(x[0], x[1]);
        const V n = Candidate::template value<Real>(x[2]), dc = carry.add(dh);
        carry.scale(share.keep);
        // Of log F - log I, whose sigmoid `keep` is; the derivative of log F is 1 - F.
        const V difference = dc * (before - n) * share.keep * share.enter;
        dx[0] = difference * share.e_f * reciprocal<Real>(Real(1) + share.e_f);
        dx[1] = -difference * share.e_i * reciprocal<Real>(Real(1) + share.e_i);
        dx[2] = dc * share.enter * Candidate::template slope<Real>(x[2], n);
    }
};

// Of u, f, r, s: c = sigmoid(f) c + sigmoid(-f) u, h = sigmoid(r) g(c) + sigmoid(-r) s. Lei et al. 2017, arXiv 1709.02755v1.
template <typename Real_, typename Function>
struct SRU {
    typedef Real_ Real;
    typedef Vec<Real> V;
    static constexpr int operands = 4;
    static constexpr bool reads = true;

    static CONVRNN_INLINE V forward(const V *x, Carry<Real> &carry, V &c) {
        const Gate<Real> f(x[1]), r(x[2]);
        c = carry.advance(f.open, f.shut * x[0]);
        return r.open * Function::template value<Real>(c) + r.shut * x[3];
    }

    static CONVRNN_INLINE void backward(const V *x, V c, V before, V dh, Carry<Real> &carry, V *dx) {
        const Gate<Real> f(x[1]), r(x[2]);
        const V g = Function::template value<Real>(c);
        const V dc = carry.add(dh * r.open * Function::template slope<Real>(c, g));
        carry.scale(f.open);
        dx[0] = dc * f.shut;
        dx[1] = dc * (before - x[0]) * f.slope();
        dx[2] = dh * (g - x[3]) * r.slope();
        dx[3] = dh * r.shut;
    }
};

// Of z, f and, with an output gate, o, with an input gate, i: c = sigmoid(f) c + (sigmoid(i) or sigmoid(-f)) tanh(z), h = sigmoid(o) c
// or c. The poolings f, fo, ifo of Bradbury et al. 2016, arXiv 1611.01576.
template <typename Real_, bool Output, bool Input>
struct QRNN {
    typedef Real_ Real;
    typedef Vec<Real> V;
    static constexpr int operands = 2 + Output + Input;
    static constexpr bool reads = Output;

    static CONVRNN_INLINE V forward(const V *x, Carry<Real> &carry, V &c) {
        const Gate<Real> f(x[1]);
        c = carry.advance(f.open, (Input ? sigmoid<Real>(x[operands - 1]) : f.shut) * tanh<Real>(x[0]));
        return Output ? sigmoid<Real>(x[operands - 1 - Input]) * c : c;
    }

    static CONVRNN_INLINE void backward(const V *x, V c, V before, V dh, Carry<Real> &carry, V *dx) {
        const Gate<Real> f(x[1]);
        const V z = tanh<Real>(x[0]);
        if (Output) {
            constexpr int at = operands - 1 - Input;
            const Gate<Real> o(x[at]);
            dx[at] = dh * c * o.slope();
            dh *= o.open;
        }
        const V dc = carry.add(dh);
        carry.scale(f.open);
        V enter = f.shut, kept = before - z;
        if (Input) {
            constexpr int at = operands - 1;
            const Gate<Real> i(x[at]);
            dx[at] = dc * z * i.slope();
            enter = i.open;
            kept = before;
        }
        dx[0] = dc * enter * (Real(1) - z * z);
        dx[1] = dc * kept * f.slope();
    }
};

template <typename Real>
using MinGRULinear = MinGRU<Real, Identity>;
template <typename Real>
using MinGRUPositive = MinGRU<Real, Positive>;
template <typename Real>
using MinLSTMLinear = MinLSTM<Real, Identity>;
template <typename Real>
using MinLSTMPositive = MinLSTM<Real, Positive>;
template <typename Real>
using SRUTanh = SRU<Real, Tanh>;
template <typename Real>
using SRURelu = SRU<Real, Relu>;
template <typename Real>
using SRUIdentity = SRU<Real, Identity>;
template <typename Real>
using QRNNf = QRNN<Real, false, false>;
template <typename Real>
using QRNNfo = QRNN<Real, true, false>;
template <typename Real>
using QRNNifo = QRNN<Real, true, true>;

}  // namespace
