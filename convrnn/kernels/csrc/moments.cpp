// Mean and variance over frames, and their gradient. Blocks of frames that lie in the nearest cache are read twice, for their mean and for
// what is around it; means and sums of squares of blocks are joined as in Chan, Golub & LeVeque 1979, so large means cost no digits.

#include "moments.h"

#include <cstdlib>

#include "grid.h"
#include "parallel.h"

namespace {

using convrnn::Affine;
using convrnn::Moments;

constexpr int64_t kBlock = 64;

// What is known of some frames: per channel mean and sum of squares around it, or two sums.
struct Known {
    double count = 0, *first, *second;
};

template <typename Real>
struct SumPart {
    typedef Vec<Real> V;
    static constexpr int L = kLanes<Real>;

    const Moments<Real> &m;
    Known &known;

    void work(int part) const {
        const Grid &g = m.grid;
        zero(known.first, g.channels);
        zero(known.second, g.channels);
        Pieces pieces(g, part);
        for (Piece piece; pieces.next(piece);) {
            for (int64_t begin = piece.begin; begin < piece.end; begin += kBlock) {
                const int64_t count = piece.end - begin < kBlock ? piece.end - begin : kBlock;
                for (int64_t i = 0; i < g.channels; i += L) {
                    block((piece.row * g.frames + begin) * g.channels + i, count, i, lanes<Real>(g.channels - i));
                }
                known.count += static_cast<double>(count);
            }
        }
    }

    CONVRNN_INLINE void block(int64_t at, int64_t count, int64_t i, int n) const {
        const int64_t width = m.grid.channels;
        V first{}, second{};
        if (m.dy) {
            const V middle = load_first(m.middle + i, n);
            for (int64_t k = 0; k < count; ++k) {
                const V d = load_first(m.dy + at + k * width, n);
                first += d;
                second += d * (load_first(m.x + at + k * width, n) - middle);
            }
        } else {
            for (int64_t k = 0; k < count; ++k) {
                first += load_first(m.x + at + k * width, n);
            }
            first /= all<Real>(static_cast<Real>(count));
            for (int64_t k = 0; k < count; ++k) {
                const V d = load_first(m.x + at + k * width, n) - first;
                second += d * d;
            }
        }
        for (int lane = 0; lane < n; ++lane) {
            join(known, i + lane, first[lane], second[lane], static_cast<double>(count), m.dy);
        }
    }

    static CONVRNN_INLINE void join(Known &known, int64_t i, double first, double second, double count, bool sums) {
        if (sums) {
            known.first[i] += first;
            known.second[i] += second;
            return;
        }
        const double away = first - known.first[i], share = count / (known.count + count);
        known.first[i] += away * share;
        known.second[i] += second + away * away * share * known.count;
    }
};

template <typename Real>
bool sums(const Moments<Real> &m) {
    const int parts = m.grid.parts;
    const int64_t channels = m.grid.channels;
    // A cache line between the parts.
    const int64_t apart = 2 * channels + 8;
    struct Call {
        const Moments<Real> &m;
        double *memory;
        Known *known;
        int64_t apart;
    };
    void *memory = std::malloc(static_cast<size_t>(parts) * (static_cast<size_t>(apart) * sizeof(double) + sizeof(Known)));
    if (!memory) {
        return false;
    }
    double *numbers = static_cast<double *>(memory);
    Call call{m, numbers, reinterpret_cast<Known *>(numbers + parts * apart), apart};
    convrnn::parallel(parts, [](void *context, int part) {
        const Call &c = *static_cast<Call *>(context);
        double *own = c.memory + part * c.apart;
        Known known{0, own, own + c.m.grid.channels};
        SumPart<Real>{c.m, known}.work(part);
        c.known[part] = known;
    }, &call);
    Known all{0, m.first, m.second};
    zero(all.first, channels);
    zero(all.second, channels);
    for (int part = 0; part < parts; ++part) {
        const Known &each = call.known[part];
        for (int64_t i = 0; each.count > 0 && i < channels; ++i) {
            SumPart<Real>::join(all, i, each.first[i], each.second[i], each.count, m.dy);
        }
        all.count += each.count;
    }
    std::free(memory);
    return true;
}

template <typename Real>
void affine(const Affine<Real> &a) {
    convrnn::parallel(a.grid.parts, [](void *context, int part) {
        typedef Vec<Real> V;
        constexpr int L = kLanes<Real>;
        const Affine<Real> &a = *static_cast<const Affine<Real> *>(context);
        const Grid &g = a.grid;
        clear_windows(g, part, g.channels, a.y);
        Pieces pieces(g, part);
        for (Piece piece; pieces.next(piece);) {
            for (int64_t frame = piece.begin; frame < piece.end; ++frame) {
                const int64_t at = (piece.row * g.frames + frame) * g.channels;
                for (int64_t i = 0; i < g.channels; i += L) {
                    const int n = lanes<Real>(g.channels - i);
                    V v = (load_first(a.x + at + i, n) - load_first(a.middle + i, n)) * load_first(a.q + i, n) + load_first(a.r + i, n);
                    if (a.dy) {
                        v += load_first(a.dy + at + i, n) * load_first(a.p + i, n);
                    }
                    store_first(a.y + at + i, v, n);
                }
            }
        }
    }, const_cast<Affine<Real> *>(&a));
}

}  // namespace

namespace convrnn {

const MomentLoops &CONVRNN_ENTRY(moments)() {
    static constexpr MomentLoops entries = {::sums<float>, ::sums<double>, ::affine<float>, ::affine<double>};
    return entries;
}

}  // namespace convrnn
