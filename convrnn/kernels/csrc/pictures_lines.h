// The gradients of the inputs of all tiles at one step. Tiles overlap: within a strip they are added up at once, strips overlap by two
// positions on each side and leave four lines each, [rows][lines of tiles][strips][4][2 wide + 2][columns]. Knows no cell and no weights.
#pragma once

#include "pictures_shared.h"

namespace {

template <typename Real>
struct Lines {
    typedef Vec<Real> V;
    static constexpr int L = kLanes<Real>;

    int64_t down, strips, wide, columns_apart;
    Real *data;

    int64_t line() const { return (2 * wide + 2) * columns_apart; }
    int64_t size(int64_t rows) const { return rows * down * strips * 4 * line(); }
    Real *of_strip(int64_t number) const { return data + number * 4 * line(); }

    // Of the lines of strips those that all tiles read.
    void fetch(const Tile &tile) const {
        const int64_t y = tile.y / 2, x = tile.x / 2, strip = x / wide, at = 2 * (x - strip * wide) + 1;
        for (int number = 0; number < 4; ++number) {
            const int64_t line_y = number == 0 ? y + 1 : number == 3 ? y - 1 : y;
            if (line_y >= 0 && line_y < down) {
                const Real *from = in_line(tile.i, line_y, strip, number, at);
                for (int64_t k = 0; k < 2 * columns_apart; k += 64 / static_cast<int64_t>(sizeof(Real))) {
                    __builtin_prefetch(from + k);
                }
            }
        }
    }

    // The gradient of a position's inputs one step later from `column` on: what the strips that see it have left, two lines of tiles at most
    // and two strips of each.
    CONVRNN_INLINE V collected(const Tile &tile, int which, int64_t column, int n) const {
        const int64_t y = tile.y / 2, x = tile.x / 2, strip = x / wide, at = x - strip * wide;
        const int inner = which / 2 + 1;
        V sum = from_line(tile.i, y, strip, inner, 2 * at + which % 2 + 1, column, n);
        const int64_t other = which / 2 ? y + 1 : y - 1, beside = which % 2 ? strip + 1 : strip - 1;
        const bool border = which % 2 ? at + 1 == wide && beside < strips : !at && strip;
        const int64_t at_beside = which % 2 ? 0 : 2 * wide + 1;
        if (border) {
            sum += from_line(tile.i, y, beside, inner, at_beside, column, n);
        }
        if (other >= 0 && other < down) {
            sum += from_line(tile.i, other, strip, which / 2 ? 0 : 3, 2 * at + which % 2 + 1, column, n);
            if (border) {
                sum += from_line(tile.i, other, beside, which / 2 ? 0 : 3, at_beside, column, n);
            }
        }
        return sum;
    }

    CONVRNN_INLINE V from_line(int64_t i, int64_t y, int64_t strip, int number, int64_t at, int64_t column, int n) const {
        return load_first(in_line(i, y, strip, number, at) + column, n);
    }

    CONVRNN_INLINE const Real *in_line(int64_t i, int64_t y, int64_t strip, int number, int64_t at) const {
        const int64_t which = ((i * down + y) * strips + strip) * 4 + number;
        return data + which * line() + at * columns_apart;
    }

    // The four lines of a strip's inputs from its sums, `apart` from one tile to the next.
    void leave(const Real *sums, int64_t apart, int64_t place_apart, int tiles, Real *to) const {
        V carry[4][2] = {};
        for (int t = 0; t < tiles; ++t, sums += apart, to += 2 * columns_apart) {
            V p[kPlaces], d[kPlaces];
#pragma GCC unroll 16
            for (int place = 0; place < kPlaces; ++place) {
                p[place] = load(sums + place * place_apart);
            }
            both_ways<CollectInputs>(p, d);
#pragma GCC unroll 4
            for (int y = 0; y < 4; ++y) {
                store(to + y * line(), carry[y][0] + d[y * 4]);
                store(to + y * line() + columns_apart, carry[y][1] + d[y * 4 + 1]);
                carry[y][0] = d[y * 4 + 2], carry[y][1] = d[y * 4 + 3];
            }
        }
        for (int y = 0; y < 4; ++y) {
            store(to + y * line(), carry[y][0]);
            store(to + y * line() + columns_apart, carry[y][1]);
        }
    }
};

}  // namespace
