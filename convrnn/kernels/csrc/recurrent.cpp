// The entry points of the recurrences for one instruction set: which cell is meant.

#include "recurrent.h"

#include "backward.h"
#include "forward.h"

namespace {

using convrnn::Cell;

template <typename Real, typename C>
bool forward_of(const Recurrence<Real> &r, const Outputs<Real> &out) {
    Forward<Real, C> call(r, out);
    return run(call);
}

template <typename Real, typename C>
bool backward_of(const Recurrence<Real> &r, const Gradients<Real> &g) {
    Backward<Real, C> call(r, g);
    return run(call);
}

template <typename Real>
bool forward(const Recurrence<Real> &r, const Outputs<Real> &out) {
    switch (r.cell) {
        case Cell::rnn_tanh: return forward_of<Real, Rnn<Real, false>>(r, out);
        case Cell::rnn_relu: return forward_of<Real, Rnn<Real, true>>(r, out);
        case Cell::lstm: return forward_of<Real, Lstm<Real>>(r, out);
        case Cell::lstm_coupled: return forward_of<Real, LstmCoupled<Real>>(r, out);
        case Cell::gru: return forward_of<Real, Gru<Real>>(r, out);
        case Cell::gru_before: return forward_of<Real, GruBefore<Real>>(r, out);
        case Cell::ligru: return forward_of<Real, LiGru<Real>>(r, out);
    }
    return false;
}

template <typename Real>
bool backward(const Recurrence<Real> &r, const Gradients<Real> &g) {
    switch (r.cell) {
        case Cell::rnn_tanh: return backward_of<Real, Rnn<Real, false>>(r, g);
        case Cell::rnn_relu: return backward_of<Real, Rnn<Real, true>>(r, g);
        case Cell::lstm: return backward_of<Real, Lstm<Real>>(r, g);
        case Cell::lstm_coupled: return backward_of<Real, LstmCoupled<Real>>(r, g);
        case Cell::gru: return backward_of<Real, Gru<Real>>(r, g);
        case Cell::gru_before: return backward_of<Real, GruBefore<Real>>(r, g);
        case Cell::ligru: return backward_of<Real, LiGru<Real>>(r, g);
    }
    return false;
}

}  // namespace

namespace convrnn {

const Recurrent &CONVRNN_ENTRY(recurrent)() {
    static constexpr Recurrent entries = {::forward<float>, ::forward<double>, ::backward<float>, ::backward<double>};
    return entries;
}

}  // namespace convrnn
