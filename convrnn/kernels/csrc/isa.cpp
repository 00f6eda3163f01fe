// The choice of the instruction set, made once.

#include "isa.h"

#include <cstdlib>
#include <cstring>

namespace convrnn {
namespace {

Isa best() {
#if defined(CONVRNN_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl")) {
        return Isa::avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return Isa::avx2;
    }
#endif
    return Isa::portable;
}

Isa chosen() {
    const Isa most = best();
    const char *asked = std::getenv("CONVRNN_ISA");
    if (asked && !std::strcmp(asked, "portable")) {
        return Isa::portable;
    }
    if (asked && !std::strcmp(asked, "avx2") && most > Isa::avx2) {
        return Isa::avx2;
    }
    return most;
}

}  // namespace

Isa isa() {
    static const Isa value = chosen();
    return value;
}

const char *isa_name() {
    switch (isa()) {
        case Isa::avx512: return "avx512";
        case Isa::avx2: return "avx2";
        default: return "portable";
    }
}

}  // namespace convrnn
