// Convolution over time. Frames lie side by side, so a window without dilation is taps * C numbers in one piece of memory, and the whole is
// the product of such rows with one matrix; nothing is copied but windows at the border of a row, and those with gaps. Forward each sum runs
// in one register in one order, and the gradient of a frame is added up in the order of the windows: a row's result does not depend on the
// rows beside it, to the bit. (The products are those of panels.h; LeCun et al. 1998 for the layer.)

#include "grid.h"
#include "outer.h"
#include "panels.h"
#include "parallel.h"

namespace {

using convrnn::Conv;
using convrnn::padded;

// Windows at a time: of a product, and of the gradient of the weights, whose sums are read and written once for all of them.
constexpr int kForward = 64, kWeights = 256, kInputs = 32;

// Window j: where it lies, or a copy with zeros for what is outside of the row.
template <typename Real>
const Real *window(const Grid &g, const Real *x, int64_t row, int64_t j, Real *room) {
    const int64_t first = start(g, j), n = length(g, row), width = g.channels;
    const Real *frames = x + row * g.frames * width;
    if (first >= 0 && first + span(g) <= n && span(g) == g.taps) {
        return frames + first * width;
    }
    for (int64_t k = 0; k < g.taps; ++k) {
        const int64_t at = first + k * g.dilation;
        if (at >= 0 && at < n) {
            copy(room + k * width, frames + at * width, width);
        } else {
            zero(room + k * width, width);
        }
    }
    return room;
}

// Weights as rows of taps * C, as windows lie.
template <typename Real>
void lay_flat(const Conv<Real> &c, Real *to) {
    for (int64_t f = 0; f < c.features; ++f) {
        for (int64_t k = 0; k < c.grid.taps; ++k) {
            for (int64_t i = 0; i < c.grid.channels; ++i) {
                *to++ = c.w[(f * c.grid.channels + i) * c.grid.taps + k];
            }
        }
    }
}

template <typename Real>
struct Forward {
    static constexpr int L = kLanes<Real>;
    static constexpr bool gathers = false;

    struct Own {
        Real *copies;
        const Real **rows;
        Real **to;
    };

    const Conv<Real> &c;
    Panels<Real> weights;
    Real *flat = nullptr, *bias = nullptr;
    Own *own = nullptr;

    int64_t terms() const { return c.grid.taps * c.grid.channels; }

    void lay_out(Scratch &scratch) {
        flat = scratch.take<Real>(c.features * terms());
        bias = scratch.take<Real>(padded(c.features));
        weights.lay_out(scratch, 1, c.features, 1, terms());
        own = scratch.take<Own>(c.grid.parts);
        for (int part = 0; part < c.grid.parts; ++part) {
            const Own each{scratch.take<Real>(kForward * terms()), scratch.take<const Real *>(kForward), scratch.take<Real *>(kForward)};
            if (scratch.real()) {
                own[part] = each;
            }
        }
    }

    void fill() {
        lay_flat(c, flat);
        weights.pack_rows(flat, terms(), 0, 1);
        for (int64_t f = 0; f < padded(c.features); ++f) {
            bias[f] = c.bias && f < c.features ? c.bias[f] : Real(0);
        }
    }

    void work(int part) const {
        const Grid &g = c.grid;
        clear_windows(g, part, c.features, c.y);
        int count = 0;
        Pieces pieces(g, part);
        for (Piece piece; pieces.next(piece);) {
            for (int64_t j = piece.begin; j < piece.end; ++j) {
                own[part].rows[count] = window(g, c.x, piece.row, j, own[part].copies + count * terms());
                own[part].to[count] = c.y + (piece.row * g.windows + j) * c.features;
                if (++count == kForward) {
                    answer(own[part], count);
                    count = 0;
                }
            }
        }
        answer(own[part], count);
    }

