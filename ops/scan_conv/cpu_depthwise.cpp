// CPU kernels of scan_conv with one filter for each feature. A tap is a row times a row;
// rows are worked on by kLanes features, whose sum stays in registers over all taps. The
// loops are plain C++: the compiler vectorises them once for each instruction set.
//
// Axis letters: b batch, k scan, i step, c feature, r steps back in the order of a scan.
#include "../scan_engine/cpu/engine.h"
#include "depthwise.h"

namespace mmmambamixer {
namespace {

constexpr int64_t kLanes = 16;          // features that are worked on at a time
constexpr int64_t kBlock = 512;         // features of a task
constexpr int64_t kProducts = 1 << 16;  // of a task, about; small items share one
constexpr int64_t kChunks = 64;         // at most, into which the batch is cut
constexpr int64_t kSteps = 64;          // that are summed before the sum goes to double

// A call; all tensors are contiguous. What a task is depends on the sizes alone, never on
// the number of threads, so that the order of sums does not either.
template <class T, class W>
struct Conv {
  const int64_t* routes;
  int64_t b, l, d, g, t, blocks, items, chunks;
  const T *v = nullptr, *dy = nullptr;
  const W *weight = nullptr, *bias = nullptr;
  T* result = nullptr;        // y, or dv
  double* partial = nullptr;  // (chunk, k, tap or bias, c): the sums of each chunk

  Conv(const Tensor& v_, const Tensor& weight_, const Integers& routes_)
      : routes(routes_.data()), b(v_.size(0)), l(v_.size(1)), d(v_.size(2)),
        g(weight_.size(0)), t(weight_.size(1)), blocks((d + kBlock - 1) / kBlock),
        v(data<T>(v_)), weight(data<W>(weight_)) {
    const int64_t products = std::max<int64_t>(1, g * l * t * std::min(d, kBlock));
    items = std::max(kProducts / products, (b + kChunks - 1) / kChunks);
    items = std::max<int64_t>(items, 1);
    chunks = (b + items - 1) / items;
  }

