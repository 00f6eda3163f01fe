// The Python module convrnn.kernels._native. Knows nothing of the mathematics.

#include "bindings.h"
#include "isa.h"
#include "parallel.h"

NB_MODULE(_native, m) {
    m.doc() = "Compiled kernels of convrnn; each has a reference in Python that gives the same result.";
    // Raised with every change of what the functions take, here and in kernels/native.py: after an update of the sources an editable
    // installation still has the module that was built before.
    m.attr("INTERFACE") = 6;
    m.def("isa", &convrnn::isa_name);
    m.def("threads_from", &convrnn::threads_from);
    convrnn::bind_keep_mask(m);
    convrnn::bind_recurrent(m);
    convrnn::bind_scan(m);
    convrnn::bind_steps(m);
    convrnn::bind_windows(m);
    convrnn::bind_lattice(m);
    convrnn::bind_pictures(m);
}
