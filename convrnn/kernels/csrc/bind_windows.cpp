// Convolution, pooling and sums over frames for Python: chooses the number of parts, releases the GIL, calls. See bindings.h.

#include <nanobind/stl/array.h>

#include <algorithm>
#include <array>
#include <new>

#include "bindings.h"
#include "moments.h"
#include "windows.h"

namespace nb = nanobind;

namespace convrnn {
namespace {

// Additions of a part below which another thread costs more than it brings: waking one takes some microseconds.
constexpr int64_t kGrain = int64_t(1) << 16;

template <typename Real>
Real *at(uintptr_t address) {
    return reinterpret_cast<Real *>(address);
}

// The sizes of a call, in the order of `_record` in kernels/windows.py. nanobind tells types of equal names apart only by their names.
struct WindowRecord {
    bool twice;
    int64_t rows, frames, channels;
    uintptr_t lengths;
    int64_t windows, taps, stride, dilation, left;
    bool partial;
    int threads;

    // With `additions` for each number that is read.
    Grid grid(int64_t additions) const {
        const int64_t worth = 1 + rows * windows * taps * channels * additions / kGrain;
        const int parts = static_cast<int>(std::min<int64_t>(worth, std::max(threads, 1)));
        return {rows, frames, channels, at<const int64_t>(lengths), windows, taps, stride, dilation, left, partial, parts};
    }
};

template <typename Real>
Conv<Real> conv_of(const WindowRecord &r, int64_t features, uintptr_t x, uintptr_t w, uintptr_t bias, uintptr_t y) {
    Conv<Real> c{};
    c.grid = r.grid(features);
    c.features = features;
    c.x = at<const Real>(x);
    c.w = at<const Real>(w);
    c.bias = at<const Real>(bias);
    c.y = at<Real>(y);
    return c;
}

void check(bool done) {
    if (!done) {
        throw std::bad_alloc();
    }
}

void conv_forward(const WindowRecord &r, int64_t features, uintptr_t x, uintptr_t w, uintptr_t bias, uintptr_t y) {
    nb::gil_scoped_release release;
    if (r.twice) {
        check(conv().conv_forward_double(conv_of<double>(r, features, x, w, bias, y)));
    } else {
        check(conv().conv_forward_float(conv_of<float>(r, features, x, w, bias, y)));
    }
}

template <typename Real>
Conv<Real> with_gradients(Conv<Real> c, uintptr_t dy, uintptr_t dx, uintptr_t dw, uintptr_t dbias) {
    c.dy = at<const Real>(dy);
    c.dx = at<Real>(dx);
    c.dw = at<Real>(dw);
    c.dbias = at<Real>(dbias);
    return c;
}

void conv_backward(const WindowRecord &r, int64_t features, uintptr_t x, uintptr_t w, uintptr_t dy, uintptr_t dx, uintptr_t dw,
                   uintptr_t dbias) {
    nb::gil_scoped_release release;
    if (r.twice) {
        check(conv().conv_backward_double(with_gradients(conv_of<double>(r, features, x, w, 0, 0), dy, dx, dw, dbias)));
    } else {
        check(conv().conv_backward_float(with_gradients(conv_of<float>(r, features, x, w, 0, 0), dy, dx, dw, dbias)));
    }
}

template <typename Real>
Pool<Real> pool_of(const WindowRecord &r, bool maximum, uintptr_t x, uintptr_t y, uintptr_t dy, uintptr_t dx) {
    return {r.grid(1), maximum, at<const Real>(x), at<Real>(y), at<const Real>(dy), at<Real>(dx)};
}

void pool_forward(const WindowRecord &r, bool maximum, uintptr_t x, uintptr_t y) {
    nb::gil_scoped_release release;
    if (r.twice) {
        pool().forward_double(pool_of<double>(r, maximum, x, y, 0, 0));
    } else {
        pool().forward_float(pool_of<float>(r, maximum, x, y, 0, 0));
    }
}

void pool_backward(const WindowRecord &r, bool maximum, uintptr_t x, uintptr_t y, uintptr_t dy, uintptr_t dx) {
    nb::gil_scoped_release release;
    if (r.twice) {
        pool().backward_double(pool_of<double>(r, maximum, x, y, dy, dx));
    } else {
        pool().backward_float(pool_of<float>(r, maximum, x, y, dy, dx));
    }
}

void frame_sums(const WindowRecord &r, uintptr_t x, uintptr_t dy, uintptr_t middle, uintptr_t first, uintptr_t second) {
    nb::gil_scoped_release release;
    const Grid grid = r.grid(1);
    double *one = at<double>(first), *two = at<double>(second);
    if (r.twice) {
        check(moments().sums_double({grid, at<const double>(x), at<const double>(dy), at<const double>(middle), one, two}));
    } else {
        check(moments().sums_float({grid, at<const float>(x), at<const float>(dy), at<const float>(middle), one, two}));
    }
}

template <typename Real>
Affine<Real> affine_of(const Grid &grid, const std::array<uintptr_t, 7> &to) {
    return {grid, at<const Real>(to[0]), at<const Real>(to[1]), at<const Real>(to[2]), at<const Real>(to[3]), at<const Real>(to[4]),
            at<const Real>(to[5]), at<Real>(to[6])};
}

// The addresses in the order of `Affine` in moments.h.
void frame_affine(const WindowRecord &r, const std::array<uintptr_t, 7> &addresses) {
    nb::gil_scoped_release release;
    if (r.twice) {
        moments().affine_double(affine_of<double>(r.grid(1), addresses));
    } else {
        moments().affine_float(affine_of<float>(r.grid(1), addresses));
    }
}

}  // namespace

void bind_windows(nb::module_ &m) {
    nb::class_<WindowRecord>(m, "WindowRecord")
        .def("__init__", [](WindowRecord *r, bool twice, int64_t rows, int64_t frames, int64_t channels, uintptr_t lengths, int64_t windows,
                            int64_t taps, int64_t stride, int64_t dilation, int64_t left, bool partial, int threads) {
            new (r) WindowRecord{twice, rows, frames, channels, lengths, windows, taps, stride, dilation, left, partial, threads};
        });
    m.def("conv_forward", &conv_forward);
    m.def("conv_backward", &conv_backward);
    m.def("pool_forward", &pool_forward);
    m.def("pool_backward", &pool_backward);
    m.def("frame_sums", &frame_sums);
    m.def("frame_affine", &frame_affine);
}

}  // namespace convrnn
