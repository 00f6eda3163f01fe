// The search under CTC; see ctc.h.
//
// Prefixes are a tree of nodes, so that a hypothesis that becomes longer costs one node and a hypothesis that another grows into is found
// by its parent. The alignments of the best paths are lists that share their beginnings (marks). Both only grow during a call.
//
// Candidates stand in a total order, by score, then by their labels; the best `beam` of them do not depend on the order in which they are
// met. So a heap keeps them, and what cannot come in, by the largest that any bigram could add, is not looked at.

#include "ctc.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace convrnn {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();
// Bounds are summed in another order than scores.
constexpr double kSlack = 1e-9;

double log_add(double a, double b) {
    const double high = a < b ? b : a, low = a < b ? a : b;
    return low == kNever ? high : high + std::log1p(std::exp(low - high));
}

}  // namespace

CtcBeam::CtcBeam(const CtcSearch &how)
    : how_(how),
      most_added_(how.bonus),
      permitted_(static_cast<size_t>(how.num_symbols)),
      taken_(static_cast<size_t>(how.num_symbols)) {
    if (how.bigram) {
        most_added_ += *std::max_element(how.bigram, how.bigram + how.num_symbols * how.num_symbols);
    }
}

void CtcBeam::read(const CtcRow &row, int64_t previous) {
    nodes_.assign(1, Node{kNone, static_cast<int32_t>(previous), 0, kNone, kNone, kNone});
    marks_.clear();
    live_.clear();
    for (int64_t w = 0; w < row.width; ++w) {
        const double *sums = row.log_probs + 2 * w, *best = row.best + 2 * w;
        if (!(sums[0] > kNever || sums[1] > kNever)) {
            continue;
        }
        Hypothesis h{0, {sums[0], best[0], kNone}, {sums[1], best[1], kNone}, row.extra[w]};
        for (int64_t n = 0; n < row.lengths[w]; ++n) {
            h.node = child(h.node, static_cast<int32_t>(row.labels[w * row.longest + n]));
            h.in_blank.mark = mark(h.in_blank.mark, row.frames[2 * w * row.longest + n]);
            h.in_label.mark = mark(h.in_label.mark, row.frames[(2 * w + 1) * row.longest + n]);
        }
        nodes_[h.node].place = static_cast<int32_t>(live_.size());
        live_.push_back(h);
    }
}

void CtcBeam::step(int64_t t) {
    chosen_.clear();
    permit();
    stay(t);
    extend();
    choose(t);
}

// The labels that may extend a hypothesis at this frame.
void CtcBeam::permit() {
    labels_.clear();
    for (int32_t k = 0; k < how_.num_symbols; ++k) {
        permitted_[k] = 0;
        if (k != how_.blank && frame_[k] >= how_.threshold) {
            labels_.push_back(k);
        }
    }
    if (static_cast<int64_t>(labels_.size()) > how_.symbols) {
        const auto order = [this](int32_t a, int32_t b) { return frame_[a] > frame_[b] || (frame_[a] == frame_[b] && a < b); };
        std::nth_element(labels_.begin(), labels_.begin() + how_.symbols, labels_.end(), order);
        labels_.resize(static_cast<size_t>(how_.symbols));
    }
    for (const int32_t k : labels_) {
        permitted_[k] = 1;
    }
}

