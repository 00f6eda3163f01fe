// Memory that the system gives page by page.
#pragma once

#include <cstddef>

namespace convrnn {

// Asks for large pages where `bytes` from `at` on are so many that they were mapped for this call alone (glibc keeps no block above 32 MiB):
// every 4 KiB of such memory costs a fault when it is first written, which together takes as long as a tenth of a training step. Where the
// system has no large pages to give nothing happens.
void in_large_pages(void *at, size_t bytes);

}  // namespace convrnn