  int64_t sums() const { return g * (t + 1); }
  // Of the sums of a task: an odd number of kLanes, as rows that lie 4 KiB apart wait for
  // each other's stores.
  int64_t row() const {
    return ((std::min(d, kBlock) + kLanes - 1) / kLanes | 1) * kLanes;
  }
  int64_t tasks() const { return chunks * blocks; }
};

// One step of up to kLanes features: `count` is kLanes wherever it can be, and then a
// constant. Row r of x lies `step` from row r - 1, row r of the filter d before it.
template <class T, class W>
C10_ALWAYS_INLINE void forward_lanes(const T* x, int64_t step, const W* filter, int64_t d,
                                     const W* bias, int64_t reach, T* y, int64_t count) {
  W total[kLanes];
  for (int64_t j = 0; j < count; ++j) total[j] = bias[j];
  for (int64_t r = 0; r <= reach; ++r) {
    const T* row = x + r * step;
    const W* tap = filter - r * d;
    for (int64_t j = 0; j < count; ++j) total[j] += tap[j] * W(row[j]);
  }
  for (int64_t j = 0; j < count; ++j) y[j] = T(total[j]);
}

template <class T, class W>
C10_ALWAYS_INLINE void forward_tasks(const Conv<T, W>& a, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    const int64_t first = task % a.blocks * kBlock, chunk = task / a.blocks;
    const int64_t count = std::min(kBlock, a.d - first);
    const int64_t last = std::min(a.b, (chunk + 1) * a.items);
    for (int64_t b = chunk * a.items; b < last; ++b) {
      for (int64_t k = 0; k < a.g; ++k) {
        const bool turned = a.routes[k] >= 2;
        const int64_t step = turned ? a.d : -a.d;
        const W* filter = a.weight + (k * a.t + a.t - 1) * a.d + first;
        const W* bias = a.bias + k * a.d + first;
        for (int64_t i = 0; i < a.l; ++i) {
          const int64_t reach = std::min(a.t - 1, turned ? a.l - 1 - i : i);
          const T* x = a.v + (b * a.l + i) * a.d + first;
          T* y = a.result + ((b * a.g + k) * a.l + i) * a.d + first;
          int64_t c = 0;
          for (; c + kLanes <= count; c += kLanes)
            forward_lanes(x + c, step, filter + c, a.d, bias + c, reach, y + c, kLanes);
          if (c < count)
            forward_lanes(x + c, step, filter + c, a.d, bias + c, reach, y + c,
                          count - c);
        }
      }
    }
  }
}

// One step i of up to kLanes features, all scans; the rows of `sums` are `length` long.
template <class T, class W>
C10_ALWAYS_INLINE void backward_lanes(const Conv<T, W>& a, int64_t b, int64_t i,
                                      int64_t c, W* sums, int64_t length, int64_t count) {
  const int64_t here = (b * a.l + i) * a.d + c;
  W total[kLanes], x[kLanes], dy[kLanes];
  for (int64_t j = 0; j < count; ++j) total[j] = 0, x[j] = W(a.v[here + j]);
  for (int64_t k = 0; k < a.g; ++k, sums += (a.t + 1) * length) {
    const bool turned = a.routes[k] >= 2;
    // step i was read by the steps that come after it in the order of the scan
    const int64_t reach = std::min(a.t - 1, turned ? i : a.l - 1 - i);
    const int64_t step = turned ? -a.d : a.d;
    const T* from = a.dy + ((b * a.g + k) * a.l + i) * a.d + c;
    const W* filter = a.weight + (k * a.t + a.t - 1) * a.d + c;
    for (int64_t r = 0; r <= reach; ++r) {
      const T* row = from + r * step;
      const W* tap = filter - r * a.d;
      W* sum = sums + (a.t - 1 - r) * length;
      for (int64_t j = 0; j < count; ++j) dy[j] = W(row[j]);
      for (int64_t j = 0; j < count; ++j) total[j] += tap[j] * dy[j];
      for (int64_t j = 0; j < count; ++j) sum[j] += dy[j] * x[j];
    }
    W* sum = sums + a.t * length;
    for (int64_t j = 0; j < count; ++j) sum[j] += W(from[j]);
  }
  for (int64_t j = 0; j < count; ++j) a.result[here + j] = T(total[j]);
}

// Add the sums to `part`, whose rows are `d` long, and set them to 0.
template <class W>
C10_ALWAYS_INLINE void flush(W* sums, int64_t length, double* part, int64_t rows,
                             int64_t d, int64_t count) {
  for (int64_t n = 0; n < rows; ++n)
    for (int64_t c = 0; c < count; ++c) {
      part[n * d + c] += double(sums[n * length + c]);
      sums[n * length + c] = 0;
    }
}

template <class T, class W>
C10_ALWAYS_INLINE void backward_tasks(const Conv<T, W>& a, int64_t begin, int64_t end) {
  const int64_t length = a.row();
  std::vector<W> sums(a.sums() * length);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t first = task % a.blocks * kBlock, chunk = task / a.blocks;
    const int64_t count = std::min(kBlock, a.d - first);
    const int64_t last = std::min(a.b, (chunk + 1) * a.items);
    double* part = a.partial + chunk * a.sums() * a.d + first;
    int64_t steps = 0;
    for (int64_t b = chunk * a.items; b < last; ++b) {
      for (int64_t i = 0; i < a.l; ++i) {
        int64_t c = 0;
        for (; c + kLanes <= count; c += kLanes)
          backward_lanes(a, b, i, first + c, sums.data() + c, length, kLanes);
        if (c < count)
          backward_lanes(a, b, i, first + c, sums.data() + c, length, count - c);
        if (++steps == kSteps) {
          flush(sums.data(), length, part, a.sums(), a.d, count);
          steps = 0;
        }
      }
    }
    flush(sums.data(), length, part, a.sums(), a.d, count);
  }
}

