// The gradients of a recurrence over pictures. Step by step from the last to the first, all parts together: for some tiles at a time the
// gradients before the gates' functions, spread over the places of the products; from these what each part adds to the gradients of the
// weights, and the gradient of a tile's 4 x 4 inputs. Tiles overlap in their inputs: strips of tiles leave lines (pictures_lines.h), and who
// reads a position, one step later, adds up those that it is in. So no part waits for another within a step, and a sum has one order, which
// only the size of the pictures decides.
#pragma once

#include "pictures_lines.h"

namespace {

using convrnn::PicturesBack;

template <typename Real, typename C>
struct PicturesBackward {
    typedef Vec<Real> V;
    static constexpr int L = kLanes<Real>, G = C::gates;
    static constexpr int kColumns = 3 * L;  // of inputs at a time

    // What a part has for itself. From `weights` on sums over its tiles.
    struct Own {
        Real *inputs;   // [places][tiles at once][terms]
        Real *outputs;  // [places][tiles at once][slots x H]
        Real *sums;     // [places][tiles at once][columns]
        Real *weights;  // [places][terms][slots x H]
        Real *bias;     // [gates, and the one inside the reset][units]
        Real *of_bunch; // the same of the tiles in hand: one by one, small numbers would be added to a large sum
        Real *peep;     // as the peepholes
    };

    const Pictures<Real> &r;
    const PicturesBack<Real> &g;
    Canvas<Real, C> canvas;
    const int values = convrnn::saved_values(r.cell, false);
    const bool of_x = canvas.channels && g.x, of_weights = g.w_x || g.w_h;
    const int64_t skipped = of_x ? 0 : canvas.channels;                     // terms without a gradient
    const int64_t columns = canvas.terms - skipped, columns_apart = padded(columns);
    const int64_t outputs = canvas.slots * r.units, outputs_apart = padded(outputs);
    Real *panels = nullptr;              // [groups of columns][places][outputs][columns of the group]
    Real *carried = nullptr;             // [rows][positions][units]: of c, or of h past the products
    Lines<Real> lines[2];                // of the inputs at the step in hand and at the one after it
    Own *own = nullptr;
    int64_t step = 0;
    int alive = 0;

    PicturesBackward(const Pictures<Real> &pictures, const PicturesBack<Real> &gradients) : r(pictures), g(gradients), canvas(pictures) {}

    int64_t biases() const { return (G + 1) * canvas.units; }
    const Lines<Real> &later() const { return lines[(step + 1) % 2]; }
    int64_t groups() const { return (columns + kColumns - 1) / kColumns; }
    int64_t panel(int64_t group) const { return kPlaces * outputs * kColumns * group; }
    int vectors(int64_t group) const { return static_cast<int>((canvas.least(columns - group * kColumns, kColumns) + L - 1) / L); }

    void lay_out(Scratch &scratch) {
        canvas.lay_out(scratch);
        canvas.set_at_once(kPlaces * (canvas.apart + outputs_apart + kColumns) * static_cast<int64_t>(sizeof(Real)));
        panels = scratch.take<Real>(kPlaces * outputs * padded(columns));
        carried = scratch.take<Real>(r.rows * canvas.positions * canvas.units);
        for (Lines<Real> &each : lines) {
            each = {canvas.down, canvas.strips, canvas.wide, columns_apart, nullptr};
            each.data = scratch.take<Real>(each.size(r.rows));
        }
        own = scratch.take<Own>(canvas.parts);
        for (int part = 0; part < canvas.parts; ++part) {
            Own each;
            each.inputs = scratch.take<Real>(kPlaces * canvas.apart_places(canvas.apart));
            each.outputs = scratch.take<Real>(kPlaces * canvas.apart_places(outputs_apart));
            each.sums = scratch.take<Real>(kPlaces * canvas.apart_places(kColumns));
            each.weights = scratch.take<Real>(of_weights ? kPlaces * canvas.apart * outputs_apart : 0);
            each.bias = scratch.take<Real>(biases());
            each.of_bunch = scratch.take<Real>(biases());
            each.peep = scratch.take<Real>(r.peep ? (G - 1) * canvas.positions * canvas.units : 0);
            if (scratch.real()) {
                own[part] = each;
            }
        }
    }

    void work() {
        canvas.fill();
        pack();
        begin();
        in_parts<&PicturesBackward::clear>();
        const Rows rows = canvas.rows();
        for (step = rows.steps() - 1; step >= 0; --step) {
            alive = rows.alive(step);
            in_parts<&PicturesBackward::back>();
        }
        in_parts<&PicturesBackward::finish>();
        if (of_weights) {
            in_parts<&PicturesBackward::collect_weights>();
        }
        add_up();
    }

