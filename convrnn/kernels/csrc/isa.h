// Which instruction set this processor has. The sources of the inner loops are compiled once for each, with flags of their own; see
// CMakeLists.txt. In those files everything but the entry points stands in an anonymous namespace and no template of the standard library
// is used: the linker keeps one copy of an inline function, and it might be the one that this processor cannot run.
#pragma once

namespace convrnn {

// In rising order. Portable: the compiler's default, SSE2 on x86-64, NEON on 64-bit ARM.
enum class Isa { portable, avx2, avx512 };

// The best one that this processor has and that was compiled; the environment variable CONVRNN_ISA, read once, can lower it.
Isa isa();

const char *isa_name();

// The table of entry points of the instruction set in use, from the tables of all: f_portable, f_avx2, f_avx512.
#if defined(CONVRNN_X86)
#define CONVRNN_DECLARE_FOR_EACH_ISA(Table, f) \
    const Table &f##_portable();               \
    const Table &f##_avx2();                   \
    const Table &f##_avx512();                 \
    inline const Table &f() { return isa() == Isa::avx512 ? f##_avx512() : isa() == Isa::avx2 ? f##_avx2() : f##_portable(); }
#else
#define CONVRNN_DECLARE_FOR_EACH_ISA(Table, f) \
    const Table &f##_portable();               \
    inline const Table &f() { return f##_portable(); }
#endif

}  // namespace convrnn

// In a file that is compiled for each instruction set: the name of its entry point f.
#define CONVRNN_JOIN_(f, isa) f##_##isa
#define CONVRNN_JOIN(f, isa) CONVRNN_JOIN_(f, isa)
#define CONVRNN_ENTRY(f) CONVRNN_JOIN(f, CONVRNN_ISA)
