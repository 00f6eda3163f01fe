// Work in parallel parts, on the threads that torch already has. Knows nothing of the work.
#pragma once

namespace convrnn {

// Calls task(context, part) once for each part in [0, parts), at the same time where there are threads for it, and returns when all are
// done; on `threads` threads at most, 0: as many as there are parts. What a part computes must not depend on which thread runs it, nor on
// how many there are: then results are the same bit for bit.
void parallel(int parts, void (*task)(void *context, int part), void *context, int threads = 0);

// Where the threads come from: "libgomp" (that of torch), or "std::thread" where torch has loaded no OpenMP that we can call.
const char *threads_from();

}  // namespace convrnn