    template <void (PicturesBackward::*task)(int) const>
    void in_parts() {
        convrnn::parallel(canvas.parts, [](void *context, int part) { (static_cast<PicturesBackward *>(context)->*task)(part); }, this);
    }

    void pack() const {
        zero(panels, kPlaces * outputs * padded(columns));
        canvas.weights([&](int slot, int64_t unit, int64_t k, const Real *each) {
            if (k >= skipped) {
                const int64_t column = k - skipped, group = column / kColumns, wide = vectors(group) * L;
                Real *to = panels + panel(group) + (slot * r.units + unit) * wide + column % kColumns;
                for (int place = 0; place < kPlaces; ++place) {
                    to[place * outputs * wide] = each[place];
                }
            }
        });
    }

    // What no step writes, and the gradient of c behind each row.
    void begin() const {
        const int64_t frame = canvas.positions * r.channels, numbers = canvas.positions * canvas.width;
        for (int64_t i = 0; i < r.rows; ++i) {
            const int64_t row = canvas.plan.row[i], valid = canvas.plan.length[row];
            const Real *dfinal = g.dfinal + row * numbers;
            if (g.x) {
                zero(g.x + (row * r.frames + valid) * frame, (r.frames - valid) * frame);
            }
            if (!valid && g.state) {
                copy(g.state + row * numbers, dfinal, numbers);
            }
            for (int64_t p = 0; p < canvas.positions && C::c >= 0; ++p) {
                canvas.pad(carried + (i * canvas.positions + p) * canvas.units, dfinal + p * canvas.width + r.units, 1);
            }
        }
    }

    void clear(int part) const {
        const Own &mine = own[part];
        zero(mine.inputs, kPlaces * canvas.apart_places(canvas.apart));  // behind the terms of each tile there is nothing
        zero(mine.outputs, kPlaces * canvas.apart_places(outputs_apart));
        zero(mine.weights, of_weights ? kPlaces * canvas.apart * outputs_apart : 0);
        zero(mine.bias, biases());
        zero(mine.peep, r.peep ? (G - 1) * canvas.positions * canvas.units : 0);
    }

    void back(int part) const {
        canvas.bunches(part, alive, [&](const Bunch &bunch) { some(own[part], bunch); });
    }

    // One step of a bunch of tiles.
    void some(const Own &mine, const Bunch &bunch) const {
        const int64_t inputs_place = canvas.apart_places(canvas.apart), outputs_place = canvas.apart_places(outputs_apart);
        zero(mine.of_bunch, biases());
        for (int t = 0; t < bunch.count; ++t) {
            const Tile &tile = bunch.tile[t];
            fetch(bunch.tile[t + 1 < bunch.count ? t + 1 : t]);
            for (int64_t u = 0; u < r.units; u += L) {
                gates(mine, tile, mine.outputs + t * outputs_apart, u);
            }
            if (of_x && step + 1 < canvas.plan.length[canvas.plan.row[tile.i]]) {
                give_x(tile, step + 1);
            }
        }
        for (int64_t u = 0; u < biases(); u += L) {
            add(mine.bias + u, load(mine.of_bunch + u));
        }
        if (of_weights) {
            for (int t = 0; t < bunch.count; ++t) {
                canvas.spread_tile(bunch.tile[t], step, g.y, mine.inputs + t * canvas.apart, inputs_place);
            }
            for (int place = 0; place < kPlaces; ++place) {
                add_outer(mine.inputs + place * inputs_place, canvas.apart, mine.outputs + place * outputs_place, outputs_apart, bunch.count,
                          canvas.terms, outputs, mine.weights + place * canvas.apart * outputs_apart, outputs_apart);
            }
        }
        if (step || g.state || of_x) {
            through_products(mine, bunch);
        }
    }

    // Asks for what the gates of a tile read.
    void fetch(const Tile &tile) const {
        const int64_t row = canvas.plan.row[tile.i], frame = canvas.rows().frame(tile.i, step), all = canvas.positions;
        const int64_t picture = (row * r.frames + frame) * all;
        canvas.fetch(tile, g.saved + picture * values * canvas.units, values * canvas.units, values * canvas.units);
        canvas.fetch(tile, g.y + picture * r.units, r.units, r.units);
        canvas.fetch(tile, g.dy + row * g.dy_row + frame * g.dy_frame, r.units, r.units);
        canvas.fetch(tile, carried + tile.i * all * canvas.units, canvas.units, r.units);
        if (C::c >= 0 && step) {
            const int64_t before = (row * r.frames + canvas.rows().frame(tile.i, step - 1)) * all;
            canvas.fetch(tile, g.saved + (before * values + C::c) * canvas.units, values * canvas.units, r.units);
        }
        later().fetch(tile);
    }

