// The extension module `_C`. Loading it registers the CPU kernels of all ops (the
// TORCH_LIBRARY_IMPL blocks of ops/*/cpu.cpp); Python owns the schemas.
#include <torch/extension.h>

#include "selective_scan/engine.h"

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("cpu_capability", &mmmambamixer::cpu_capability,
             "Name of the instruction set that the scan kernels use here.");
}