// ---- The same for each instruction set

#define KERNELS(NAME, TARGET)                                                    \
  template <class T, class W>                                                    \
  TARGET void forward_##NAME(const Conv<T, W>& a, int64_t begin, int64_t end) {  \
    forward_tasks(a, begin, end);                                                \
  }                                                                              \
  template <class T, class W>                                                    \
  TARGET void backward_##NAME(const Conv<T, W>& a, int64_t begin, int64_t end) { \
    backward_tasks(a, begin, end);                                               \
  }

KERNELS(portable, )
#ifdef MMMAMBAMIXER_X86
KERNELS(avx2, __attribute__((target("avx2,fma,f16c"))))
KERNELS(avx512, __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c,"
                                      "prefer-vector-width=512"))))
#endif

template <class T, class W>
using Run = void (*)(const Conv<T, W>&, int64_t, int64_t);

// What the scans chose, so that MMMAMBAMIXER_CPU names the kernels of both.
template <class T, class W>
Run<T, W> choose(bool forward) {
#ifdef MMMAMBAMIXER_X86
  if (&kernels() == &kernels_avx512)
    return forward ? forward_avx512<T, W> : backward_avx512<T, W>;
  if (&kernels() == &kernels_avx2)
    return forward ? forward_avx2<T, W> : backward_avx2<T, W>;
#endif
  return forward ? forward_portable<T, W> : backward_portable<T, W>;
}

template <class T, class W>
void run(const Conv<T, W>& conv, bool forward) {
  const auto kernel = choose<T, W>(forward);
  parallel_for(0, conv.tasks(), 1,
               [&](int64_t begin, int64_t end) { kernel(conv, begin, end); });
}

}  // namespace

Tensor depthwise_forward(const Tensor& v_, const Tensor& weight_, const Tensor& bias_,
                         const Integers& routes) {
  const Kind kind = kind_of(v_, "v"), work = work_kind(kind);
  const Tensor v = dense(v_, kind);
  const Tensor weight = dense(weight_, work), bias = dense(bias_, work);
  Tensor y = empty({v.size(0), weight.size(0), v.size(1), v.size(2)}, kind);
  dispatch(kind, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    Conv<T, W> conv(v, weight, routes);
    conv.bias = data<W>(bias);
    conv.result = mutable_data<T>(y);
    run(conv, true);
  });
  return y;
}

std::tuple<Tensor, Tensor, Tensor> depthwise_backward(const Tensor& dy_, const Tensor& v_,
                                                      const Tensor& weight_,
                                                      const Integers& routes) {
  const Kind kind = kind_of(v_, "v"), work = work_kind(kind);
  const Tensor v = dense(v_, kind), dy = dense(dy_, kind);
  const Tensor weight = dense(weight_, work);
  Tensor dv = empty(v.sizes(), kind);
  Tensor dweight = empty(weight.sizes(), work);
  Tensor dbias = empty({weight.size(0), weight.size(2)}, work);
  dispatch(kind, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    Conv<T, W> conv(v, weight, routes);
    const int64_t size = conv.sums() * conv.d;  // of the sums of a chunk
    std::vector<double> partial(conv.chunks * size), total(size);
    conv.dy = data<T>(dy);
    conv.result = mutable_data<T>(dv);
    conv.partial = partial.data();
    run(conv, false);
    for (int64_t chunk = 0; chunk < conv.chunks; ++chunk)
      for (int64_t n = 0; n < size; ++n) total[n] += partial[chunk * size + n];
    W *taps = mutable_data<W>(dweight), *bias = mutable_data<W>(dbias);
    const double* sum = total.data();
    for (int64_t k = 0; k < conv.g; ++k) {
      for (int64_t n = 0; n < conv.t * conv.d; ++n) *taps++ = W(*sum++);
      for (int64_t c = 0; c < conv.d; ++c) *bias++ = W(*sum++);
    }
  });
  return {dv, dweight, dbias};
}

}  // namespace mmmambamixer