    // The gradients before the gates' functions of a tile, the units of one register, and from these what the products see.
    void gates(const Own &mine, const Tile &tile, Real *to, int64_t u) const {
        const int n = r.units - u < L ? static_cast<int>(r.units - u) : L;
        V d[C::slots][4] = {};
        for (int which = 0; which < 4; ++which) {
            const int64_t position = canvas.position(tile, which);
            if (position >= 0) {
                Real slots[C::slots * L];
                equations(mine, tile, which, position, u, n, slots);
                for (int slot = 0; slot < canvas.slots; ++slot) {
                    d[slot][which] = load(slots + slot * L);
                }
            }
        }
#pragma GCC unroll 4
        for (int slot = 0; slot < canvas.slots; ++slot) {
            V z[kPlaces];
            both_ways<SpreadOutputs>(d[slot], z);
            for (int place = 0; place < kPlaces; ++place) {
                store_first(to + place * canvas.apart_places(outputs_apart) + slot * r.units + u, z[place], n);
            }
        }
    }

    CONVRNN_INLINE void equations(const Own &mine, const Tile &tile, int which, int64_t position, int64_t u, int n, Real *slots) const {
        const int64_t row = canvas.plan.row[tile.i], all = canvas.positions;
        const int64_t frame = canvas.rows().frame(tile.i, step), at = (row * r.frames + frame) * all + position;
        const bool last = step + 1 == canvas.plan.length[row];
        Real *my_carried = carried + (tile.i * all + position) * canvas.units + u;
        Back<Real> a;
        a.dh = load_first(g.dy + row * g.dy_row + frame * g.dy_frame + position * r.units + u, n);
        if (last) {
            a.dh += load_first(g.dfinal + (row * all + position) * canvas.width + u, n);
        } else {
            a.dh += later().collected(tile, which, canvas.channels - skipped + u, n);
            a.dh += C::c >= 0 ? V{} : load(my_carried);
        }
        a.dc = C::c >= 0 ? load(my_carried) : V{};
        a.out = load_first(g.y + at * r.units + u, n);
        a.h = V{}, a.c = V{};
        if constexpr (C::c >= 0) {
            const int64_t before = (row * r.frames + canvas.rows().frame(tile.i, step - 1)) * all * values * canvas.units;
            a.c = canvas.c_before(row, position, step ? g.saved + before : nullptr, values, u, n);
        } else {
            a.h = canvas.h_before(tile, step, g.y, position, u, n);
        }
        a.saved = g.saved + at * values * canvas.units + u, a.padded = canvas.units;
        a.peep = r.peep ? canvas.peep + position * canvas.units + u : nullptr;
        a.d_peep = r.peep ? mine.peep + position * canvas.units + u : nullptr;
        a.peep_apart = all * canvas.units;
        a.slots = slots, a.slots_apart = L;
        C::back(a);
        store(my_carried, C::c >= 0 ? a.dc : a.direct);
        for (int gate = 0; gate < G; ++gate) {
            const V by_x = load(slots + x_slot<C>(gate) * L);
            add(mine.of_bunch + gate * canvas.units + u, by_x);
            if (g.x && !r.w_x) {
                store_first(g.x + at * r.channels + gate * r.units + u, by_x, n);
            }
        }
        if constexpr (C::slots > C::gates) {
            add(mine.of_bunch + G * canvas.units + u, load(slots + (G - 1) * L));
        }
    }

    static CONVRNN_INLINE void add(Real *to, V v) { store(to, load(to) + v); }

    // The gradient of x at the frame of a step whose products are done.
    void give_x(const Tile &tile, int64_t of_step) const {
        const int64_t row = canvas.plan.row[tile.i], frame = canvas.rows().frame(tile.i, of_step);
        Real *picture = g.x + (row * r.frames + frame) * canvas.positions * r.channels;
        for (int which = 0; which < 4; ++which) {
            const int64_t position = canvas.position(tile, which);
            for (int64_t u = 0; u < r.channels && position >= 0; u += L) {
                const int n = static_cast<int>(canvas.least(L, r.channels - u));
                store_first(picture + position * r.channels + u, later().collected(tile, which, u, n), n);
            }
        }
    }

