// The entry points of the recurrences over pictures for one instruction set: which cell is meant.

#include "pictures.h"

#include "pictures_backward.h"
#include "pictures_forward.h"

namespace {

using convrnn::Cell;

template <typename Real, typename C>
bool forward_of(const Pictures<Real> &r, const PicturesOut<Real> &out) {
    PicturesForward<Real, C> call(r, out);
    return run(call);
}

template <typename Real, typename C>
bool backward_of(const Pictures<Real> &r, const PicturesBack<Real> &g) {
    PicturesBackward<Real, C> call(r, g);
    return run(call);
}

template <typename Real>
bool forward(const Pictures<Real> &r, const PicturesOut<Real> &out) {
    switch (r.cell) {
        case Cell::rnn_tanh: return forward_of<Real, Rnn<Real, false>>(r, out);
        case Cell::rnn_relu: return forward_of<Real, Rnn<Real, true>>(r, out);
        case Cell::lstm: return forward_of<Real, Lstm<Real>>(r, out);
        case Cell::lstm_coupled: return forward_of<Real, LstmCoupled<Real>>(r, out);
        case Cell::gru: return forward_of<Real, Gru<Real>>(r, out);
        case Cell::ligru: return forward_of<Real, LiGru<Real>>(r, out);
        default: return false;
    }
}

template <typename Real>
bool backward(const Pictures<Real> &r, const PicturesBack<Real> &g) {
    switch (r.cell) {
        case Cell::rnn_tanh: return backward_of<Real, Rnn<Real, false>>(r, g);
        case Cell::rnn_relu: return backward_of<Real, Rnn<Real, true>>(r, g);
        case Cell::lstm: return backward_of<Real, Lstm<Real>>(r, g);
        case Cell::lstm_coupled: return backward_of<Real, LstmCoupled<Real>>(r, g);
        case Cell::gru: return backward_of<Real, Gru<Real>>(r, g);
        case Cell::ligru: return backward_of<Real, LiGru<Real>>(r, g);
        default: return false;
    }
}

}  // namespace

namespace convrnn {

const OverPictures &CONVRNN_ENTRY(over_pictures)() {
    static constexpr OverPictures entries = {::forward<float>, ::forward<double>, ::backward<float>, ::backward<double>};
    return entries;
}

}  // namespace convrnn
