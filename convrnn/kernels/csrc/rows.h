// Rows of doubles, `width` of them, whole registers: e^x, log x, sums, products. For files compiled once an instruction set: all is in an
// anonymous namespace, as in vec.h. `out` may be one of the arguments.
#pragma once

#include <math.h>

#include "vec.h"

namespace {

constexpr int kLane = kLanes<double>;

// e^x for x <= 0: 0 below e^-708; a NaN stays one.
CONVRNN_INLINE Double exp_negative(Double x) {
    Double scale, rest;
    split_exp<double>(between<double>(x, -Lanes<double>::most, 0.0), scale, rest);
    return x < -Lanes<double>::most ? Double{} : scale + scale * rest;
}

// log x for normal x: x = 2^n m with m in [sqrt(1/2), sqrt(2)), log m = 2 atanh f = 2 (f + f^3/3 + f^5/5 + ...) with f = (m - 1) / (m + 1).
CONVRNN_INLINE Double log_normal(Double x) {
    Bits64 bits;
    std::memcpy(&bits, &x, sizeof bits);
    const Bits64 mantissa = (bits & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u;
    // 2^52 + the exponent, as the bits of a double.
    const Bits64 exponent = (bits >> 52) | 0x4330000000000000u;
    Double m, n;
    std::memcpy(&m, &mantissa, sizeof m);
    std::memcpy(&n, &exponent, sizeof n);
    const Double above = m >= 1.4142135623730951 ? all(1.0) : Double{};
    m = m - m * (0.5 * above);
    n = n - (4503599627370496.0 + 1023.0) + above;
    const Double f = (m - 1.0) / (m + 1.0), square = f * f;
    // f^2 <= 0.0295: the term after f^21 is below 2^-55 of the first.
    Double sum = all(1.0 / 21);
#pragma GCC unroll 16
    for (int k = 19; k >= 3; k -= 2) {
        sum = sum * square + 1.0 / k;
    }
    return n * Lanes<double>::ln2_high + (n * Lanes<double>::ln2_low + (2.0 * f + 2.0 * f * square * sum));
}

// Of all -inf: -inf; where a NaN is among nothing but -inf, NaN. (Elsewhere a NaN reaches the sums by itself.)
double largest(const double *x, int64_t width) {
    Double most = all(double(-INFINITY));
    for (int64_t j = 0; j < width; j += kLane) {
        const Double v = load(x + j);
        most = v > most ? v : most;
    }
    double found = most[0];
    for (int k = 1; k < kLane; ++k) {
        found = most[k] > found ? most[k] : found;
    }
    if (found == -INFINITY) {
        for (int64_t j = 0; j < width; ++j) {
            found += x[j];
        }
    }
    return found;
}

void exp_less(const double *x, double less, int64_t width, double *out) {
    for (int64_t j = 0; j < width; j += kLane) {
        store(out + j, exp_negative(load(x + j) - less));
    }
}

double sum(const double *x, int64_t width) {
    Double total{};
    for (int64_t j = 0; j < width; j += kLane) {
        total += load(x + j);
    }
    double found = total[0];
    for (int k = 1; k < kLane; ++k) {
        found += total[k];
    }
    return found;
}

void add(const double *x, const double *y, int64_t width, double *out) {
    for (int64_t j = 0; j < width; j += kLane) {
        store(out + j, load(x + j) + load(y + j));
    }
}

void subtract(double less, int64_t width, double *out) {
    for (int64_t j = 0; j < width; j += kLane) {
        store(out + j, load(out + j) - less);
    }
}

// out += by * x
void add_times(double by, const double *x, int64_t width, double *out) {
    for (int64_t j = 0; j < width; j += kLane) {
        store(out + j, load(out + j) + by * load(x + j));
    }
}

template <int N>
CONVRNN_INLINE void product_columns(const double *p, const double *w, int64_t rows, int64_t width, double *out) {
    Double total[N] = {};
    for (int64_t i = 0; i < rows; ++i) {
        const Double x = all(p[i]);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) {
            total[n] += x * load(w + i * width + n * kLane);
        }
    }
    for (int n = 0; n < N; ++n) {
        store(out + n * kLane, total[n]);
    }
}

// out[j] = sum_i p[i] w[i, j]
void product(const double *p, const double *w, int64_t rows, int64_t width, double *out) {
    int64_t j = 0;
    for (; j + 4 * kLane <= width; j += 4 * kLane) {
        product_columns<4>(p, w + j, rows, width, out + j);
    }
    switch ((width - j) / kLane) {
        case 3: return product_columns<3>(p, w + j, rows, width, out + j);
        case 2: return product_columns<2>(p, w + j, rows, width, out + j);
        case 1: return product_columns<1>(p, w + j, rows, width, out + j);
    }
}

// NaN if either is.
CONVRNN_INLINE double higher(double x, double y) { return y <= x || x != x ? x : y; }

// log sum_k exp(x[k] + y[k * stride]), term by term.
double log_sum(const double *x, const double *y, int64_t stride, int64_t count) {
    double most = -INFINITY, total = 0;
    for (int64_t k = 0; k < count; ++k) {
        most = higher(most, x[k] + y[k * stride]);
    }
    if (most == -INFINITY) {
        return most;
    }
    for (int64_t k = 0; k < count; ++k) {
        total += exp(x[k] + y[k * stride] - most);
    }
    return most + log(total);
}

}  // namespace
