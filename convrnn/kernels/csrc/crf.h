// The linear-chain CRF, one row at a time: log Z, expectations, the best paths. The mathematics and its papers stand in kernels/lattice.py.
// Knows nothing of Python, tensors or threads.
//
// All in double: the K x K products of a frame are small beside the net that made its emissions, and log Z of a thousand frames needs the
// digits. A frame's forward variables are kept as logarithms less their largest, so no row is too long. The sum over the tag before,
//     log sum_i exp(alpha[i] + transitions[i, j]) = most[j] + log sum_i exp(alpha[i]) weight[i, j]
// with most[j] = max_i transitions[i, j] and weight[i, j] = exp(transitions[i, j] - most[j]), is a product with a matrix made once: K
// exponentials and K logarithms a frame in place of K x K. What it drops is below K e^-708. Where the sum itself is fainter than 1e-200 (a
// transition of -10000 against an emission of +10000) that tag's sum is taken term by term.
#pragma once

#include <cstdint>

#include "isa.h"

namespace convrnn {

// The chain, laid out for the loops: rows padded to `width`, a multiple of every register, with scores of -inf and weights of 0.
struct CrfModel {
    int64_t tags, width;
    double *transitions, *weight, *weight_t, *most, *start, *end;
};

// One row: its emissions [frames, tags], float or double.
struct CrfRow {
    const void *emissions;
    bool wide;
    int64_t frames;
};

// What expectations are added to: weight x count for each number of the chain; of a pair [tags, width] still without its `weight`, and
// apart from them [tags, width] those that were computed term by term.
struct CrfCounts {
    double *pairs, *faint_pairs, *start, *end;
};

struct Crf {
    // Fills `model`, whose tags, width and pointers are set, from dense [tags, tags], [tags], [tags].
    void (*prepare)(const double *transitions, const double *start, const double *end, CrfModel &model);
    // log Z. `work`: crf_work(model, 2) doubles.
    double (*log_partition)(const CrfModel &model, const CrfRow &row, double *work);
    // Adds to `counts`, writes weight x probability into `tags`, [frames, tags] of the emissions' type. `work`: crf_work(model, frames).
    void (*expect)(const CrfModel &model, const CrfRow &row, double weight, double *work, const CrfCounts &counts, void *tags);
    // The best paths, [count, stride], of which the first `frames` are written where there is a path, and their scores, [count].
    // `work`: crf_work(model, 2 * count); `back`: count * width * frames.
    void (*viterbi)(const CrfModel &model, const CrfRow &row, int64_t count, int64_t stride, double *work, int64_t *back, int64_t *tags,
                    double *scores);
};

// Doubles of a row's workspace when `kept` frames of K are kept at once.
static inline int64_t crf_work(const CrfModel &model, int64_t kept) { return (kept + 6) * model.width; }

CONVRNN_DECLARE_FOR_EACH_ISA(Crf, crf)

}  // namespace convrnn
