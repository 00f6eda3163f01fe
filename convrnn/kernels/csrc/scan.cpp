// The loops over rows, frames and channels of every cell of scan_cells.h. Compiled once an instruction set. Knows no equation.
//
// These loops are bound by memory. Rows are independent and channels too; along a row memory is read and written in the order in which it
// lies, each number once. The state stands in `carry`, a row of it in the first cache: with it in registers only a few channels would fit,
// and a row would be read in strips. The latency of the chain (load, multiply-add, store, about ten cycles a frame) hides behind the other
// channels of the frame, and below 64 of them behind the memory.

#include "scan.h"

#include <cstring>

#include "scan_cells.h"

namespace convrnn {
namespace {

// What belongs to a part: of every row a range of channels. Frames times channels are cut where they are even, whatever the lengths, at
// multiples of a cache line, so that no two parts write to one. So a batch is cut into rows, and one long row into channels.
template <typename Real>
class Shares {
    static constexpr size_t kLine = 64 / sizeof(Real);

public:
    Shares(const Scan<Real> &scan, int part) : scan_(scan), lines_((scan.units + kLine - 1) / kLine) {
        size_t all = 0;
        for (size_t b = 0; b < scan.rows; ++b) {
            all += weight(b) * lines_;
        }
        from_ = share(all, part);
        to_ = share(all, part + 1);
    }

    struct Range {
        size_t first, last;
    };

    // Of the next row.
    Range next(size_t row) {
        const Range range{cut(from_, weight(row)), cut(to_, weight(row))};
        at_ += weight(row) * lines_;
        return range;
    }

    // No length lies outside 0 to frames; one that does reads no other row.
    size_t valid(size_t row) const {
        const size_t frames = scan_.frames;
        if (!scan_.lengths) {
            return frames;
        }
        const int64_t length = scan_.lengths[row];
        return length <= 0 ? 0 : static_cast<size_t>(length) < frames ? static_cast<size_t>(length) : frames;
    }

private:
    // One more than the frames: a row of none has zeros to be written.
    size_t weight(size_t row) const { return valid(row) + 1; }

    size_t share(size_t all, int part) const { return all * static_cast<size_t>(part) / static_cast<size_t>(scan_.parts); }

    size_t cut(size_t bound, size_t weight) const {
        const size_t lines = bound <= at_ ? 0 : (bound - at_ + weight - 1) / weight;
        const size_t channels = (lines < lines_ ? lines : lines_) * kLine;
        return channels < scan_.units ? channels : scan_.units;
    }

