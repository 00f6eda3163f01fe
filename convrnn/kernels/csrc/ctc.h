// Prefix beam search under CTC, one row at a time (Hannun, Maas, Jurafsky & Ng 2014, arXiv 1408.2873). The definition stands in
// kernels/lattice.py. Knows nothing of Python, tensors or threads.
#pragma once

#include <cstdint>
#include <vector>

namespace convrnn {

// As `Search` in lattice.py; bigram: [num_symbols, num_symbols] or null.
struct CtcSearch {
    int64_t num_symbols, beam, blank, symbols;
    double threshold, bonus;
    const double *bigram;
};

// The hypotheses of a row, as `Beam` in lattice.py has them: arrays [width], [width, 2] and [width, 2, longest], -1 beyond a hypothesis.
struct CtcRow {
    int64_t width, longest;
    int64_t *labels, *lengths;
    double *log_probs, *best;
    int64_t *frames;
    double *extra;
};

// Goes through frames, one row after another with the same memory.
class CtcBeam {
public:
    explicit CtcBeam(const CtcSearch &how);

    // Begins where `row` stands, behind the label `previous` or -1.
    void read(const CtcRow &row, int64_t previous);
    // One frame of log probabilities; t is its number.
    template <typename Real>
    void step(const Real *frame, int64_t t) {
        frame_.assign(frame, frame + how_.num_symbols);
        step(t);
    }
    // Labels of the longest hypothesis.
    int64_t longest() const;
    // Fills `row`, as long and as wide as needed at least.
    void write(const CtcRow &row) const;

private:
    // The paths of a hypothesis that end in one way: the log of their sum, the best of them, and where its labels begin.
    struct Ending {
        double log_prob, best;
        int32_t mark;
    };
    // A prefix of labels, as the last of them.
    struct Node {
        int32_t parent, label, depth, first_child, next_sibling, place;  // place: among the hypotheses, -1: not there
    };
    struct Mark {
        int32_t before;
        int64_t frame;
    };
    struct Hypothesis {
        int32_t node;
        Ending in_blank, in_label;
        double extra;
    };
    // What a hypothesis may become: longer by a label, or with label = -1 as long as it was.
    struct Candidate {
        double score;
        int32_t from, label;
    };

    static constexpr int32_t kNone = -1;

    void step(int64_t t);
    void permit();
    void stay(int64_t t);
    void extend();
    void narrow();
    void choose(int64_t t);
    void consider(const Candidate &candidate);
    bool full() const { return static_cast<int64_t>(chosen_.size()) == how_.beam; }
    bool better(const Candidate &a, const Candidate &b) const;
    void spell(const Candidate &candidate, std::vector<int32_t> &path) const;
    Ending either(const Ending &a, const Ending &b) const;
    const Ending &entrance(int32_t from, int32_t label) const;
    double added(int32_t from, int32_t label) const;
    double score(const Hypothesis &h) const { return either(h.in_blank, h.in_label).log_prob + h.extra; }
    int32_t child(int32_t node, int32_t label);
    int32_t mark(int32_t before, int64_t frame);

    CtcSearch how_;
    double most_added_;
    std::vector<double> frame_;
    std::vector<Node> nodes_;
    std::vector<Mark> marks_;
    std::vector<Hypothesis> live_, stayed_, next_;
    std::vector<Ending> whole_;
    std::vector<Candidate> chosen_;
    std::vector<int32_t> labels_;                      // that may extend
    std::vector<char> permitted_;                      // [num_symbols]
    std::vector<int32_t> first_longer_, next_longer_;  // of each hypothesis: those that are longer by a label, as a list
    std::vector<int32_t> taken_;                       // [num_symbols]: one plus the last hypothesis that has one longer by this label
    mutable std::vector<int32_t> path_, other_path_;
};

}  // namespace convrnn
