// What each file bind_*.cpp adds to the Python module convrnn.kernels._native.
//
// Tensors arrive as addresses, sizes and strides, in numbers: nothing links against torch, one build serves every torch version, and a call
// costs less than a microsecond, which a step of a stream would notice. So these functions are not for users: kernels/*.py checks devices,
// types and shapes, keeps the tensors alive, and calls.
#pragma once

#include <nanobind/nanobind.h>

namespace convrnn {

void bind_keep_mask(nanobind::module_ &m);
void bind_recurrent(nanobind::module_ &m);
void bind_scan(nanobind::module_ &m);
void bind_steps(nanobind::module_ &m);
void bind_windows(nanobind::module_ &m);
void bind_lattice(nanobind::module_ &m);
void bind_pictures(nanobind::module_ &m);

}  // namespace convrnn
