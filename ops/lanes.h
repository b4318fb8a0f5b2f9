// Loops over kLanes numbers at a time, which the compiler vectorises once for each
// instruction set.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "scan_engine/cpu/engine.h"
#include "stable.h"

namespace mmmambamixer {

constexpr int64_t kLanes = 16;

template <class W>
struct VectorOf {
  typedef W V __attribute__((vector_size(kLanes * sizeof(W))));
};
template <class W>
using Lanes = typename VectorOf<W>::V;

// Call `run(c, lanes)` for all of `count`: `lanes` is kLanes, a constant, but at the end.
template <class Run>
MMMAMBAMIXER_INLINE void by_lanes(int64_t count, const Run& run) {
  int64_t c = 0;
  for (; c + kLanes <= count; c += kLanes) run(c, kLanes);
  if (c < count) run(c, count - c);
}

// As BFloat16 converts, but by vectors: the compiler makes scalars of such short loops.
MMMAMBAMIXER_INLINE Lanes<float> widen(Lanes<uint16_t> half) {
  return (Lanes<float>)(__builtin_convertvector(half, Lanes<uint32_t>) << 16);
}
MMMAMBAMIXER_INLINE Lanes<uint16_t> narrow(Lanes<float> v) {
  using Bits = Lanes<uint32_t>;
  const Bits bits = (Bits)v, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const Bits result = v == v ? rounded : Bits{} + 0x7fc0;
  return __builtin_convertvector(result, Lanes<uint16_t>);
}

// So many numbers of any dtype and alignment, and behind them `rest`.
template <class W, class T>
MMMAMBAMIXER_INLINE Lanes<W> load(const T* from, int64_t lanes = kLanes, W rest = 0) {
  if (lanes == kLanes) {
    Lanes<W> v;
    if constexpr (std::is_same_v<T, W>) {
      std::memcpy(&v, from, sizeof v);
      return v;
    }
    if constexpr (std::is_same_v<T, BFloat16>) {
      Lanes<uint16_t> half;
      std::memcpy(&half, from, sizeof half);
      return widen(half);
    }
  }
  W x[kLanes];
  for (int64_t j = 0; j < kLanes; ++j) x[j] = rest;
  for (int64_t j = 0; j < lanes; ++j) x[j] = W(from[j]);
  return load<W>(x);
}
template <class W, class T>
MMMAMBAMIXER_INLINE void store(T* to, Lanes<W> v, int64_t lanes = kLanes) {
  if (lanes == kLanes) {
    if constexpr (std::is_same_v<T, W>) {
      std::memcpy(to, &v, sizeof v);
      return;
    }
    if constexpr (std::is_same_v<T, BFloat16>) {
      const Lanes<uint16_t> half = narrow(v);
      std::memcpy(to, &half, sizeof half);
      return;
    }
  }
  W x[kLanes];
  std::memcpy(x, &v, sizeof v);
  for (int64_t j = 0; j < lanes; ++j) to[j] = T(x[j]);
}
template <class W>
MMMAMBAMIXER_INLINE W sum(const Lanes<W>& v) {
  W total = 0;
  for (int64_t j = 0; j < kLanes; ++j) total += v[j];
  return total;
}

// 1 / (1 + e^-x). With n = round(-x / ln 2) and r = -x - n ln 2, where a second product
// gives the last digits of ln 2, e^-x = 2^n e^r; e^r = 1 + r q(r) on [-ln 2 / 2, ln 2 /
// 2], minimax fit of degree 6, error 2e-9 before rounding. A NaN stays one.
MMMAMBAMIXER_INLINE Lanes<float> sigmoid(Lanes<float> x) {
  using V = Lanes<float>;
  using I = Lanes<int32_t>;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: what is added to it, is rounded
  constexpr float kHigh = 0.693359375f, kLow = -2.12194440e-4f;  // ln 2: 9 bits, the rest
  const V least = V{} - 89.0f, most = V{} + 87.0f;  // 2^n: infinite, next to nothing
  x = x < least ? least : x;
  x = x > most ? most : x;
  const V shifted = kRound - x * 1.44269504f, n = shifted - kRound;
  const V r = (-x - n * kHigh) - n * kLow, r2 = r * r;
  const V high = r * 1.3843644e-3f + 8.3741634e-3f;
  const V middle = r * 4.1668003e-2f + 1.6666431e-1f;
  const V low = r * 4.9999994e-1f + 1.0f;
  const V q = (high * r2 + middle) * r2 + low;
  const V power = (V)(((I)shifted + 127) << 23);
  return 1.0f / (1.0f + (r * q + 1.0f) * power);
}
MMMAMBAMIXER_INLINE Lanes<double> sigmoid(Lanes<double> x) {
  for (int64_t j = 0; j < kLanes; ++j) x[j] = 1.0 / (1.0 + std::exp(-x[j]));
  return x;
}

// `name(call, tasks)` runs `function(call, begin, end)` on all tasks of a call, compiled
// for the instruction set that the scans chose: MMMAMBAMIXER_CPU names the kernels of
// all.
#define MMMAMBAMIXER_KERNEL(target, name, function)                \
  template <class Call>                                            \
  target void name(const Call& call, int64_t begin, int64_t end) { \
    function(call, begin, end);                                    \
  }
#ifdef MMMAMBAMIXER_X86
#define MMMAMBAMIXER_AVX2 __attribute__((target("avx2,fma,f16c")))
#define MMMAMBAMIXER_AVX512                                      \
  __attribute__((                                                \
      target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c," \
             "prefer-vector-width=512")))
#define MMMAMBAMIXER_KERNELS(name, function)                                  \
  MMMAMBAMIXER_KERNEL(, name##_portable, function)                            \
  MMMAMBAMIXER_KERNEL(MMMAMBAMIXER_AVX2, name##_avx2, function)               \
  MMMAMBAMIXER_KERNEL(MMMAMBAMIXER_AVX512, name##_avx512, function)           \
  template <class Call>                                                       \
  void name(const Call& call, int64_t tasks) {                                \
    const auto run = &kernels() == &kernels_avx512 ? name##_avx512<Call>      \
                     : &kernels() == &kernels_avx2 ? name##_avx2<Call>        \
                                                   : name##_portable<Call>;   \
    parallel_for(0, tasks, 1,                                                 \
                 [&](int64_t begin, int64_t end) { run(call, begin, end); }); \
  }
#else
#define MMMAMBAMIXER_KERNELS(name, function)                    \
  MMMAMBAMIXER_KERNEL(, name##_portable, function)              \
  template <class Call>                                         \
  void name(const Call& call, int64_t tasks) {                  \
    parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) { \
      name##_portable(call, begin, end);                        \
    });                                                         \
  }
#endif

}  // namespace mmmambamixer
