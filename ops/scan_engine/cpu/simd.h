// Vectors of one instruction set and the functions on them that the scan needs. Included
// inside the namespace of that set, after LANE_BYTES is defined; see engine_impl.h.
//
// No fast-math: NaN and infinity go through, and stay in their lane.

#define INLINE static inline __attribute__((always_inline))

constexpr int kDoublesBytes = LANE_BYTES < 32 ? 32 : LANE_BYTES;  // at least four

typedef float Floats __attribute__((vector_size(LANE_BYTES)));
typedef double Doubles __attribute__((vector_size(kDoublesBytes)));
typedef int32_t Ints __attribute__((vector_size(LANE_BYTES)));

// Integers as wide as the lanes of a V: what comparing such vectors gives, and what
// chooses lanes in a shuffle.
template <class V>
using MaskOf = decltype(V{} < V{});

template <class T>
struct Simd;
template <>
struct Simd<float> {
  using V = Floats;
};
template <>
struct Simd<double> {
  using V = Doubles;
};
template <class T>
constexpr int64_t kLanes = sizeof(typename Simd<T>::V) / sizeof(T);

template <class T>
INLINE typename Simd<T>::V load(const T* p) {  // p is aligned to a vector
  return *reinterpret_cast<const typename Simd<T>::V*>(p);
}
template <class T>
INLINE void store(T* p, typename Simd<T>::V v) {
  *reinterpret_cast<typename Simd<T>::V*>(p) = v;
}

// ---- decay(step, A): exp(delta A), of a step from `limited` and an A from `scaled`. In
// float it is a power of 2, so A holds log2 e. Steps beyond 6.9e10 and A beyond 7.4e8 act
// as these, for nothing on the way to the power may overflow; a NaN stays.

template <class T>
constexpr T kExponentScale = T(1);
template <>
constexpr float kExponentScale<float> = 1.44269504088896340736f;  // log2 e

INLINE double scaled(double A) { return A; }
INLINE float scaled(float A) {
  A *= kExponentScale<float>;
  return A > 0x1p30f ? 0x1p30f : A < -0x1p30f ? -0x1p30f : A;
}

#if LANE_BYTES == 64
INLINE Floats limited(Floats step) {
  const __m512 most = _mm512_set1_ps(0x1p36f);
  return (Floats)_mm512_min_ps(most, _mm512_max_ps(-most, (__m512)step));
}

// 2^floor(k) 2^(k - floor(k)) 2^r, where k is step A in whole sixteenths and r the rest,
// exact, for the product is not rounded. 2^r = 1 + r q(r) on [-1/32, 1/32]: minimax fit
// of degree 3, error 2e-9 before rounding. The exact 1 keeps 1 - 2^v, the forgetting of
// slow states, right to the last bits.
INLINE Floats decay(Floats step, Floats A) {
  const Floats powers = {1.0f,        1.04427373f, 1.09050775f, 1.13878858f,
                         1.18920708f, 1.24185777f, 1.29683959f, 1.35425556f,
                         1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f,
                         1.68179286f, 1.75625217f, 1.83400810f, 1.91520655f};
  const Floats shift = Floats{} + 786432.0f;  // 1.5 * 2^19: 16 k in the last bits
  const Floats shifted = (Floats)_mm512_fmadd_ps((__m512)step, (__m512)A, (__m512)shift);
  const Floats k = shifted - shift;
  const Floats r = (Floats)_mm512_fmsub_ps((__m512)step, (__m512)A, (__m512)k);
  const Floats power = __builtin_shuffle(powers, (Ints)shifted);
  const Floats slope = (r * 5.5505946e-2f + 2.4023429e-1f) * r + 6.9314718e-1f;
  return (Floats)_mm512_scalef_ps((__m512)(r * power * slope + power), (__m512)k);
}

INLINE Floats reciprocal(Floats v) {  // of 1 <= v <= 3; a division takes longer
  const Floats r = (Floats)_mm512_rcp14_ps((__m512)v);
  return r * (1.0f - v * r) + r;
}
#else
INLINE Floats reciprocal(Floats v) { return 1.0f / v; }

INLINE Floats limited(Floats step) { return step; }

INLINE Floats clamp(Floats v, Floats low, Floats high) {
#if LANE_BYTES == 32
  return (Floats)_mm256_min_ps((__m256)high, _mm256_max_ps((__m256)low, (__m256)v));
#else
  v = v < low ? low : v;
  return v > high ? high : v;
#endif
}

// 2^r = 1 + r q(r) on [-1/2, 1/2], as above with a fit of degree 6: error 2e-9. In powers
// of r^2, so that fewer operations wait for each other.
INLINE Floats decay(Floats step, Floats A) {  // 0 below 2^-126, inf above 2^127
  const Floats v = clamp(step * A, Floats{} - 127.0f, Floats{} + 128.0f);
  const Floats shifted = v + 12582912.0f;        // 1.5 * 2^23: rounds to an integer
  const Floats r = v - (shifted - 12582912.0f);  // NaN if v is, and so is the product
  const Floats r2 = r * r;
  const Floats high = r * 1.5353362e-4f + 1.3398874e-3f;
  const Floats middle = r * 9.6184374e-3f + 5.5503325e-2f;
  const Floats low = r * 2.4022648e-1f + 6.9314720e-1f;
  const Floats q = (high * r2 + middle) * r2 + low;
  return (r * q + 1.0f) * (Floats)(((Ints)shifted + 127) << 23);
}
#endif

