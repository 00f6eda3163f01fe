// What forward and backward over pictures share: tiles and where their inputs lie, the weights as `winograd.h` wants them. Knows no equation.
#pragma once

#include <cstdlib>

#include "cells.h"
#include "pages.h"
#include "panels.h"
#include "parallel.h"
#include "pictures.h"
#include "plan.h"
#include "winograd.h"

namespace {

using convrnn::padded;
using convrnn::Pictures;
using convrnn::Plan;
using convrnn::Rows;

constexpr int kStrip = 16, kMostAtOnce = 2 * kStrip;

// A tile of 2 x 2 positions from (y, x) on, of the row that is the i-th by falling length.
struct Tile {
    int i;
    int64_t y, x;
};

// Tiles that are worked on together, in whole strips.
struct Bunch {
    int64_t first_strip;  // of all rows
    int count;
    Tile tile[kMostAtOnce];
};

template <typename Real, typename C>
struct Canvas {
    static constexpr int L = kLanes<Real>, G = C::gates;

    const Pictures<Real> &r;
    const int64_t down, across, strips, wide;      // tiles; strips of at most so many tiles in a line of tiles
    const int64_t positions, units, width;         // of a picture; padded; of the state
    const int64_t channels, terms, apart;          // of x if it is convolved here; of a product; from one tile's terms to the next
    const int slots;                               // of the gates' sums that are kept apart: x and h of one gate where r stands between
    int parts = 1;
    int64_t at_once = 1;                           // tiles that a part has in hand at most
    Plan plan;
    Real *zeros, *peep;

    explicit Canvas(const Pictures<Real> &pictures)
        : r(pictures), down((r.height + 1) / 2), across((r.width + 1) / 2), strips((across + kStrip - 1) / kStrip),
          wide(strips ? (across + strips - 1) / strips : 0), positions(r.height * r.width), units(padded(r.units)),
          width(C::c >= 0 ? 2 * r.units : r.units), channels(r.w_x ? r.channels : 0), terms(channels + r.units), apart(padded(terms)),
          slots(r.w_x ? C::slots : G) {
        // A part of a few tiles takes longer to share than to do.
        parts = static_cast<int>(least(r.threads, r.rows * tiles() / 16));
        parts = parts < 1 ? 1 : parts;
        plan.parts = 1;
    }

    static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

    int64_t tiles() const { return down * across; }
    Rows rows() const { return plan.rows(0, r.reverse); }

    // As many strips as have `bytes` a tile in the second level of cache, beside the weights.
    void set_at_once(int64_t bytes) {
        const int64_t tiles_there = least(kMostAtOnce, 512 * 1024 / bytes);
        at_once = tiles_there > wide ? tiles_there / wide * wide : wide;
    }

    void lay_out(Scratch &scratch) {
        plan.row = scratch.take<int32_t>(r.rows);
        plan.begins = scratch.take<int32_t>(2);
        plan.length = scratch.take<int64_t>(r.rows);
        zeros = scratch.take<Real>(apart);
        peep = scratch.take<Real>(r.peep ? (G - 1) * positions * units : 0);
    }

    void fill() {
        convrnn::fill(plan, r.rows, r.frames, r.lengths);
        zero(zeros, apart);
        if (r.peep) {
            pad(peep, r.peep, (G - 1) * positions);
        }
    }

    // From one place to the next, where each has so many numbers for all tiles in hand. By a cache line more than a power of two: the 16
    // places of a tile would else share one set of the first level.
    int64_t apart_places(int64_t numbers) const { return at_once * numbers + 16; }

    // Vectors of r.units numbers, each with zeros to the end of a register; all zeros where `from` is null.
    void pad(Real *to, const Real *from, int64_t vectors) const {
        for (int64_t i = 0; i < vectors; ++i) {
            for (int64_t u = 0; u < units; ++u) {
                to[i * units + u] = from && u < r.units ? from[i * r.units + u] : Real(0);
            }
        }
    }

    // Whether a slot has a term: the last two may have those of h and those of x.
    bool has(int slot, int64_t term) const { return slots == G || slot < G - 1 || (slot == G) == (term < channels); }

    // The gate of a slot, in the order of the weights.
    static int gate(int slot) { return slot < G ? slot : G - 1; }

    // Calls each(slot, unit, term, values) for the 16 values of every kernel.
    template <typename Each>
    void weights(Each &&each) const {
        for (int slot = 0; slot < slots; ++slot) {
            for (int64_t unit = 0; unit < r.units; ++unit) {
                const int64_t output = gate(slot) * r.units + unit;
                for (int64_t k = 0; k < terms; ++k) {
                    const Real *w = k < channels ? r.w_x + (output * channels + k) * 9 : r.w_h + (output * r.units + k - channels) * 9;
                    Real values[kPlaces];
                    both_ways<SpreadWeights>(w, values);
                    if (has(slot, k)) {
                        each(slot, unit, k, values);
                    }
                }
            }
        }
    }

