// Matrices packed for `micro`, and the product of many rows with one. Knows no cell.
#pragma once

#include "micro.h"
#include "squares.h"

#include <cstdlib>

namespace {

// Memory of one call, taken piece by piece from one block. Begun at address 0 it only measures.
class Scratch {
 public:
    explicit Scratch(void *block) : first_(reinterpret_cast<uintptr_t>(block)), at_(first_) {}

    template <typename T>
    T *take(int64_t count) {
        const uintptr_t here = at_;
        // Whole cache lines, and one more: parts do not write into each other's, and a vector may be read past an end.
        at_ += (static_cast<uintptr_t>(count) * sizeof(T) + 127) / 64 * 64;
        return reinterpret_cast<T *>(here);
    }

    size_t used() const { return at_ - first_; }
    bool real() const { return first_ != 0; }

 private:
    uintptr_t first_, at_;
};

constexpr int kMostSegments = 4;

// A matrix with `terms` rows of columns in blocks of one register, G blocks (the gates of the same units) side by side.
//
// Packed as [panel][segment][term][vectors][lanes]; a panel has one block of G gates, or for G = 1 three blocks of columns. The terms
// come in segments: what they are multiplied with lies at `jump[segment]` in each row.
template <typename Real>
struct Panels {
    static constexpr int L = kLanes<Real>;

    int gates = 0, segments = 0;
    int64_t columns = 0, terms = 0;  // columns of one gate; terms of one segment
    int64_t jump[kMostSegments] = {};
    Real *data = nullptr;

    void lay_out(Scratch &scratch, int gates_of_it, int64_t columns_of_it, int segments_of_it, int64_t terms_of_it) {
        gates = gates_of_it, columns = columns_of_it, segments = segments_of_it, terms = terms_of_it;
        data = scratch.take<Real>(size());
    }

    int blocks() const { return static_cast<int>((columns + L - 1) / L); }
    int blocks_a_panel() const { return gates == 1 ? 3 : 1; }
    int64_t size() const { return static_cast<int64_t>(segments) * terms * blocks() * gates * L; }
    int rows_at_once() const { return ::rows_at_once(gates == 1 ? 3 : gates); }

    // from[(gate * columns + column) * stride + term]: the rows of the matrix are those of weights, [G, terms]. One segment. Of its panels
    // every `parts`-th from `part` on; all parts together pack all.
    void pack_rows(const Real *from, int64_t stride, int part, int parts) {
        const int at_once = blocks_a_panel();
        for (int block = part * at_once; block < blocks(); block += parts * at_once) {
            const int vectors = (blocks() - block < at_once ? blocks() - block : at_once) * gates;
            Real *to = data + terms * block * gates * L;
            // A cache line of each row of weights at a time.
            for (int64_t k = 0; k < terms; k += kLine) {
                const int64_t end = k + kLine < terms ? k + kLine : terms;
                for (int j = 0; j < vectors; ++j) {
                    const int64_t column = static_cast<int64_t>(block + (gates == 1 ? j : 0)) * L;
                    const Real *source = from + ((gates == 1 ? 0 : j) * columns + column) * stride;
                    transpose(source, stride, k, end, columns - column, to + j * L, static_cast<int64_t>(vectors) * L);
                }
            }
        }
    }

    // from[(segment * terms + term) * stride + column]: the same matrix the other way round, for gradients. One gate.
    void pack_columns(const Real *from, int64_t stride, int part, int parts) {
        const int at_once = blocks_a_panel();
        for (int block = part * at_once; block < blocks(); block += parts * at_once) {
            const int here = blocks() - block < at_once ? blocks() - block : at_once;
            Real *to = data + segments * terms * block * L;
            for (int64_t k = 0; k < segments * terms; ++k) {
                for (int j = 0; j < here; ++j, to += L) {
                    const int64_t column = static_cast<int64_t>(block + j) * L;
                    store(to, load_first(from + k * stride + column, static_cast<int>(columns - column < L ? columns - column : L)));
                }
            }
        }
    }

    // Calls each(row, block, sums), sums being [G][lanes], for the product of each row with each block.
    template <typename Each>
    void product(const Real *const *rows, int count, Each &&each) const {
        if (count <= 0) {
            return;
        }
        const int most = rows_at_once();
        if (count <= most) {
            product_of_few(rows, count, each);
            return;
        }
        // As equal as they come: a group of one row costs as much as one of half a dozen.
        const int groups = (count + most - 1) / most, small = count / groups, larger = count % groups;
        const int at_once = blocks_a_panel();
        Real tile[kSums * L];
        for (int block = 0; block < blocks(); block += at_once) {
            const int here = blocks() - block < at_once ? blocks() - block : at_once;
            for (int g = 0, first = 0; g < groups; ++g) {
                const int n = small + (g < larger);
                run(pick<Real, false>(here * gates, n), rows + first, n, block, tile);
                hand_out(tile, first, n, block, 1, here, each);
                first += n;
            }
        }
    }

 private:
    static constexpr int64_t kLine = 64 / sizeof(Real);

    // to[k * apart + lane] = from[lane * stride + k] for k in [begin, end), zero from lane `there` on.
    static void transpose(const Real *from, int64_t stride, int64_t begin, int64_t end, int64_t there, Real *to, int64_t apart) {
        for (int64_t k = begin; k < end; k += L) {
            const int here = end - k < L ? static_cast<int>(end - k) : L;
            Vec<Real> square[L];
            for (int lane = 0; lane < L; ++lane) {
                square[lane] = lane < there ? load_first(from + lane * stride + k, here) : Vec<Real>{};
            }
            ::transpose<Real>(square);
            for (int i = 0; i < here; ++i) {
                store(to + (k + i) * apart, square[i]);
            }
        }
    }

    const Real *panel(int block) const { return data + static_cast<int64_t>(segments) * terms * block * gates * L; }

    void run(Micro<Real> micro, const Real *const *rows, int n, int block, Real *tile) const {
        const int here = blocks() - block < blocks_a_panel() ? blocks() - block : blocks_a_panel();
        const int64_t width = static_cast<int64_t>(here) * gates * L;
        for (int segment = 0; segment < segments; ++segment) {
            const Real *at[kMostRows];
            for (int i = 0; i < n; ++i) {
                at[i] = rows[i] + jump[segment];
            }
            micro(at, terms, panel(block) + segment * terms * width, segments * terms * width, tile, segment > 0);
        }
    }

    // One group of rows: several panels at a time while there are as many.
    template <typename Each>
    void product_of_few(const Real *const *rows, int n, Each &&each) const {
        Real tile[kSums * L];
        const int at_once = blocks_a_panel();
        for (int block = 0; block < blocks();) {
            const int here = blocks() - block < at_once ? blocks() - block : at_once;
            const int many = panels_at_once(here * gates, n);
            if (blocks() - block >= many * here) {
                run(pick<Real, true>(here * gates, n), rows, n, block, tile);
                hand_out(tile, 0, n, block, many, here, each);
                block += many * here;
            } else {
                run(pick<Real, false>(here * gates, n), rows, n, block, tile);
                hand_out(tile, 0, n, block, 1, here, each);
                block += here;
            }
        }
    }

    template <typename Each>
    CONVRNN_INLINE void hand_out(const Real *tile, int first, int n, int block, int panels, int here, Each &&each) const {
        for (int i = 0; i < n; ++i) {
            for (int p = 0; p < panels * here; ++p, tile += gates * L) {
                each(first + i, block + p, tile);
            }
        }
    }
};

}  // namespace
