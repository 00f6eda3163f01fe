#include "bindings.h"

namespace convrnn {
void bind_scan(nanobind::module_ &) {}
}  // namespace convrnn