// Each hypothesis by a blank, by its last label again, or from the hypothesis that is shorter by that label, if there is one.
void CtcBeam::stay(int64_t t) {
    whole_.clear();
    stayed_.clear();
    for (const Hypothesis &h : live_) {
        const Ending whole = either(h.in_blank, h.in_label);
        const int32_t last = nodes_[h.node].label;
        const double blank = frame_[how_.blank], again = last >= 0 ? frame_[last] : kNever;
        whole_.push_back(whole);
        stayed_.push_back({h.node,
                           {whole.log_prob + blank, whole.best + blank, whole.mark},
                           {h.in_label.log_prob + again, h.in_label.best + again, h.in_label.mark},
                           h.extra});
    }
    first_longer_.assign(live_.size(), kNone);
    next_longer_.assign(live_.size(), kNone);
    for (size_t n = 0; n < stayed_.size(); ++n) {
        Hypothesis &h = stayed_[n];
        const Node &node = nodes_[h.node];
        const int32_t from = node.parent == kNone ? kNone : nodes_[node.parent].place;
        if (from == kNone) {
            continue;
        }
        next_longer_[n] = first_longer_[from];
        first_longer_[from] = static_cast<int32_t>(n);
        if (permitted_[node.label]) {
            const Ending &before = entrance(from, node.label);
            const double by = frame_[node.label];
            // A mark costs memory: only where it is the better path.
            const bool best = before.best + by > h.in_label.best;
            h.in_label.log_prob = log_add(h.in_label.log_prob, before.log_prob + by);
            if (best) {
                h.in_label.best = before.best + by;
                h.in_label.mark = mark(before.mark, t);
            }
        }
    }
    for (size_t n = 0; n < stayed_.size(); ++n) {
        consider({score(stayed_[n]), static_cast<int32_t>(n), kNone});
    }
}

// Each hypothesis by each label, where what comes of it is not a hypothesis yet.
void CtcBeam::extend() {
    std::fill(taken_.begin(), taken_.end(), 0);
    for (int32_t from = 0; from < static_cast<int32_t>(live_.size()); ++from) {
        for (int32_t longer = first_longer_[from]; longer != kNone; longer = next_longer_[longer]) {
            taken_[nodes_[live_[longer].node].label] = from + 1;
        }
        const double highest = whole_[from].log_prob + live_[from].extra + most_added_ + kSlack;
        for (const int32_t label : labels_) {
            if (full() && highest + frame_[label] < chosen_.front().score) {
                if (from) {
                    break;
                }
                continue;
            }
            if (taken_[label] != from + 1) {
                consider({entrance(from, label).log_prob + frame_[label] + (live_[from].extra + added(from, label)), from, label});
            }
        }
        if (from == 0) {
            narrow();
        }
    }
}

// When the best hypothesis has been extended, few labels can still bring another one in: only these, the most probable first.
void CtcBeam::narrow() {
    double most = kNever;
    for (size_t n = 0; n < live_.size(); ++n) {
        most = std::max(most, whole_[n].log_prob + live_[n].extra);
    }
    const double floor = full() ? chosen_.front().score - most - most_added_ - kSlack : kNever;
    labels_.erase(std::remove_if(labels_.begin(), labels_.end(), [&](int32_t k) { return frame_[k] < floor; }), labels_.end());
    std::sort(labels_.begin(), labels_.end(), [this](int32_t a, int32_t b) { return frame_[a] > frame_[b]; });
}

// The candidates become the hypotheses, the best first.
void CtcBeam::choose(int64_t t) {
    const auto order = [this](const Candidate &a, const Candidate &b) { return better(a, b); };
    std::sort_heap(chosen_.begin(), chosen_.end(), order);
    for (const Hypothesis &h : live_) {
        nodes_[h.node].place = kNone;
    }
    next_.clear();
    for (const Candidate &c : chosen_) {
        if (c.label == kNone) {
            next_.push_back(stayed_[c.from]);
        } else {
            const Ending &before = entrance(c.from, c.label);
            const double by = frame_[c.label];
            const Ending entered{before.log_prob + by, before.best + by, mark(before.mark, t)};
            const double extra = live_[c.from].extra + added(c.from, c.label);
            next_.push_back({child(live_[c.from].node, c.label), {kNever, kNever, kNone}, entered, extra});
        }
    }
    live_.swap(next_);
    for (size_t n = 0; n < live_.size(); ++n) {
        nodes_[live_[n].node].place = static_cast<int32_t>(n);
    }
}

void CtcBeam::consider(const Candidate &candidate) {
    if (!(candidate.score > kNever)) {
        return;
    }
    const auto order = [this](const Candidate &a, const Candidate &b) { return better(a, b); };
    if (!full()) {
        chosen_.push_back(candidate);
    } else if (better(candidate, chosen_.front())) {
        std::pop_heap(chosen_.begin(), chosen_.end(), order);
        chosen_.back() = candidate;
    } else {
        return;
    }
    std::push_heap(chosen_.begin(), chosen_.end(), order);
}