    // From what the products see of the gates' gradients to those of the inputs.
    void through_products(const Own &mine, const Bunch &bunch) const {
        for (int64_t group = 0; group < groups(); ++group) {
            const int n = vectors(group);
            for (int place = 0; place < kPlaces; ++place) {
                times_panel(mine.outputs + place * canvas.apart_places(outputs_apart), outputs_apart, bunch.count, outputs,
                            panels + panel(group) + place * outputs * n * L, n, mine.sums + place * canvas.apart_places(kColumns));
            }
            const Lines<Real> &here = lines[step % 2];
            int64_t strip = bunch.first_strip;
            for (int first = 0, end; first < bunch.count; first = end, ++strip) {
                end = end_of_strip(bunch, first);
                for (int j = 0; j < n; ++j) {
                    here.leave(mine.sums + (first * n + j) * L, n * L, canvas.apart_places(kColumns), end - first,
                               here.of_strip(strip) + group * kColumns + j * L);
                }
            }
        }
    }

    int end_of_strip(const Bunch &bunch, int first) const {
        const Tile &tile = bunch.tile[first];
        return first + static_cast<int>(canvas.least(canvas.wide, canvas.across - tile.x / 2));
    }

    // Behind the first step: the gradients of the state that the rows began with, and of x at their first frame.
    void finish(int part) const {
        canvas.bunches(part, canvas.rows().alive(0), [&](const Bunch &bunch) {
            for (int t = 0; t < bunch.count; ++t) {
                if (of_x) {
                    give_x(bunch.tile[t], 0);
                }
                for (int which = 0; which < 4 && g.state; ++which) {
                    const int64_t position = canvas.position(bunch.tile[t], which);
                    if (position >= 0) {
                        give_state(bunch.tile[t], which, position);
                    }
                }
            }
        });
    }

    void give_state(const Tile &tile, int which, int64_t position) const {
        Real *to = g.state + (canvas.plan.row[tile.i] * canvas.positions + position) * canvas.width;
        const Real *mine = carried + (tile.i * canvas.positions + position) * canvas.units;
        for (int64_t u = 0; u < r.units; u += L) {
            const int n = static_cast<int>(canvas.least(L, r.units - u));
            V dh = later().collected(tile, which, canvas.channels - skipped + u, n);
            if constexpr (C::c >= 0) {
                store_first(to + r.units + u, load(mine + u), n);
            } else {
                dh += load(mine + u);
            }
            store_first(to + u, dh, n);
        }
    }

    // The gradients of the weights of one part of the terms, from the sums of all parts.
    void collect_weights(int part) const {
        for (int64_t k = canvas.terms * part / canvas.parts; k < canvas.terms * (part + 1) / canvas.parts; ++k) {
            Real *to = k < canvas.channels ? g.w_x : g.w_h;
            const int64_t here = k < canvas.channels ? k : k - canvas.channels, of = k < canvas.channels ? canvas.channels : r.units;
            for (int64_t output = 0; output < outputs && to; ++output) {
                const int slot = static_cast<int>(output / r.units);
                if (!canvas.has(slot, k)) {
                    continue;
                }
                Real sums[kPlaces] = {};
                for (int place = 0; place < kPlaces; ++place) {
                    for (int p = 0; p < canvas.parts; ++p) {
                        sums[place] += own[p].weights[(place * canvas.apart + k) * outputs_apart + output];
                    }
                }
                both_ways<CollectWeights>(sums, to + ((canvas.gate(slot) * r.units + output % r.units) * of + here) * 9);
            }
        }
    }

    void add_up() const {
        give_sum(g.b, &Own::bias, 0, G);
        give_sum(g.b_h, &Own::bias, G, G + 1);
        give_sum(g.peep, &Own::peep, 0, (G - 1) * canvas.positions);
    }

    // The vectors [first, end) of H numbers each from all parts.
    void give_sum(Real *to, Real *Own::*what, int64_t first, int64_t end) const {
        for (int64_t i = first; i < end && to; ++i, to += r.units) {
            for (int64_t u = 0; u < r.units; ++u) {
                Real sum = 0;
                for (int part = 0; part < canvas.parts; ++part) {
                    sum += (own[part].*what)[i * canvas.units + u];
                }
                to[u] = sum;
            }
        }
    }
};

}  // namespace
