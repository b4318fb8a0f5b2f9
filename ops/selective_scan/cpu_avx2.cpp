// The scan kernels for AVX2 processors.
#include "engine.h"

#ifdef MMMAMBAMIXER_X86
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#define LANE_BYTES 32

namespace mmmambamixer {
namespace avx2 {
#include "engine_impl.h"
}  // namespace avx2

extern const Kernels kernels_avx2;
const Kernels kernels_avx2 = {
    "AVX2", avx2::forward<float>, avx2::backward<float>, avx2::forward<double>,
    avx2::backward<double>};
}  // namespace mmmambamixer
#pragma GCC pop_options
#endif