    void answer(const Own &own, int count) const {
        weights.product(own.rows, count, [&](int i, int block, const Real *sums) {
            store_first(own.to[i] + block * L, load(sums) + load(bias + block * L), lanes<Real>(c.features - block * L));
        });
    }

};

// Weights' gradients are a part's own until the end, when they are added up in the order of the parts.
template <typename Real>
struct Backward {
    typedef Vec<Real> V;
    static constexpr int L = kLanes<Real>;
    static constexpr bool gathers = true;

    struct Own {
        Real *weights, *bias;  // sums, [F][taps * C] with room to the end of a register, and [F]
        Real *given;           // dy of some windows
        Real *copies, *columns, *strip, *windows;
        const Real **rows;
    };

    const Conv<Real> &c;
    Panels<Real> to_x;
    Real *flat = nullptr;
    Own *own = nullptr;

    int64_t terms() const { return c.grid.taps * c.grid.channels; }
    int64_t apart() const { return padded(c.features); }

    void lay_out(Scratch &scratch) {
        flat = scratch.take<Real>(c.dx ? c.features * terms() : 0);
        to_x.lay_out(scratch, 1, terms(), 1, c.features);
        own = scratch.take<Own>(c.grid.parts);
        for (int part = 0; part < c.grid.parts; ++part) {
            Own each;
            each.weights = scratch.take<Real>(apart() * padded(terms()));
            each.bias = scratch.take<Real>(apart());
            each.given = scratch.take<Real>(kWeights * apart());
            each.copies = scratch.take<Real>(kWeights * terms());
            each.columns = scratch.take<Real>(kWeights * padded(terms()));
            each.strip = scratch.take<Real>(kWeights * kOuterRows);
            each.windows = scratch.take<Real>(kInputs * padded(terms()));
            each.rows = scratch.take<const Real *>(kWeights);
            if (scratch.real()) {
                own[part] = each;
            }
        }
    }

    void fill() {
        if (c.dx) {
            lay_flat(c, flat);
            to_x.pack_columns(flat, terms(), 0, 1);
        }
    }

    void work(int part) const {
        if (c.dw || c.dbias) {
            weights(own[part], part);
        }
        if (!c.dx) {
            return;
        }
        clear_frames(c.grid, part, c.dx);
        Pieces pieces(c.grid, part);
        for (Piece piece; pieces.next(piece);) {
            inputs(own[part], piece);
        }
    }

    // dy of a window, with zeros to the end of a register.
    void give(Real *to, int64_t place) const {
        for (int64_t f = 0; f < apart(); f += L) {
            const int64_t left = c.features - f;
            store(to + f, left > 0 ? load_first(c.dy + place * c.features + f, lanes<Real>(left)) : V{});
        }
    }

    void weights(const Own &own, int part) const {
        zero(own.weights, apart() * padded(terms()));
        zero(own.bias, apart());
        int count = 0;
        Pieces pieces(c.grid, part);
        for (Piece piece; pieces.next(piece);) {
            for (int64_t j = piece.begin; j < piece.end; ++j) {
                give(own.given + count * apart(), piece.row * c.grid.windows + j);
                own.rows[count] = window(c.grid, c.x, piece.row, j, own.copies + count * terms());
                if (++count == kWeights) {
                    add(own, count);
                    count = 0;
                }
            }
        }
        add(own, count);
    }

    void add(const Own &own, int count) const {
        for (int64_t f = 0; f < apart(); f += L) {
            V sum = load(own.bias + f);
            for (int i = 0; i < count; ++i) {
                sum += load(own.given + i * apart() + f);
            }
            store(own.bias + f, sum);
        }
        if (c.dw && count) {
            const Outer<Real> outer{own.strip, own.columns};
            outer.pack(own.rows, count, terms());
            outer.add(own.given, apart(), count, c.features, terms(), own.weights);
        }
    }

