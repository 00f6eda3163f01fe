// The CRF and the search under CTC for Python: memory, threads, rows. The mathematics stands in crf.cpp and ctc.cpp.

#include <algorithm>
#include <memory>
#include <vector>

#include "bindings.h"
#include "crf.h"
#include "ctc.h"
#include "parallel.h"

namespace nb = nanobind;

namespace convrnn {
namespace {

// Whole registers of double in every instruction set.
constexpr int64_t kWidth = 8;
// Of expectations, whose sum over rows is then the same for any number of threads.
constexpr int64_t kGroups = 16;
// Below so many steps between tags a second thread costs more than it saves.
constexpr int64_t kStepsAThread = 1 << 16;

template <typename T>
T *at(uintptr_t address) {
    return reinterpret_cast<T *>(address);
}

// [batch, frames, tags] in float or double, dense, and how much of each row is there (null: all of it).
struct Batch {
    const char *emissions;
    bool wide;
    const int64_t *lengths;
    int64_t rows, frames, tags;

    int64_t length(int64_t b) const { return lengths ? std::min(std::max<int64_t>(lengths[b], 0), frames) : frames; }
    size_t offset(int64_t b) const { return static_cast<size_t>(b * frames * tags) * (wide ? sizeof(double) : sizeof(float)); }
    CrfRow row(int64_t b) const { return {emissions + offset(b), wide, length(b)}; }
};

class Model {
public:
    Model(int64_t tags, uintptr_t transitions, uintptr_t start, uintptr_t end) {
        const int64_t width = (tags + kWidth - 1) / kWidth * kWidth;
        memory_.reset(new double[static_cast<size_t>(3 * (tags + 1) * width)]);
        double *next = memory_.get();
        layout_ = {tags, width, next, next + tags * width, next + 2 * tags * width, nullptr, nullptr, nullptr};
        layout_.most = next + 3 * tags * width;
        layout_.start = layout_.most + width;
        layout_.end = layout_.start + width;
        crf().prepare(at<const double>(transitions), at<const double>(start), at<const double>(end), layout_);
    }

