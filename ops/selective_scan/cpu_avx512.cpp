// The scan kernels for AVX-512 processors.
#include "engine.h"

#ifdef MMMAMBAMIXER_X86
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c")
#define LANE_BYTES 64

namespace mmmambamixer {
namespace avx512 {
#include "engine_impl.h"
}  // namespace avx512

extern const Kernels kernels_avx512;
const Kernels kernels_avx512 = {
    "AVX-512", avx512::forward<float>, avx512::backward<float>, avx512::forward<double>,
    avx512::backward<double>};
}  // namespace mmmambamixer
#pragma GCC pop_options
#endif
