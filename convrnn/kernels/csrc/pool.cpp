// Pooling over windows of frames: the largest, or the mean of those that a row has. Which frame was the largest is not kept: backward looks
// for it again, in frames that have just been in the cache.

#include "grid.h"
#include "parallel.h"

namespace {

using convrnn::Pool;

template <typename Real>
struct PoolPart {
    typedef Vec<Real> V;
    static constexpr int L = kLanes<Real>;

    const Pool<Real> &p;
    const Grid &g = p.grid;
    const bool covers = g.stride == g.taps && g.partial;  // each frame lies in one window, so its gradient is written once

    const Real *frame(int64_t row, int64_t at) const { return p.x + (row * g.frames + at) * g.channels; }

    // The frames [first, last) of window j.
    void inside(int64_t row, int64_t j, int64_t &first, int64_t &last) const {
        const int64_t n = length(g, row);
        first = start(g, j);
        last = first + g.taps > n ? n : first + g.taps;
    }

    void forward(int part) const {
        clear_windows(g, part, g.channels, p.y);
        Pieces pieces(g, part);
        for (Piece piece; pieces.next(piece);) {
            for (int64_t j = piece.begin; j < piece.end; ++j) {
                int64_t first, last;
                inside(piece.row, j, first, last);
                Real *to = p.y + (piece.row * g.windows + j) * g.channels;
                for (int64_t i = 0; i < g.channels; i += L) {
                    const int n = lanes<Real>(g.channels - i);
                    store_first(to + i, pooled(frame(piece.row, first) + i, last - first, n), n);
                }
            }
        }
    }

    CONVRNN_INLINE V pooled(const Real *from, int64_t count, int n) const {
        V v = load_first(from, n);
        for (int64_t k = 1; k < count; ++k) {
            const V next = load_first(from + k * g.channels, n);
            v = !p.maximum ? v + next : (next > v) | (next != next) ? next : v;
        }
        return p.maximum ? v : v / all<Real>(static_cast<Real>(count));
    }

    void backward(int part) const {
        clear_frames(g, part, p.dx);
        Pieces pieces(g, part);
        for (Piece piece; pieces.next(piece);) {
            if (!covers) {
                zero(p.dx + (piece.row * g.frames + piece.first) * g.channels, (piece.last - piece.first) * g.channels);
            }
            int64_t j, end;
            for (reading(g, piece.row, piece.first, piece.last, j, end); j < end; ++j) {
                for (int64_t i = 0; i < g.channels; i += L) {
                    give_back(piece, j, i, lanes<Real>(g.channels - i));
                }
            }
        }
    }

    CONVRNN_INLINE void give_back(const Piece &piece, int64_t j, int64_t i, int n) const {
        int64_t first, last;
        inside(piece.row, j, first, last);
        const int64_t place = (piece.row * g.windows + j) * g.channels + i;
        V left = load_first(p.dy + place, n);
        if (!p.maximum) {
            left /= all<Real>(static_cast<Real>(last - first));
        }
        const V most = p.maximum ? load_first(p.y + place, n) : V{};
        for (int64_t at = first; at < last; ++at) {
            V share = left;
            if (p.maximum) {
                const V x = load_first(frame(piece.row, at) + i, n);
                const auto here = (x == most) | (x != x);
                share = here ? left : V{};
                left = here ? V{} : left;
            }
            if (at >= piece.first && at < piece.last) {
                Real *to = p.dx + (piece.row * g.frames + at) * g.channels + i;
                store_first(to, covers ? share : load_first(to, n) + share, n);
            }
        }
    }
};

template <typename Real>
void forward(const Pool<Real> &p) {
    PoolPart<Real> call{p};
    convrnn::parallel(p.grid.parts, [](void *context, int part) { static_cast<PoolPart<Real> *>(context)->forward(part); }, &call);
}

template <typename Real>
void backward(const Pool<Real> &p) {
    PoolPart<Real> call{p};
    convrnn::parallel(p.grid.parts, [](void *context, int part) { static_cast<PoolPart<Real> *>(context)->backward(part); }, &call);
}

}  // namespace

namespace convrnn {

const PoolLoops &CONVRNN_ENTRY(pool)() {
    static constexpr PoolLoops entries = {::forward<float>, ::forward<double>, ::backward<float>, ::backward<double>};
    return entries;
}

}  // namespace convrnn
