// The scan kernels for AVX2 processors.
#include "engine.h"

#ifdef MMMAMBAMIXER_X86
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#define ISA avx2
#define ISA_NAME "AVX2"
#define LANE_BYTES 32
#include "engine_impl.h"
#pragma GCC pop_options
#endif
