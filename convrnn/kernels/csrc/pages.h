// Memory that the system gives page by page.
#pragma once

#include <cstddef>

namespace convrnn {

// Asks for large pages, before the memory is written: what backward needs of a long batch is tens of megabytes, new in each step (glibc keeps
// no block above 32 MiB), and a fault for every 4 KiB of it took as long as a third of forward. Where the system has none to give nothing
// happens.
void in_large_pages(void *at, size_t bytes);

}  // namespace convrnn
