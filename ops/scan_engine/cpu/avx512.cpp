// The scan kernels for AVX-512 processors.
#include "engine.h"

#ifdef MMMAMBAMIXER_X86
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c")
#define ISA avx512
#define ISA_NAME "AVX-512"
#define LANE_BYTES 64
#include "engine_impl.h"
#pragma GCC pop_options
#endif
