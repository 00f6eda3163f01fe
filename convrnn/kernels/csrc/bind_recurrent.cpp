#include "bindings.h"

namespace convrnn {
void bind_recurrent(nanobind::module_ &) {}
}  // namespace convrnn