INLINE Doubles limited(Doubles step) { return step; }
INLINE Doubles decay(Doubles step, Doubles A) {
  Doubles v = step * A;
  for (int64_t i = 0; i < kLanes<double>; ++i) v[i] = std::exp(v[i]);
  return v;
}

// ---- softplus(x) = max(x, 0) + log1p(exp(-|x|)) and, where it is wanted, its
// derivative, the sigmoid. Never log(1 + exp(x)): it loses every digit of the small steps
// that Mamba starts with.

INLINE Floats softplus(Floats x, Floats* sigmoid) {
  const Floats zero{}, one = zero + 1.0f;
  const Floats negative = x < zero ? x : -x;
  const Floats e = decay(limited(negative), zero + kExponentScale<float>);  // <= 1
  // log1p(e) = 2 atanh(s), s = e / (2 + e) <= 1/3; the series' tail is below 2^-25
  const Floats s = e * reciprocal(e + 2.0f), s2 = s * s;
  Floats p = s2 * (1.0f / 15) + 1.0f / 13;
  p = p * s2 + 1.0f / 11;
  p = p * s2 + 1.0f / 9;
  p = p * s2 + 1.0f / 7;
  p = p * s2 + 1.0f / 5;
  p = p * s2 + 1.0f / 3;
  const Floats log1p = 2.0f * s + 2.0f * s * s2 * p;
  if (sigmoid) *sigmoid = (x < zero ? e : one) * reciprocal(e + 1.0f);
  return (x < zero ? zero : x) + log1p;
}

INLINE Doubles softplus(Doubles x, Doubles* sigmoid) {
  Doubles y{};
  for (int64_t i = 0; i < kLanes<double>; ++i) {
    const double e = std::exp(-std::fabs(x[i]));
    if (sigmoid) (*sigmoid)[i] = (x[i] < 0 ? e : 1.0) / (1.0 + e);
    y[i] = (x[i] < 0 ? 0.0 : x[i]) + std::log1p(e);
  }
  return y;
}

// ---- Sums over the lanes of several vectors, by a butterfly. The order of the additions
// is fixed.

// Lanes in blocks of 2 G: the first G come from a, the others from b, each folded in two.
template <int64_t G, class V>
INLINE V fold(V a, V b) {
  constexpr int64_t L = sizeof(V) / sizeof(V{}[0]);
  MaskOf<V> stay{}, move{};  // the first is a mere choice between a and b
  for (int64_t j = 0; j < L; ++j) {
    stay[j] = j % (2 * G) < G ? j : L + j;
    move[j] = j % (2 * G) < G ? j + G : L + j - G;
  }
  return __builtin_shuffle(a, b, stay) + __builtin_shuffle(a, b, move);
}

// Of four vectors: a quarter of the lanes for each, in this order.
template <class T>
INLINE typename Simd<T>::V quarters(typename Simd<T>::V a, typename Simd<T>::V b,
                                    typename Simd<T>::V c, typename Simd<T>::V d) {
  constexpr int64_t L = kLanes<T>;
  return fold<L / 4>(fold<L / 2>(a, c), fold<L / 2>(b, d));
}

// The end of it, for as many such results as a quarter has lanes, `stride` elements
// apart: lane j of a quarter is the sum over this quarter of result j.
template <class T, int64_t G = 1>
INLINE typename Simd<T>::V sum_lanes(const T* quarters, int64_t stride) {
  if constexpr (4 * G == kLanes<T>)
    return load<T>(quarters);
  else
    return fold<G>(sum_lanes<T, 2 * G>(quarters, stride),
                   sum_lanes<T, 2 * G>(quarters + G * stride, stride));
}

// The lanes of K quarters at a time take turns.
template <int64_t K, class V>
INLINE V take_turns(V v) {
  constexpr int64_t quarter = sizeof(V) / sizeof(V{}[0]) / 4;
  MaskOf<V> from{};
  for (int64_t j = 0; j < 4 * quarter; ++j) {
    const int64_t i = j % (K * quarter);
    from[j] = j - i + i % K * quarter + i / K;
  }
  return __builtin_shuffle(v, from);
}

// ---- The transpose of as many vectors as there are lanes: blocks of G are swapped, for
// G = 1, 2, 4 ...

template <int64_t G, class V>
INLINE void swap_blocks(V& a, V& b) {
  constexpr int64_t L = sizeof(V) / sizeof(V{}[0]);
  MaskOf<V> low{}, high{};
  for (int64_t j = 0; j < L; ++j) {
    low[j] = j & G ? L + j - G : j;
    high[j] = j & G ? L + j : j + G;
  }
  const V first = __builtin_shuffle(a, b, low);
  b = __builtin_shuffle(a, b, high);
  a = first;
}

template <class V, int64_t L, int64_t G = 1>
INLINE void transpose(V (&rows)[L]) {
  if constexpr (G < L) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < L; ++i)
      if (!(i & G)) swap_blocks<G>(rows[i], rows[i + G]);
    transpose<V, L, 2 * G>(rows);
  }
}

// A square of as many rows as there are lanes, which may lie anywhere.
template <class T>
INLINE void transpose(const T* from, int64_t from_ld, T* to, int64_t to_ld) {
  using V = typename Simd<T>::V;
  V rows[kLanes<T>];
#pragma GCC unroll 16
  for (int64_t i = 0; i < kLanes<T>; ++i)
    std::memcpy(&rows[i], from + i * from_ld, sizeof(V));
  transpose(rows);
#pragma GCC unroll 16
  for (int64_t i = 0; i < kLanes<T>; ++i)
    std::memcpy(to + i * to_ld, &rows[i], sizeof(V));
}