    int64_t strips_of_picture() const { return down * strips; }

    // Calls each(bunch) for the strips of one part, of all those of the first `alive` rows.
    template <typename Each>
    void bunches(int part, int64_t alive, Each &&each) const {
        const int64_t all = alive * strips_of_picture(), end = all * (part + 1) / parts, together = wide ? at_once / wide : 1;
        for (int64_t first = all * part / parts; first < end; first += together) {
            Bunch bunch;
            bunch.first_strip = first, bunch.count = 0;
            for (int64_t strip = first; strip < least(end, first + together); ++strip) {
                const int64_t here = strip % strips_of_picture(), from = here % strips * wide;
                for (int64_t x = from; x < least(across, from + wide); ++x) {
                    bunch.tile[bunch.count++] = {static_cast<int>(strip / strips_of_picture()), here / strips * 2, x * 2};
                }
            }
            each(bunch);
        }
    }

    // A position of a tile, 0 to 3, that the picture has: its number there, else -1.
    int64_t position(const Tile &t, int which) const {
        const int64_t y = t.y + which / 2, x = t.x + which % 2;
        return y < r.height && x < r.width ? y * r.width + x : -1;
    }

    // The terms of the products of a tile at a step: those of x, then those of h.
    void spread_tile(const Tile &t, int64_t step, const Real *y, Real *to, int64_t place) const {
        const int64_t row = plan.row[t.i];
        const Rows order = rows();
        if (channels) {
            spread_picture(t, r.x + row * r.x_row + order.frame(t.i, step) * r.x_frame, channels, channels, to, place);
        }
        if (step) {
            const Real *h = y + (row * r.frames + order.frame(t.i, step - 1)) * positions * r.units;
            spread_picture(t, h, r.units, r.units, to + channels, place);
        } else {
            spread_picture(t, r.state + row * positions * width, width, r.units, to + channels, place);
        }
    }

    // c before a step, of one position and register: where it begins, or what was saved one step earlier.
    Vec<Real> c_before(int64_t row, int64_t position, const Real *saved, int values, int64_t u, int n) const {
        if (saved) {
            return load(saved + (position * values + C::c) * units + u);
        }
        return load_first(r.state + (row * positions + position) * width + r.units + u, n);
    }

    // h before a step, of one position and register.
    Vec<Real> h_before(const Tile &t, int64_t step, const Real *y, int64_t position, int64_t u, int n) const {
        const int64_t row = plan.row[t.i];
        if (step) {
            return load_first(y + ((row * r.frames + rows().frame(t.i, step - 1)) * positions + position) * r.units + u, n);
        }
        return load_first(r.state + (row * positions + position) * width + u, n);
    }

    // Asks for the numbers of a tile, `count` at each position: they lie apart, and the processor does not guess where.
    void fetch(const Tile &t, const Real *picture, int64_t position_apart, int64_t count) const {
        for (int which = 0; which < 4; ++which) {
            const int64_t here = position(t, which);
            for (int64_t u = 0; u < count && here >= 0; u += 64 / static_cast<int64_t>(sizeof(Real))) {
                __builtin_prefetch(picture + here * position_apart + u);
            }
        }
    }

 private:
    void spread_picture(const Tile &t, const Real *picture, int64_t position_apart, int64_t count, Real *to, int64_t place) const {
        const Real *at[kPlaces];
        for (int i = 0; i < kPlaces; ++i) {
            const int64_t y = t.y - 1 + i / 4, x = t.x - 1 + i % 4;
            const bool inside = y >= 0 && y < r.height && x >= 0 && x < r.width;
            at[i] = inside ? picture + (y * r.width + x) * position_apart : zeros;
        }
        spread(at, count, to, place);
    }
};

// Runs `call`: it lays its memory out twice, to measure it and to have it. False: there was not enough memory, and nothing was done.
template <typename Call>
bool run(Call &call) {
    Scratch measure(nullptr);
    call.lay_out(measure);
    void *memory = std::malloc(measure.used() + 64);
    if (!memory) {
        return false;
    }
    convrnn::in_large_pages(memory, measure.used());
    Scratch scratch(static_cast<char *>(memory) + (64 - reinterpret_cast<uintptr_t>(memory) % 64) % 64);
    call.lay_out(scratch);
    call.work();
    std::free(memory);
    return true;
}

}  // namespace
