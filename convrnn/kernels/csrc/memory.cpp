// Compiled once: it is not an inner loop.

#include "memory.h"

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace convrnn {

void in_large_pages(void *begin, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr uintptr_t page = 2 * 1024 * 1024;
    const uintptr_t first = (reinterpret_cast<uintptr_t>(begin) + page - 1) / page * page;
    const uintptr_t end = (reinterpret_cast<uintptr_t>(begin) + bytes) / page * page;
    if (begin && end > first) {
        // It is a wish: where it is refused, pages are small.
        madvise(reinterpret_cast<void *>(first), end - first, MADV_HUGEPAGE);
    }
#else
    (void)begin, (void)bytes;
#endif
}

}  // namespace convrnn
