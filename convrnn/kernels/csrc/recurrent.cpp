// The entry points of the recurrences for one instruction set: which cell is meant.

#include "recurrent.h"

#include "backward.h"
#include "forward.h"

namespace {

using convrnn::Cell;

// Calls `each` with the cell's equations.
template <typename Real, typename Each>
auto with_cell(Cell cell, Each &&each) {
    switch (cell) {
        case Cell::rnn_tanh: return each(Rnn<Real, false>());
        case Cell::rnn_relu: return each(Rnn<Real, true>());
        case Cell::lstm: return each(Lstm<Real>());
        case Cell::lstm_coupled: return each(LstmCoupled<Real>());
        case Cell::gru: return each(Gru<Real>());
        case Cell::gru_before: return each(GruBefore<Real>());
        default: return each(LiGru<Real>());
    }
}

template <typename Real>
bool forward(const Recurrence<Real> *r, const Outputs<Real> *out, int count) {
    return with_cell<Real>(r->cell, [&](auto equations) {
        typedef Forward<Real, decltype(equations)> Call;
        Call calls[] = {Call(r[0], out[0]), Call(r[count - 1], out[count - 1])};
        return run(calls, count);
    });
}

template <typename Real>
bool backward(const Recurrence<Real> *r, const Gradients<Real> *g, int count) {
    return with_cell<Real>(r->cell, [&](auto equations) {
        typedef Backward<Real, decltype(equations)> Call;
        Call calls[] = {Call(r[0], g[0]), Call(r[count - 1], g[count - 1])};
        return run(calls, count);
    });
}

template <typename Real>
int64_t packed_bytes(const Recurrence<Real> &r) {
    return with_cell<Real>(r.cell, [&](auto equations) {
        Scratch measure(nullptr);
        Forward<Real, decltype(equations)>(r, Outputs<Real>()).lay_out_weights(measure);
        return static_cast<int64_t>(measure.used());
    });
}

template <typename Real>
void pack(const Recurrence<Real> &r) {
    with_cell<Real>(r.cell, [&](auto equations) {
        Scratch room(r.packed);
        Forward<Real, decltype(equations)> call(r, Outputs<Real>());
        call.lay_out_weights(room);
        call.pack(0, 1);
    });
}

template <typename Real>
constexpr convrnn::RecurrentOf<Real> entries() {
    return {forward<Real>, backward<Real>, packed_bytes<Real>, pack<Real>};
}

}  // namespace

namespace convrnn {

const Recurrent &CONVRNN_ENTRY(recurrent)() {
    static constexpr Recurrent both = {entries<float>(), entries<double>()};
    return both;
}

}  // namespace convrnn