    const CrfModel &operator*() const { return layout_; }
    const CrfModel *operator->() const { return &layout_; }

private:
    std::unique_ptr<double[]> memory_;
    CrfModel layout_;
};

// Calls work(unit, part) for each unit in [0, units); what a unit does may use the memory of its part.
template <typename Work>
void share(int64_t units, int parts, Work work) {
    struct Job {
        int64_t units;
        int parts;
        Work *work;
    } job{units, parts, &work};
    parallel(
        parts,
        [](void *context, int part) {
            const Job &j = *static_cast<Job *>(context);
            for (int64_t unit = part; unit < j.units; unit += j.parts) {
                (*j.work)(unit, part);
            }
        },
        &job);
}

int parts_for(int64_t steps, int64_t units, int threads) {
    return static_cast<int>(std::max<int64_t>(1, std::min({static_cast<int64_t>(threads), units, 1 + steps / kStepsAThread})));
}

int parts_for(const Batch &batch, int64_t units, int threads) {
    return parts_for(batch.rows * batch.frames * batch.tags * (batch.tags + 16), units, threads);
}

void log_partition(uintptr_t emissions, bool wide, uintptr_t lengths, int64_t rows, int64_t frames, int64_t tags, uintptr_t transitions,
                   uintptr_t start, uintptr_t end, int threads, uintptr_t out) {
    nb::gil_scoped_release release;
    const Batch batch{at<const char>(emissions), wide, at<const int64_t>(lengths), rows, frames, tags};
    const Model model(tags, transitions, start, end);
    const int parts = parts_for(batch, rows, threads);
    const int64_t need = crf_work(*model, 2);
    std::unique_ptr<double[]> work(new double[static_cast<size_t>(parts * need)]);
    share(rows, parts, [&](int64_t b, int part) { at<double>(out)[b] = crf().log_partition(*model, batch.row(b), &work[part * need]); });
}

// [tags, width] of pairs, of faint pairs, [width] of starts, of ends.
CrfCounts counts_at(double *memory, const CrfModel &model) {
    double *after = memory + 2 * model.tags * model.width;
    return {memory, memory + model.tags * model.width, after, after + model.width};
}

void expect(uintptr_t emissions, bool wide, uintptr_t lengths, int64_t rows, int64_t frames, int64_t tags, uintptr_t transitions,
            uintptr_t start, uintptr_t end, uintptr_t weight, int threads, uintptr_t to_tags, uintptr_t to_transitions, uintptr_t to_start,
            uintptr_t to_end) {
    nb::gil_scoped_release release;
    const Batch batch{at<const char>(emissions), wide, at<const int64_t>(lengths), rows, frames, tags};
    const Model model(tags, transitions, start, end);
    // Many tags, few groups: they have K x K counts each.
    const int64_t groups = std::max<int64_t>(1, std::min({kGroups, rows, (int64_t{1} << 22) / (tags * tags)}));
    const int parts = parts_for(batch, groups, threads);
    const int64_t need = crf_work(*model, frames), counted = 2 * (tags + 1) * model->width;
    std::vector<double> counts(static_cast<size_t>(groups * counted));
    std::unique_ptr<double[]> work(new double[static_cast<size_t>(parts * need)]);
    share(groups, parts, [&](int64_t group, int part) {
        const CrfCounts mine = counts_at(&counts[group * counted], *model);
        for (int64_t b = group; b < rows; b += groups) {
            char *out = at<char>(to_tags) + batch.offset(b);
            const size_t given = static_cast<size_t>(batch.length(b) * tags) * (wide ? sizeof(double) : sizeof(float));
            crf().expect(*model, batch.row(b), at<const double>(weight)[b], &work[part * need], mine, out);
            std::fill(out + given, out + batch.offset(1), 0);
        }
    });
    for (int64_t group = 0; group < groups; ++group) {
        const CrfCounts each = counts_at(&counts[group * counted], *model);
        for (int64_t i = 0; i < tags; ++i) {
            at<double>(to_start)[i] += each.start[i];
            at<double>(to_end)[i] += each.end[i];
            for (int64_t j = 0; j < tags; ++j) {
                const int64_t place = i * model->width + j;
                at<double>(to_transitions)[i * tags + j] += each.pairs[place] * model->weight[place] + each.faint_pairs[place];
            }
        }
    }
}

void viterbi(uintptr_t emissions, bool wide, uintptr_t lengths, int64_t rows, int64_t frames, int64_t tags, uintptr_t transitions,
             uintptr_t start, uintptr_t end, int64_t count, int threads, uintptr_t to_tags, uintptr_t to_scores) {
    nb::gil_scoped_release release;
    const Batch batch{at<const char>(emissions), wide, at<const int64_t>(lengths), rows, frames, tags};
    const Model model(tags, transitions, start, end);
    const int parts = parts_for(batch, rows, threads);
    const int64_t need = crf_work(*model, 2 * count), back_need = count * model->width * frames;
    std::unique_ptr<double[]> work(new double[static_cast<size_t>(parts * need)]);
    std::unique_ptr<int64_t[]> back(new int64_t[static_cast<size_t>(parts * back_need)]);
    share(rows, parts, [&](int64_t b, int part) {
        crf().viterbi(*model, batch.row(b), count, frames, &work[part * need], &back[part * back_need],
                      at<int64_t>(to_tags) + b * count * frames, at<double>(to_scores) + b * count);
    });
}

// The hypotheses of rows, [rows, width, ...] as `Beam` in lattice.py has them.
struct Beams {
    int64_t *labels, *lengths;
    double *log_probs, *best;
    int64_t *frames;
    double *extra;
    int64_t width, longest;

    CtcRow row(int64_t b) const {
        const int64_t first = b * width;
        return {width,
                longest,
                labels + first * longest,
                lengths + first,
                log_probs + 2 * first,
                best + 2 * first,
                frames + 2 * first * longest,
                extra + first};
    }
};

// What a search found in one row, no longer than needed.
struct Kept {
    std::vector<int64_t> whole;
    std::vector<double> real;
    CtcRow row{};

    Kept() = default;
    // `row` points into the vectors.
    Kept(Kept &&) = default;
    Kept &operator=(Kept &&) = default;
    Kept(const CtcBeam &beam, int64_t width) {
        const int64_t longest = beam.longest();
        whole.resize(static_cast<size_t>(width * (1 + 3 * longest)));
        real.resize(static_cast<size_t>(width * 5));
        int64_t *lengths = whole.data();
        double *log_probs = real.data();
        row = {width,         longest, lengths + width, lengths, log_probs, log_probs + 2 * width, lengths + width * (1 + longest),
               log_probs + 4 * width};
        beam.write(row);
    }

