// The Python module convrnn.kernels._native. Knows nothing of the mathematics.

#include "bindings.h"
#include "isa.h"
#include "parallel.h"

NB_MODULE(_native, m) {
    m.doc() = "Compiled kernels of convrnn; each has a reference in Python that gives the same result.";
    m.def("isa", &convrnn::isa_name);
    m.def("threads_from", &convrnn::threads_from);
    convrnn::bind_keep_mask(m);
    convrnn::bind_recurrent(m);
    convrnn::bind_scan(m);
    convrnn::bind_steps(m);
    convrnn::bind_lattice(m);
}