bool CtcBeam::better(const Candidate &a, const Candidate &b) const {
    if (a.score != b.score) {
        return a.score > b.score;
    }
    spell(a, path_);
    spell(b, other_path_);
    return std::lexicographical_compare(path_.begin(), path_.end(), other_path_.begin(), other_path_.end());
}

void CtcBeam::spell(const Candidate &candidate, std::vector<int32_t> &path) const {
    path.clear();
    if (candidate.label != kNone) {
        path.push_back(candidate.label);
    }
    for (int32_t node = live_[candidate.from].node; node != 0; node = nodes_[node].parent) {
        path.push_back(nodes_[node].label);
    }
    std::reverse(path.begin(), path.end());
}

CtcBeam::Ending CtcBeam::either(const Ending &a, const Ending &b) const {
    const Ending &best = a.best >= b.best ? a : b;
    return {log_add(a.log_prob, b.log_prob), best.best, best.mark};
}

// A label that repeats the last one is a new one only after a blank.
const CtcBeam::Ending &CtcBeam::entrance(int32_t from, int32_t label) const {
    return label == nodes_[live_[from].node].label ? live_[from].in_blank : whole_[from];
}

double CtcBeam::added(int32_t from, int32_t label) const {
    if (!how_.bigram) {
        return how_.bonus;
    }
    const int64_t last = nodes_[live_[from].node].label;
    return how_.bonus + how_.bigram[(last >= 0 ? last : how_.blank) * how_.num_symbols + label];
}

int32_t CtcBeam::child(int32_t node, int32_t label) {
    for (int32_t each = nodes_[node].first_child; each != kNone; each = nodes_[each].next_sibling) {
        if (nodes_[each].label == label) {
            return each;
        }
    }
    const int32_t made = static_cast<int32_t>(nodes_.size());
    nodes_.push_back({node, label, nodes_[node].depth + 1, kNone, nodes_[node].first_child, kNone});
    nodes_[node].first_child = made;
    return made;
}

int32_t CtcBeam::mark(int32_t before, int64_t frame) {
    marks_.push_back({before, frame});
    return static_cast<int32_t>(marks_.size()) - 1;
}

int64_t CtcBeam::longest() const {
    int64_t most = 0;
    for (const Hypothesis &h : live_) {
        most = std::max<int64_t>(most, nodes_[h.node].depth);
    }
    return most;
}

void CtcBeam::write(const CtcRow &row) const {
    std::fill_n(row.labels, row.width * row.longest, -1);
    std::fill_n(row.frames, 2 * row.width * row.longest, -1);
    std::fill_n(row.lengths, row.width, 0);
    std::fill_n(row.log_probs, 2 * row.width, kNever);
    std::fill_n(row.best, 2 * row.width, kNever);
    std::fill_n(row.extra, row.width, 0.0);
    for (size_t w = 0; w < live_.size(); ++w) {
        const Hypothesis &h = live_[w];
        row.lengths[w] = nodes_[h.node].depth;
        row.extra[w] = h.extra;
        for (int32_t node = h.node; node != 0; node = nodes_[node].parent) {
            row.labels[static_cast<int64_t>(w) * row.longest + nodes_[node].depth - 1] = nodes_[node].label;
        }
        const Ending *endings[] = {&h.in_blank, &h.in_label};
        for (size_t n = 0; n < 2; ++n) {
            row.log_probs[2 * w + n] = endings[n]->log_prob;
            row.best[2 * w + n] = endings[n]->best;
            int64_t place = row.lengths[w];
            for (int32_t at = endings[n]->mark; at != kNone; at = marks_[at].before) {
                row.frames[static_cast<int64_t>(2 * w + n) * row.longest + --place] = marks_[at].frame;
            }
        }
    }
}

}  // namespace convrnn