    void write(const CtcRow &to) const {
        std::copy_n(row.lengths, row.width, to.lengths);
        std::copy_n(row.log_probs, 2 * row.width, to.log_probs);
        std::copy_n(row.best, 2 * row.width, to.best);
        std::copy_n(row.extra, row.width, to.extra);
        widen(row.labels, row.longest, to.labels, to.longest, row.width);
        widen(row.frames, row.longest, to.frames, to.longest, 2 * row.width);
    }

private:
    static void widen(const int64_t *from, int64_t has, int64_t *to, int64_t wants, int64_t rows) {
        for (int64_t n = 0; n < rows; ++n) {
            std::fill(std::copy_n(from + n * has, has, to + n * wants), to + (n + 1) * wants, -1);
        }
    }
};

// Asked first how long its labels are, then to write them.
class Found {
public:
    explicit Found(int64_t rows) : rows_(static_cast<size_t>(rows)) {}
    Found(Found &&) = default;

    Kept &operator[](int64_t b) { return rows_[static_cast<size_t>(b)]; }

    int64_t longest() const {
        int64_t most = 0;
        for (const Kept &each : rows_) {
            most = std::max(most, each.row.longest);
        }
        return most;
    }

    void write(uintptr_t labels, uintptr_t lengths, uintptr_t log_probs, uintptr_t best, uintptr_t frames, uintptr_t extra) const {
        Beams to{at<int64_t>(labels), at<int64_t>(lengths), at<double>(log_probs), at<double>(best), at<int64_t>(frames), at<double>(extra),
                 0, longest()};
        for (size_t b = 0; b < rows_.size(); ++b) {
            to.width = rows_[b].row.width;
            rows_[b].write(to.row(static_cast<int64_t>(b)));
        }
    }

private:
    std::vector<Kept> rows_;
};

template <typename Real>
void walk(CtcBeam &beam, const CrfRow &row, int64_t num_symbols, int64_t clock) {
    for (int64_t t = 0; t < row.frames; ++t) {
        beam.step(static_cast<const Real *>(row.emissions) + t * num_symbols, clock + t);
    }
}

Found search(uintptr_t log_probs, bool wide, uintptr_t lengths, int64_t rows, int64_t frames, int64_t num_symbols, uintptr_t from_labels,
             uintptr_t from_lengths, uintptr_t from_log_probs, uintptr_t from_best, uintptr_t from_frames, uintptr_t from_extra,
             uintptr_t previous, uintptr_t clock, int64_t width, int64_t longest, int64_t beam, int64_t blank, int64_t symbols,
             double threshold, double bonus, uintptr_t bigram, int threads) {
    nb::gil_scoped_release release;
    const Batch batch{at<const char>(log_probs), wide, at<const int64_t>(lengths), rows, frames, num_symbols};
    const Beams from{at<int64_t>(from_labels), at<int64_t>(from_lengths), at<double>(from_log_probs), at<double>(from_best),
                     at<int64_t>(from_frames), at<double>(from_extra), width, longest};
    const CtcSearch how{num_symbols, beam, blank, symbols, threshold, bonus, at<const double>(bigram)};
    Found found(rows);
    const int parts = parts_for(rows * frames * (num_symbols + 64 * beam), rows, threads);
    std::vector<CtcBeam> beams(static_cast<size_t>(parts), CtcBeam(how));
    share(rows, parts, [&](int64_t b, int part) {
        CtcBeam &mine = beams[static_cast<size_t>(part)];
        mine.read(from.row(b), at<const int64_t>(previous)[b]);
        if (wide) {
            walk<double>(mine, batch.row(b), num_symbols, at<const int64_t>(clock)[b]);
        } else {
            walk<float>(mine, batch.row(b), num_symbols, at<const int64_t>(clock)[b]);
        }
        found[b] = Kept(mine, beam);
    });
    return found;
}

}  // namespace

void bind_lattice(nb::module_ &m) {
    m.def("crf_log_partition", &log_partition);
    m.def("crf_expect", &expect);
    m.def("crf_viterbi", &viterbi);
    m.def("ctc_search", &search);
    nb::class_<Found>(m, "CtcFound").def("longest", &Found::longest).def("write", &Found::write);
}

}  // namespace convrnn
