// How large arrays come from the system. Knows nothing of what they hold.
#pragma once

#include <cstddef>

namespace convrnn {

// Asks for large pages for memory that has not been written yet, where the system gives them on request (Linux: transparent huge pages).
// What backward needs of a long batch is tens of megabytes, new at each step; in pages of 4 KiB the faults cost a third of forward.
void in_large_pages(void *begin, size_t bytes);

}  // namespace convrnn