    // The gradient of the frames that are this piece's, from every window that reads them: some of those are the next piece's.
    void inputs(const Own &own, const Piece &piece) const {
        const Grid &g = c.grid;
        Real *frames = c.dx + piece.row * g.frames * g.channels;
        zero(frames + piece.first * g.channels, (piece.last - piece.first) * g.channels);
        int64_t begin, end;
        for (reading(g, piece.row, piece.first, piece.last, begin, end); begin < end; begin += kInputs) {
            const int count = static_cast<int>(end - begin < kInputs ? end - begin : kInputs);
            for (int i = 0; i < count; ++i) {
                own.rows[i] = own.given + i * apart();
                give(own.given + i * apart(), piece.row * g.windows + begin + i);
            }
            to_x.product(own.rows, count, [&](int i, int block, const Real *sums) {
                store(own.windows + i * padded(terms()) + block * L, load(sums));
            });
            for (int i = 0; i < count; ++i) {
                spread(piece, start(g, begin + i), own.windows + i * padded(terms()), frames);
            }
        }
    }

    // Adds the gradient of a window to the frames that it read and that are this piece's.
    void spread(const Piece &piece, int64_t first, const Real *from, Real *frames) const {
        const Grid &g = c.grid;
        if (first >= piece.first && first + span(g) <= piece.last && span(g) == g.taps) {
            add_to(frames + first * g.channels, from, terms());
            return;
        }
        for (int64_t k = 0; k < g.taps; ++k) {
            const int64_t at = first + k * g.dilation;
            if (at >= piece.first && at < piece.last) {
                add_to(frames + at * g.channels, from + k * g.channels, g.channels);
            }
        }
    }

    static void add_to(Real *to, const Real *from, int64_t count) {
        for (int64_t i = 0; i < count; i += L) {
            const int n = lanes<Real>(count - i);
            store_first(to + i, load_first(to + i, n) + load_first(from + i, n), n);
        }
    }

    void gather(int part) const {
        const int64_t parts = c.grid.parts, taps = c.grid.taps, channels = c.grid.channels;
        for (int64_t f = c.features * part / parts; f < c.features * (part + 1) / parts; ++f) {
            for (int64_t other = 1; other < parts; ++other) {
                own[0].bias[f] += own[other].bias[f];
                if (c.dw) {
                    const int64_t at = f * padded(terms());
                    add_to(own[0].weights + at, own[other].weights + at, terms());
                }
            }
            if (c.dbias) {
                c.dbias[f] = own[0].bias[f];
            }
            for (int64_t k = 0; c.dw && k < taps; ++k) {
                for (int64_t i = 0; i < channels; ++i) {
                    c.dw[(f * channels + i) * taps + k] = own[0].weights[f * padded(terms()) + k * channels + i];
                }
            }
        }
    }
};

// Lays the memory of a call out twice, to measure it and to have it; then each part does its work.
template <typename Call>
bool run(Call call, int parts) {
    Scratch measure(nullptr);
    call.lay_out(measure);
    void *memory = std::malloc(measure.used() + 64);
    if (!memory) {
        return false;
    }
    Scratch scratch(static_cast<char *>(memory) + (64 - reinterpret_cast<uintptr_t>(memory) % 64) % 64);
    call.lay_out(scratch);
    call.fill();
    convrnn::parallel(parts, [](void *context, int part) { static_cast<Call *>(context)->work(part); }, &call);
    if constexpr (Call::gathers) {
        convrnn::parallel(parts, [](void *context, int part) { static_cast<Call *>(context)->gather(part); }, &call);
    }
    std::free(memory);
    return true;
}

template <typename Real>
bool forward(const Conv<Real> &c) {
    return run(Forward<Real>{c, {}}, c.grid.parts);
}

template <typename Real>
bool backward(const Conv<Real> &c) {
    return run(Backward<Real>{c, {}}, c.grid.parts);
}

}  // namespace

namespace convrnn {

const WindowLoops &CONVRNN_ENTRY(conv)() {
    static constexpr WindowLoops entries = {::forward<float>, ::forward<double>, ::backward<float>, ::backward<double>};
    return entries;
}

}  // namespace convrnn
