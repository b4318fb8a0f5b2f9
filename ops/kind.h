// The dtypes of the CPU kernels. No torch here.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

// Of functions and lambdas that become part of a kernel, so that they are compiled for
// its instruction set.
#define MMMAMBAMIXER_INLINED __attribute__((always_inline))
#define MMMAMBAMIXER_INLINE inline MMMAMBAMIXER_INLINED

namespace mmmambamixer {

enum class Kind { f32, f64, bf16, f16 };

// Of sums over elements, and of the state of a scan.
inline Kind work_kind(Kind kind) { return kind == Kind::f64 ? Kind::f64 : Kind::f32; }

// The dtypes of 16 bits, whose conversions the compiler vectorises, as torch's are not.
// From float they go to nearest even; a double becomes a float on its way.

MMMAMBAMIXER_INLINE float from_bits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
MMMAMBAMIXER_INLINE uint32_t to_bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

struct BFloat16 {
  uint16_t bits;

  BFloat16() = default;
  MMMAMBAMIXER_INLINE explicit BFloat16(float x) {
    const uint32_t all = to_bits(x), odd = all >> 16 & 1;
    const uint32_t rounded = (all + 0x7fff + odd) >> 16;
    bits = uint16_t(x == x ? rounded : 0x7fc0);
  }
  MMMAMBAMIXER_INLINE operator float() const { return from_bits(uint32_t(bits) << 16); }
};

struct Half {
  uint16_t bits;

  Half() = default;
  MMMAMBAMIXER_INLINE explicit Half(float x) {
    const uint32_t sign = to_bits(x) >> 16 & 0x8000;
    const float a = std::fabs(x);
    // normal: round the mantissa to 10 bits; subnormal: let an addition round it
    const uint32_t all = to_bits(a), odd = all >> 13 & 1;
    const uint32_t normal = (all - (112u << 23) + 0xfff + odd) >> 13;
    const uint32_t subnormal = to_bits(a + 0.5f) - to_bits(0.5f);
    uint32_t half = a < 0x1p-14f ? subnormal : normal;
    half = a >= 65520.0f ? 0x7c00 : half;
    half = x == x ? half : 0x7e00;
    bits = uint16_t(half | sign);
  }
  MMMAMBAMIXER_INLINE operator float() const {
    const uint32_t magnitude = uint32_t(bits & 0x7fff) << 13;
    const float value = from_bits(magnitude) * 0x1p112f;  // moves the exponent's bias
    const uint32_t special = value >= 65536.0f ? 0x7f800000u : 0u;  // infinity, NaN
    return from_bits(to_bits(value) | special | uint32_t(bits & 0x8000) << 16);
  }
};

}  // namespace mmmambamixer
