// Threads from the OpenMP runtime that torch has loaded. Linking against one of our own would give the process two pools of threads, each
// spinning while the other works (torch ships its libgomp in its wheel). So it is looked up among the loaded libraries, and the function
// that GCC's compiled `#pragma omp parallel` calls is called by hand; it is part of libgomp's stable ABI, and LLVM's libomp has it too.

#include "parallel.h"

#include <cstring>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <dlfcn.h>
#include <link.h>
#endif

namespace convrnn {
namespace {

struct OpenMP {
    void (*run)(void (*)(void *), void *, unsigned, unsigned) = nullptr;  // GOMP_parallel
    int (*thread)() = nullptr;                                           // omp_get_thread_num
    int (*threads)() = nullptr;                                          // omp_get_num_threads
};

#if defined(__linux__)
int look(dl_phdr_info *info, size_t, void *found) {
    const char *path = info->dlpi_name;
    if (!path || !(std::strstr(path, "libgomp") || std::strstr(path, "libomp") || std::strstr(path, "libiomp"))) {
        return 0;
    }
    void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (!library) {
        return 0;
    }
    auto &openmp = *static_cast<OpenMP *>(found);
    openmp.run = reinterpret_cast<decltype(openmp.run)>(dlsym(library, "GOMP_parallel"));
    openmp.thread = reinterpret_cast<decltype(openmp.thread)>(dlsym(library, "omp_get_thread_num"));
    openmp.threads = reinterpret_cast<decltype(openmp.threads)>(dlsym(library, "omp_get_num_threads"));
    return openmp.run && openmp.thread && openmp.threads;
}
#endif

const OpenMP &openmp() {
    static const OpenMP found = [] {
        OpenMP each;
#if defined(__linux__)
        if (!dl_iterate_phdr(look, &each)) {
            each = OpenMP();
        }
#endif
        return each;
    }();
    return found;
}

struct Job {
    int parts;
    void (*task)(void *, int);
    void *context;
};

// The runtime may give fewer threads than were asked for.
void share(void *job) {
    const Job &j = *static_cast<Job *>(job);
    for (int part = openmp().thread(); part < j.parts; part += openmp().threads()) {
        j.task(j.context, part);
    }
}

}  // namespace

void parallel(int parts, void (*task)(void *context, int part), void *context, int threads) {
    threads = threads > 0 && threads < parts ? threads : parts;
    if (threads <= 1) {
        for (int part = 0; part < parts; ++part) {
            task(context, part);
        }
    } else if (openmp().run) {
        Job job{parts, task, context};
        openmp().run(share, &job, static_cast<unsigned>(threads), 0);
    } else {
        const auto some = [=](int thread) {
            for (int part = thread; part < parts; part += threads) {
                task(context, part);
            }
        };
        std::vector<std::thread> others;
        for (int thread = 1; thread < threads; ++thread) {
            others.emplace_back(some, thread);
        }
        some(0);
        for (std::thread &each : others) {
            each.join();
        }
    }
}

const char *threads_from() { return openmp().run ? "libgomp" : "std::thread"; }

}  // namespace convrnn
