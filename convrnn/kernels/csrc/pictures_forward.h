// A recurrence over pictures forward. Step by step, all parts together, since a position sees its neighbours one step earlier: some tiles at a
// time, the products of x and h as one, then gates and state of these tiles while the sums are at hand.
#pragma once

#include "pictures_shared.h"

namespace {

using convrnn::PicturesOut;

template <typename Real, typename C>
struct PicturesForward {
    typedef Vec<Real> V;
    static constexpr int L = kLanes<Real>, G = C::gates;

    // What a part has for itself.
    struct Own {
        Real *inputs;  // [places][tiles at once][terms]
        Real *sums;    // [places][tiles at once][slots][lanes]
        Real *gates;   // [gates][units]
    };

    const Pictures<Real> &r;
    const PicturesOut<Real> &out;
    Canvas<Real, C> canvas;
    Real *panels = nullptr;  // [blocks of units][places][terms][slots][lanes]
    Real *bias = nullptr, *b_h = nullptr, *c = nullptr;
    Own *own = nullptr;
    int64_t step = 0;
    int alive = 0;

    PicturesForward(const Pictures<Real> &pictures, const PicturesOut<Real> &outputs) : r(pictures), out(outputs), canvas(pictures) {}

    int64_t blocks() const { return (r.units + L - 1) / L; }
    int64_t wide() const { return canvas.slots * L; }
    int64_t panel() const { return canvas.terms * wide(); }

    void lay_out(Scratch &scratch) {
        canvas.lay_out(scratch);
        canvas.set_at_once(kPlaces * (canvas.apart + wide()) * static_cast<int64_t>(sizeof(Real)));
        panels = scratch.take<Real>(blocks() * kPlaces * panel());
        bias = scratch.take<Real>(G * canvas.units);
        b_h = scratch.take<Real>(canvas.units);
        c = scratch.take<Real>(C::c >= 0 ? r.rows * canvas.positions * canvas.units : 0);
        own = scratch.take<Own>(canvas.parts);
        for (int part = 0; part < canvas.parts; ++part) {
            Own each;
            each.inputs = scratch.take<Real>(kPlaces * canvas.apart_places(canvas.apart));
            each.sums = scratch.take<Real>(kPlaces * canvas.apart_places(wide()));
            each.gates = scratch.take<Real>(G * canvas.units);
            if (scratch.real()) {
                own[part] = each;
            }
        }
    }

    void work() {
        if (out.saved) {
            const int64_t values = convrnn::saved_values(r.cell, false) * canvas.units;
            convrnn::in_large_pages(out.saved, static_cast<size_t>(r.rows * r.frames * canvas.positions * values) * sizeof(Real));
        }
        canvas.fill();
        canvas.pad(bias, r.b, G);
        canvas.pad(b_h, r.b_h, 1);
        zero(panels, blocks() * kPlaces * panel());
        canvas.weights([&](int slot, int64_t unit, int64_t k, const Real *values) {
            Real *to = panels + unit / L * kPlaces * panel() + k * wide() + slot * L + unit % L;
            for (int place = 0; place < kPlaces; ++place) {
                to[place * panel()] = values[place];
            }
        });
        begin();
        const Rows rows = canvas.rows();
        for (step = 0; step < rows.steps(); ++step) {
            alive = rows.alive(step);
            const auto some = [](void *context, int part) { static_cast<PicturesForward *>(context)->advance(part); };
            convrnn::parallel(canvas.parts, some, this);
        }
    }

    // What no step writes, and c.
    void begin() const {
        const int64_t frame = canvas.positions * r.units;
        const int64_t values = convrnn::saved_values(r.cell, false) * canvas.positions * canvas.units;
        for (int64_t i = 0; i < r.rows; ++i) {
            const int64_t row = canvas.plan.row[i], valid = canvas.plan.length[row], beyond = r.frames - valid;
            const Real *state = r.state + row * canvas.positions * canvas.width;
            zero(out.y + (row * r.frames + valid) * frame, beyond * frame);
            if (out.saved) {
                const int64_t from = (r.units + L - 1) / L * L < canvas.units ? 0 : valid;
                Real *at = out.saved + (row * r.frames + from) * values;
                zero(at, (r.frames - from) * values);
            }
            if (!valid) {
                const int64_t numbers = canvas.positions * canvas.width;
                copy(out.final + row * numbers, state, numbers);
            } else if (C::c >= 0) {
                for (int64_t p = 0; p < canvas.positions; ++p) {
                    canvas.pad(c + (i * canvas.positions + p) * canvas.units, state + p * canvas.width + r.units, 1);
                }
            }
        }
    }

