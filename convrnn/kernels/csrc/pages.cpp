// Large pages by madvise, on Linux; see pages.h.

#include "pages.h"

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace convrnn {

void in_large_pages([[maybe_unused]] void *at, [[maybe_unused]] size_t bytes) {
#if defined(MADV_HUGEPAGE)
    constexpr uintptr_t kLarge = 2 << 20;
    if (at && bytes > 4 * kLarge) {
        // Whole large pages within: nothing beside the array is touched.
        const uintptr_t from = (reinterpret_cast<uintptr_t>(at) + kLarge - 1) / kLarge * kLarge;
        const uintptr_t to = (reinterpret_cast<uintptr_t>(at) + bytes) / kLarge * kLarge;
        madvise(reinterpret_cast<void *>(from), to - from, MADV_HUGEPAGE);
    }
#endif
}

}  // namespace convrnn
