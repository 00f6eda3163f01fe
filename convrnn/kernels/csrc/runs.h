// Runs of numbers, set to zero or copied. None at no address is allowed here, as it is not for memset and memcpy: a tensor of no numbers
// has none. In an anonymous namespace, as in vec.h: for files that are compiled once an instruction set.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

template <typename Real>
inline void zero(Real *at, int64_t count) {
    if (count) {
        std::memset(at, 0, static_cast<size_t>(count) * sizeof(Real));
    }
}

template <typename Real>
inline void copy(Real *to, const Real *from, int64_t count) {
    if (count) {
        std::memcpy(to, from, static_cast<size_t>(count) * sizeof(Real));
    }
}

}  // namespace
