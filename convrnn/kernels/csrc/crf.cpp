// The loops of the linear-chain CRF, compiled once an instruction set; see crf.h. Knows nothing of Python, tensors or threads.

#include "crf.h"

#include <math.h>

#include "rows.h"

namespace convrnn {
namespace {

typedef int64_t Index __attribute__((vector_size(CONVRNN_VECTOR_BYTES)));

constexpr double kFaint = 1e-200;

// ---- a row

template <typename Real>
void read(const CrfModel &model, const Real *emissions, int64_t t, double *e) {
    for (int64_t j = 0; j < model.tags; ++j) {
        e[j] = static_cast<double>(emissions[t * model.tags + j]);
    }
    for (int64_t j = model.tags; j < model.width; ++j) {
        e[j] = -INFINITY;
    }
}

// From alpha of a frame, its largest 0, to that of the next, before its largest is taken off. p, s: scratch.
void advance(const CrfModel &model, const double *alpha, const double *e, double *p, double *s, double *next) {
    const int64_t width = model.width;
    exp_less(alpha, 0, width, p);
    product(p, model.weight, model.tags, width, s);
    for (int64_t j = 0; j < width; j += kLane) {
        store(next + j, log_normal(load(s + j)) + load(model.most + j) + load(e + j));
    }
    for (int64_t j = 0; j < model.tags; ++j) {
        if (!(s[j] >= kFaint)) {
            next[j] = log_sum(alpha, model.transitions + j, width, model.tags) + e[j];
        }
    }
    for (int64_t j = model.tags; j < width; ++j) {
        next[j] = -INFINITY;
    }
}

// log Z; alpha of frame t is left in alphas[t % kept].
template <typename Real>
double forward(const CrfModel &model, const Real *emissions, int64_t frames, int64_t kept, double *alphas, double *scratch) {
    const int64_t width = model.width;
    double *e = scratch, *p = scratch + width, *s = scratch + 2 * width, *now = alphas;
    double total = 0;
    for (int64_t t = 0; t < frames; ++t) {
        const double *before = now;
        now = alphas + t % kept * width;
        read(model, emissions, t, e);
        if (t == 0) {
            add(model.start, e, width, now);
        } else {
            advance(model, before, e, p, s, now);
        }
        const double most = largest(now, width);
        if (most == -INFINITY) {
            return most;
        }
        subtract(most, width, now);
        total += most;
    }
    if (frames == 0) {
        return 0;
    }
    add(now, model.end, width, s);
    const double most = largest(s, width);
    if (most == -INFINITY) {
        return most;
    }
    exp_less(s, most, width, p);
    return total + most + log(sum(p, width));
}

// The probabilities of all pairs between two frames, term by term, times weight into `pairs`; of the tags of the first into `gamma`.
void expect_faint(const CrfModel &model, const double *alpha, const double *after, double weight, double *pairs, double *gamma) {
    const int64_t width = model.width;
    double most = -INFINITY, total = 0;
    for (int64_t i = 0; i < model.tags; ++i) {
        for (int64_t j = 0; j < model.tags; ++j) {
            most = higher(most, alpha[i] + model.transitions[i * width + j] + after[j]);
        }
    }
    for (int64_t i = 0; i < model.tags; ++i) {
        gamma[i] = 0;
        for (int64_t j = 0; j < model.tags; ++j) {
            gamma[i] += exp(alpha[i] + model.transitions[i * width + j] + after[j] - most);
        }
        total += gamma[i];
    }
    for (int64_t i = 0; i < model.tags; ++i) {
        gamma[i] /= total;
        for (int64_t j = 0; j < model.tags; ++j) {
            pairs[i * width + j] += weight * (exp(alpha[i] + model.transitions[i * width + j] + after[j] - most) / total);
        }
    }
}

// One frame back. `after`: emission and beta of the frame after, then of this one; `gamma`: the probabilities of this frame's tags.
void retreat(const CrfModel &model, const double *alpha, const double *e, double weight, const CrfCounts &counts, double *after, double *p,
             double *q, double *s, double *gamma) {
    const int64_t width = model.width;
    add(after, model.most, width, q);
    const double most = largest(q, width);
    exp_less(q, most, width, q);
    product(q, model.weight_t, model.tags, width, s);
    exp_less(alpha, 0, width, p);
    for (int64_t j = 0; j < width; j += kLane) {
        store(gamma + j, load(p + j) * load(s + j));
    }
    const double total = sum(gamma, width);
    if (total >= kFaint) {
        for (int64_t i = 0; i < model.tags; ++i) {
            gamma[i] /= total;
            add_times(weight / total * p[i], q, width, counts.pairs + i * width);
        }
    } else {
        expect_faint(model, alpha, after, weight, counts.faint_pairs, gamma);
    }
    // q is free: what comes before needs `after` as it was.
    for (int64_t j = 0; j < width; j += kLane) {
        store(q + j, log_normal(load(s + j)) + load(e + j));
    }
    for (int64_t i = 0; i < model.tags; ++i) {
        if (!(s[i] >= kFaint)) {
            q[i] = log_sum(after, model.transitions + i * width, 1, model.tags) - most + e[i];
        }
    }
    copy(after, q, model.tags);
}

template <typename Real>
void give(const CrfModel &model, const double *gamma, double weight, Real *tags) {
    for (int64_t j = 0; j < model.tags; ++j) {
        tags[j] = static_cast<Real>(weight * gamma[j]);
    }
}

template <typename Real>
void expect_row(const CrfModel &model, const Real *emissions, int64_t frames, double weight, double *work, const CrfCounts &counts,
                Real *tags) {
    const int64_t width = model.width, num_tags = model.tags;
    double *scratch = work + frames * width, *e = scratch, *p = scratch + width, *s = scratch + 2 * width;
    double *q = scratch + 3 * width, *after = scratch + 4 * width, *gamma = scratch + 5 * width;
    if (forward(model, emissions, frames, frames, work, scratch) == -INFINITY || frames == 0) {
        for (int64_t n = 0; n < frames * num_tags; ++n) {
            tags[n] = 0;
        }
        return;
    }
    add(work + (frames - 1) * width, model.end, width, gamma);
    exp_less(gamma, largest(gamma, width), width, gamma);
    const double total = sum(gamma, width);
    for (int64_t j = 0; j < width; ++j) {
        gamma[j] /= total;
    }
    add_times(weight, gamma, width, counts.end);
    give(model, gamma, weight, tags + (frames - 1) * num_tags);
    read(model, emissions, frames - 1, e);
    add(e, model.end, width, after);
    for (int64_t t = frames - 2; t >= 0; --t) {
        read(model, emissions, t, e);
        retreat(model, work + t * width, e, weight, counts, after, p, q, s, gamma);
        give(model, gamma, weight, tags + t * num_tags);
    }
    add_times(weight, gamma, width, counts.start);
}

// ---- the best paths

// Puts a way, which came from `origin`, among the `count` best so far of each lane, behind its equals. best, from: rows of `width`.
CONVRNN_INLINE void insert(Double way, Index origin, int64_t count, int64_t width, double *best, int64_t *from) {
    Index in{};
    for (int64_t n = 0; n < count; ++n) {
        const Double old = load(best + n * width);
        Index old_origin;
        std::memcpy(&old_origin, from + n * width, sizeof old_origin);
        // What was pushed out goes before its equals below.
        in |= way > old;
        const Index placed = in ? origin : old_origin;
        store(best + n * width, in ? way : old);
        std::memcpy(from + n * width, &placed, sizeof placed);
        way = in ? old : way;
        origin = in ? old_origin : origin;
    }
}

CONVRNN_INLINE bool any(Index mask) {
    int64_t found = 0;
    for (int k = 0; k < kLane; ++k) {
        found |= mask[k];
    }
    return found;
}

// The best way into each tag, and the tag that it came from.
void best_way(const CrfModel &model, const double *ways, double *next, int64_t *from) {
    for (int64_t j = 0; j < model.width; j += kLane) {
        Double best = all(double(-INFINITY));
        Index origin{};
        for (int64_t i = 0; i < model.tags; ++i) {
            const Double way = ways[i] + load(model.transitions + i * model.width + j);
            origin = way > best ? Index{} + i : origin;
            best = way > best ? way : best;
        }
        store(next + j, best);
        std::memcpy(from + j, &origin, sizeof origin);
    }
}

// The best ways into each tag, [count, width], and the tag * count + rank that each came from.
void best_ways(const CrfModel &model, const double *ways, int64_t count, double *next, int64_t *from) {
    const int64_t width = model.width;
    for (int64_t j = 0; j < count * width; ++j) {
        next[j] = -INFINITY;
        from[j] = 0;
    }
    for (int64_t j = 0; j < width; j += kLane) {
        const double *worst = next + (count - 1) * width + j;
        for (int64_t i = 0; i < model.tags; ++i) {
            const Double step = load(model.transitions + i * width + j);
            for (int64_t n = 0; n < count; ++n) {
                const Double way = ways[n * width + i] + step;
                // What comes after is no better.
                if (!any(way > load(worst))) {
                    break;
                }
                insert(way, Index{} + (i * count + n), count, width, next + j, from + j);
            }
        }
    }
}

// The best of all ways to the end: scores, and the tag * count + rank of each.
void best_ends(const CrfModel &model, const double *ways, int64_t count, double *scores, int64_t *places) {
    for (int64_t i = 0; i < model.tags; ++i) {
        for (int64_t rank = 0; rank < count; ++rank) {
            const double score = ways[rank * model.width + i] + model.end[i];
            int64_t n = count;
            for (; n > 0 && score > scores[n - 1]; --n) {
                if (n < count) {
                    scores[n] = scores[n - 1];
                    places[n] = places[n - 1];
                }
            }
            if (n < count) {
                scores[n] = score;
                places[n] = i * count + rank;
            }
        }
    }
}

template <typename Real>
void viterbi_row(const CrfModel &model, const Real *emissions, int64_t frames, int64_t count, int64_t stride, double *work, int64_t *back,
                 int64_t *tags, double *scores) {
    const int64_t width = model.width, step = count * width;
    double *now = work, *next = work + step, *e = work + 2 * step;
    for (int64_t n = 0; n < count; ++n) {
        scores[n] = -INFINITY;
    }
    if (frames == 0) {
        scores[0] = 0;
        return;
    }
    for (int64_t j = 0; j < step; ++j) {
        now[j] = -INFINITY;
    }
    read(model, emissions, 0, e);
    add(model.start, e, width, now);
    for (int64_t t = 1; t < frames; ++t) {
        read(model, emissions, t, e);
        if (count == 1) {
            best_way(model, now, next, back + t * step);
        } else {
            best_ways(model, now, count, next, back + t * step);
        }
        for (int64_t n = 0; n < count; ++n) {
            add(next + n * width, e, width, next + n * width);
        }
        double *old = now;
        now = next;
        next = old;
    }
    // The first frame came from nowhere: its place serves the ends.
    best_ends(model, now, count, scores, back);
    for (int64_t n = 0; n < count && scores[n] > -INFINITY; ++n) {
        int64_t place = back[n];
        for (int64_t t = frames - 1; t >= 0; --t) {
            const int64_t tag = place / count, rank = place % count;
            tags[n * stride + t] = tag;
            place = t ? back[t * step + rank * width + tag] : 0;
        }
    }
}

// ---- the entry points

void prepare(const double *transitions, const double *start, const double *end, CrfModel &model) {
    const int64_t num_tags = model.tags, width = model.width;
    for (int64_t j = 0; j < width; ++j) {
        const bool real = j < num_tags;
        model.start[j] = real ? start[j] : -INFINITY;
        model.end[j] = real ? end[j] : -INFINITY;
        model.most[j] = real ? -INFINITY : 0;
        for (int64_t i = 0; i < num_tags; ++i) {
            const double score = real ? transitions[i * num_tags + j] : -INFINITY;
            model.transitions[i * width + j] = score;
            model.weight[i * width + j] = model.weight_t[i * width + j] = 0;
            model.most[j] = higher(model.most[j], score);
        }
    }
    for (int64_t i = 0; i < num_tags; ++i) {
        for (int64_t j = 0; j < num_tags; ++j) {
            if (model.most[j] != -INFINITY) {
                model.weight[i * width + j] = model.weight_t[j * width + i] = exp(transitions[i * num_tags + j] - model.most[j]);
            }
        }
    }
}

double log_partition(const CrfModel &model, const CrfRow &row, double *work) {
    double *scratch = work + 2 * model.width;
    return row.wide ? forward(model, static_cast<const double *>(row.emissions), row.frames, 2, work, scratch)
                    : forward(model, static_cast<const float *>(row.emissions), row.frames, 2, work, scratch);
}

void expect(const CrfModel &model, const CrfRow &row, double weight, double *work, const CrfCounts &counts, void *tags) {
    if (row.wide) {
        expect_row(model, static_cast<const double *>(row.emissions), row.frames, weight, work, counts, static_cast<double *>(tags));
    } else {
        expect_row(model, static_cast<const float *>(row.emissions), row.frames, weight, work, counts, static_cast<float *>(tags));
    }
}

void viterbi(const CrfModel &model, const CrfRow &row, int64_t count, int64_t stride, double *work, int64_t *back, int64_t *tags,
             double *scores) {
    if (row.wide) {
        viterbi_row(model, static_cast<const double *>(row.emissions), row.frames, count, stride, work, back, tags, scores);
    } else {
        viterbi_row(model, static_cast<const float *>(row.emissions), row.frames, count, stride, work, back, tags, scores);
    }
}

}  // namespace

const Crf &CONVRNN_ENTRY(crf)() {
    static const Crf table = {prepare, log_partition, expect, viterbi};
    return table;
}

}  // namespace convrnn