    const Scan<Real> &scan_;
    size_t lines_, from_ = 0, to_ = 0, at_ = 0;
};

// Calls step(channel, lanes) for the channels of a range, a vector of them each.
template <typename Real, typename Step>
CONVRNN_INLINE void for_vectors(size_t first, size_t last, Step step) {
    size_t channel = first;
    for (; channel + kLanes<Real> <= last; channel += kLanes<Real>) {
        step(channel, kLanes<Real>);
    }
    if (channel < last) {
        step(channel, static_cast<int>(last - channel));
    }
}

// Where the operands of a frame stand.
template <typename Cell, typename Real>
CONVRNN_INLINE void operands(Real *gates, Real *apart, size_t frame, size_t units, Real **at) {
    const size_t blocks = static_cast<size_t>(Cell::operands) - (apart != nullptr);
    for (size_t k = 0; k < blocks; ++k) {
        at[k] = gates + (frame * blocks + k) * units;
    }
    if (apart) {
        at[blocks] = apart + frame * units;
    }
}

// Zeros for the frames of a row from `valid` on; nothing where there is no tensor.
template <typename Real>
void clear(const Scan<Real> &s, Real *values, size_t row, size_t valid, size_t first, size_t last) {
    for (size_t t = valid; values && t < s.frames; ++t) {
        zero(values + (row * s.frames + t) * s.units + first, static_cast<int64_t>(last - first));
    }
}

template <typename Cell, typename Real = typename Cell::Real>
void forward_row(const Scan<Real> &s, size_t row, size_t valid, size_t first, size_t last) {
    typedef Vec<Real> V;
    double *carries = s.carry + row * s.units;
    for (size_t step = 0; step < valid; ++step) {
        const size_t frame = row * s.frames + (s.reverse ? valid - 1 - step : step);
        const Real *from[Cell::operands];
        operands<Cell>(s.gates, s.apart, frame, s.units, from);
        Real *h = s.h + frame * s.units, *memory = s.memory ? s.memory + frame * s.units : nullptr;
        for_vectors<Real>(first, last, [&](size_t at, int lanes) __attribute__((always_inline)) {
            V x[Cell::operands], c;
            Carry<Real> carry;
            carry.load(carries + at, lanes);
            for (int k = 0; k < Cell::operands; ++k) {
                x[k] = load_first(from[k] + at, lanes);
            }
            store_first<Real>(h + at, Cell::forward(x, carry, c), lanes);
            carry.store(carries + at, lanes);
            if constexpr (Cell::reads) {
                if (memory) {
                    store_first<Real>(memory + at, c, lanes);
                }
            }
        });
    }
    clear(s, s.h, row, valid, first, last);
    clear(s, s.memory, row, valid, first, last);
}

template <typename Cell, typename Real = typename Cell::Real>
void backward_row(const Scan<Real> &s, size_t row, size_t valid, size_t first, size_t last) {
    typedef Vec<Real> V;
    double *carries = s.carry + row * s.units;
    for (size_t step = valid; step-- > 0;) {
        const size_t frame = row * s.frames + (s.reverse ? valid - 1 - step : step);
        const Real *from[Cell::operands];
        Real *to[Cell::operands];
        operands<Cell>(s.gates, s.apart, frame, s.units, from);
        operands<Cell>(s.dgates, s.dapart, frame, s.units, to);
        const Real *memory = s.memory + frame * s.units, *dh = s.dh + frame * s.units;
        const Real *before = !step ? s.state + row * s.units : s.reverse ? memory + s.units : memory - s.units;
        for_vectors<Real>(first, last, [&](size_t at, int lanes) __attribute__((always_inline)) {
            V x[Cell::operands], dx[Cell::operands];
            Carry<Real> carry;
            carry.load(carries + at, lanes);
            for (int k = 0; k < Cell::operands; ++k) {
                x[k] = load_first(from[k] + at, lanes);
            }
            const V c = Cell::reads ? load_first(memory + at, lanes) : V{};
            Cell::backward(x, c, load_first(before + at, lanes), load_first(dh + at, lanes), carry, dx);
            carry.store(carries + at, lanes);
            for (int k = 0; k < Cell::operands; ++k) {
                store_first<Real>(to[k] + at, dx[k], lanes);
            }
        });
    }
    for (size_t t = valid; t < s.frames; ++t) {
        Real *to[Cell::operands];
        operands<Cell>(s.dgates, s.dapart, row * s.frames + t, s.units, to);
        for (Real *each : to) {
            zero(each + first, static_cast<int64_t>(last - first));
        }
    }
}

template <typename Cell, void (*one_row)(const Scan<typename Cell::Real> &, size_t, size_t, size_t, size_t)>
void rows(void *scan, int part) {
    const auto &s = *static_cast<const Scan<typename Cell::Real> *>(scan);
    Shares<typename Cell::Real> shares(s, part);
    for (size_t row = 0; row < s.rows; ++row) {
        const auto range = shares.next(row);
        if (range.first < range.last) {
            one_row(s, row, shares.valid(row), range.first, range.last);
        }
    }
}

template <template <typename> class Cell>
constexpr ScanCell cell(const char *name) {
    return {name, rows<Cell<float>, forward_row<Cell<float>>>, rows<Cell<float>, backward_row<Cell<float>>>,
            rows<Cell<double>, forward_row<Cell<double>>>, rows<Cell<double>, backward_row<Cell<double>>>};
}

constexpr ScanCell kCells[] = {
    cell<Linear>("linear"),
    cell<MinGRULinear>("min_gru"),
    cell<MinGRUPositive>("min_gru_g"),
    cell<MinLSTMLinear>("min_lstm"),
    cell<MinLSTMPositive>("min_lstm_g"),
    cell<SRUTanh>("sru_tanh"),
    cell<SRURelu>("sru_relu"),
    cell<SRUIdentity>("sru_identity"),
    cell<QRNNf>("qrnn_f"),
    cell<QRNNfo>("qrnn_fo"),
    cell<QRNNifo>("qrnn_ifo"),
};

}  // namespace

const ScanCells &CONVRNN_ENTRY(scan_cells)() {
    static constexpr ScanCells cells{kCells, sizeof kCells / sizeof *kCells};
    return cells;
}

}  // namespace convrnn
