// The scan kernels for portable processors.
#include "engine.h"

#define LANE_BYTES 16

namespace mmmambamixer {
namespace portable {
#include "engine_impl.h"
}  // namespace portable

extern const Kernels kernels_portable;
const Kernels kernels_portable = {
    "portable", portable::forward<float>, portable::backward<float>, portable::forward<double>,
    portable::backward<double>};
}  // namespace mmmambamixer