    void advance(int part) const {
        canvas.bunches(part, alive, [&](const Bunch &bunch) { some(own[part], bunch); });
    }

    // One step of a bunch of tiles.
    void some(const Own &mine, const Bunch &bunch) const {
        const int64_t place_apart = canvas.apart_places(canvas.apart), sums_apart = canvas.apart_places(wide());
        for (int t = 0; t < bunch.count; ++t) {
            canvas.spread_tile(bunch.tile[t], step, out.y, mine.inputs + t * canvas.apart, place_apart);
        }
        for (int64_t block = 0; block < blocks(); ++block) {
            for (int place = 0; place < kPlaces; ++place) {
                const Real *weights = panels + (block * kPlaces + place) * panel();
                times_panel(mine.inputs + place * place_apart, canvas.apart, bunch.count, canvas.terms, weights, canvas.slots,
                            mine.sums + place * sums_apart);
            }
            for (int t = 0; t < bunch.count; ++t) {
                finish(mine, bunch.tile[t], mine.sums + t * wide(), block * L);
            }
        }
    }

    // Gates and state of a tile, the units of one register.
    void finish(const Own &mine, const Tile &tile, const Real *of_places, int64_t u) const {
        Real sums[4][C::slots * L];
#pragma GCC unroll 4
        for (int g = 0; g < canvas.slots; ++g) {
            V m[kPlaces], y[4];
#pragma GCC unroll 16
            for (int place = 0; place < kPlaces; ++place) {
                m[place] = load(of_places + place * canvas.apart_places(wide()) + g * L);
            }
            both_ways<CollectOutputs>(m, y);
            for (int which = 0; which < 4; ++which) {
                store(sums[which] + g * L, y[which]);
            }
        }
        for (int which = 0; which < 4; ++which) {
            const int64_t position = canvas.position(tile, which);
            if (position >= 0) {
                equations(mine, tile, position, sums[which], u);
            }
        }
    }

    CONVRNN_INLINE void equations(const Own &mine, const Tile &tile, int64_t position, const Real *sums, int64_t u) const {
        const int64_t row = canvas.plan.row[tile.i], frame = canvas.rows().frame(tile.i, step), all = canvas.positions;
        const int64_t at = (row * r.frames + frame) * all + position;
        const int n = r.units - u < L ? static_cast<int>(r.units - u) : L;
        Real *my_c = C::c >= 0 ? c + (tile.i * all + position) * canvas.units + u : nullptr;
        Here<Real> a;
        a.sums = sums, a.sums_apart = L;
        a.gates = r.w_x ? input_part(mine, sums, u) : ready_made(mine, row, frame, position, u, n), a.padded = canvas.units;
        a.h = V{}, a.c = my_c ? load(my_c) : V{};
        if constexpr (C::c < 0) {
            a.h = canvas.h_before(tile, step, out.y, position, u, n);
        }
        a.b_h = b_h + u;
        a.peep = r.peep ? canvas.peep + position * canvas.units + u : nullptr, a.peep_apart = all * canvas.units;
        a.saved = out.saved ? out.saved + at * convrnn::saved_values(r.cell, false) * canvas.units + u : nullptr;
        V new_c = a.c;
        const V h = C::step(a, new_c);
        store_first(out.y + at * r.units + u, h, n);
        if constexpr (C::c >= 0) {
            a.save(C::c, new_c);
            store(my_c, new_c);
        }
        if (step + 1 == canvas.plan.length[row]) {
            Real *final = out.final + (row * all + position) * canvas.width + u;
            store_first(final, h, n);
            if constexpr (C::c >= 0) {
                store_first(final + r.units, new_c, n);
            }
        }
    }

    // The input's part of the gates that is not in the sums: bias, and where r stands between, the sum of x.
    CONVRNN_INLINE Real *input_part(const Own &mine, const Real *sums, int64_t u) const {
        if constexpr (C::slots == G) {
            return bias + u;
        }
        for (int g = 0; g < G; ++g) {
            const V sum = g == G - 1 ? load(sums + G * L) : V{};
            store(mine.gates + g * canvas.units, sum + load(bias + g * canvas.units + u));
        }
        return mine.gates;
    }

    // The input's part of the gates, bias included, at u.
    Real *ready_made(const Own &mine, int64_t row, int64_t frame, int64_t position, int64_t u, int n) const {
        const Real *from = r.x + row * r.x_row + frame * r.x_frame + position * r.channels + u;
        for (int g = 0; g < G; ++g) {
            store(mine.gates + g * canvas.units, load_first(from + g * r.units, n) + load(bias + g * canvas.units + u));
        }
        return mine.gates;
    }
};

}  // namespace
