// Dealing rows out. Compiled once: it is not an inner loop.

#include "plan.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace convrnn {

void fill(Plan &plan, int64_t rows, int64_t frames, const int64_t *lengths) {
    for (int64_t b = 0; b < rows; ++b) {
        plan.length[b] = lengths ? std::clamp<int64_t>(lengths[b], 0, frames) : frames;
    }
    std::vector<int32_t> order(static_cast<size_t>(rows));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return plan.length[a] > plan.length[b]; });
    int32_t next = 0;
    for (int part = 0; part < plan.parts; ++part) {
        plan.begins[part] = next;
        for (int64_t turn = 0; turn * plan.parts < rows; ++turn) {
            const int64_t at = turn * plan.parts + (turn % 2 ? plan.parts - 1 - part : part);
            if (at < rows) {
                plan.row[next++] = order[static_cast<size_t>(at)];
            }
        }
    }
    plan.begins[plan.parts] = next;
}

}  // namespace convrnn
