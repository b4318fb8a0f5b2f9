// Functions of sixteen numbers at once, whatever the instruction set.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kind.h"

namespace mmmambamixer {

constexpr int64_t kLanes = 16;

typedef float Lanes __attribute__((vector_size(kLanes * 4)));
typedef uint32_t Bits __attribute__((vector_size(kLanes * 4)));
typedef uint16_t HalfBits __attribute__((vector_size(kLanes * 2)));

MMMAMBAMIXER_INLINE void widen(const BFloat16* x, float* y) {
  HalfBits half;
  std::memcpy(&half, x, sizeof half);
  const Bits bits = __builtin_convertvector(half, Bits) << 16;
  std::memcpy(y, &bits, sizeof bits);
}
// As BFloat16(x) does it.
MMMAMBAMIXER_INLINE void narrow(const float* x, BFloat16* y) {
  Lanes value;
  std::memcpy(&value, x, sizeof value);
  const Bits bits = (Bits)value, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const Bits result = value == value ? rounded : Bits{} + 0x7fc0;
  const HalfBits half = __builtin_convertvector(result, HalfBits);
  std::memcpy(y, &half, sizeof half);
}

// y = 1 / (1 + e^-x). With n = round(-x / ln 2) and r = -x - n ln 2, where a second
// product gives the last digits of ln 2, e^-x = 2^n e^r; e^r = 1 + r q(r) on [-ln 2 / 2,
// ln 2 / 2], minimax fit of degree 6, error 2e-9 before rounding. A NaN stays one.
MMMAMBAMIXER_INLINE void sigmoid(const float* x_, float* y) {
  typedef float V __attribute__((vector_size(kLanes * 4)));
  typedef int32_t I __attribute__((vector_size(kLanes * 4)));
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: what is added to it, is rounded
  constexpr float kHigh = 0.693359375f,
                  kLow = -2.12194440e-4f;           // ln 2; 9 bits and the rest
  const V least = V{} - 89.0f, most = V{} + 87.0f;  // 2^n: infinite, next to nothing
  V x;
  std::memcpy(&x, x_, sizeof x);
  x = x < least ? least : x;
  x = x > most ? most : x;
  const V shifted = kRound - x * 1.44269504f, n = shifted - kRound;
  const V r = (-x - n * kHigh) - n * kLow, r2 = r * r;
  const V high = r * 1.3843644e-3f + 8.3741634e-3f;
  const V middle = r * 4.1668003e-2f + 1.6666431e-1f;
  const V low = r * 4.9999994e-1f + 1.0f;
  const V q = (high * r2 + middle) * r2 + low;
  const V power = (V)(((I)shifted + 127) << 23);
  const V result = 1.0f / (1.0f + (r * q + 1.0f) * power);
  std::memcpy(y, &result, sizeof result);
}
MMMAMBAMIXER_INLINE void sigmoid(const double* x, double* y) {
  for (int64_t j = 0; j < kLanes; ++j) y[j] = 1.0 / (1.0 + std::exp(-x[j]));
}

}  // namespace mmmambamixer
