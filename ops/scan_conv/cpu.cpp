// CPU kernels of mmmambamixer::scan_conv and its backward. Features are contiguous, so a
// tap is a scaled row added to a row; one pass reads v (and dy) and writes the results.
// Filters for each feature, weight (g, t, d), are in cpu_depthwise.cpp.
#include "depthwise.h"

namespace mmmambamixer {
namespace {

constexpr int64_t kBlock = 512, kLanes = 16;  // features of a task; lanes of a sum

struct Shape {
  int64_t b, l, d, g, t, blocks;

  Shape(const Tensor& v, const Tensor& weight)
      : b(v.size(0)), l(v.size(1)), d(v.size(2)), g(weight.size(0)), t(weight.size(1)),
        blocks((d + kBlock - 1) / kBlock) {}
};

// The step that tap `tap` of a filter reads for step i; there is none outside of [0, l).
int64_t source(int64_t i, int64_t tap, int64_t taps, int64_t route) {
  const int64_t back = taps - 1 - tap;
  return route >= 2 ? i + back : i - back;
}

template <class T, class W>
void add_row(const T* x, W weight, W* total, int64_t count) {
  for (int64_t c = 0; c < count; ++c) total[c] += weight * W(x[c]);
}

template <class T, class W>
void dot_row(const T* x, const T* y, W* lanes, int64_t count) {
  int64_t c = 0;
  for (; c + kLanes <= count; c += kLanes)
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] += W(x[c + j]) * W(y[c + j]);
  for (int64_t j = 0; c + j < count; ++j) lanes[j] += W(x[c + j]) * W(y[c + j]);
}

Tensor forward(const Tensor& v_, const Tensor& weight_, const Tensor& bias_,
               const Integers& routes) {
  if (weight_.dim() == 3) return depthwise_forward(v_, weight_, bias_, routes);
  const Kind kind = kind_of(v_, "v"), work = work_kind(kind);
  const Tensor v = dense(v_, kind);
  const Tensor weight = dense(weight_, work), bias = dense(bias_, work);
  const Shape s(v, weight);
  Tensor y = empty({s.b, s.g, s.l, s.d}, kind);
  dispatch(kind, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    const W *filter = data<W>(weight), *offset = data<W>(bias);
    const T* in = data<T>(v);
    T* out = mutable_data<T>(y);
    parallel_for(0, s.b * s.g * s.blocks, 1, [&](int64_t begin, int64_t end) {
      W total[kBlock];
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task % s.blocks * kBlock, k = task / s.blocks % s.g;
        const int64_t b = task / s.blocks / s.g, count = std::min(kBlock, s.d - first);
        for (int64_t i = 0; i < s.l; ++i) {
          std::fill(total, total + count, offset[k]);
          for (int64_t tap = 0; tap < s.t; ++tap) {
            const int64_t from = source(i, tap, s.t, routes[k]);
            if (from >= 0 && from < s.l)
              add_row(in + (b * s.l + from) * s.d + first, filter[k * s.t + tap], total,
                      count);
          }
          T* row = out + ((b * s.g + k) * s.l + i) * s.d + first;
          for (int64_t c = 0; c < count; ++c) row[c] = T(total[c]);
        }
      }
    });
  });
  return y;
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dy_, const Tensor& v_,
                                            const Tensor& weight_,
                                            const Integers& routes) {
  if (weight_.dim() == 3) return depthwise_backward(dy_, v_, weight_, routes);
  const Kind kind = kind_of(v_, "v"), work = work_kind(kind);
  const Tensor v = dense(v_, kind), dy = dense(dy_, kind);
  const Tensor weight = dense(weight_, work);
  const Shape s(v, weight);
  Tensor dv = empty(v.sizes(), kind);
  Tensor dweight = empty(weight.sizes(), work);
  Tensor dbias = empty({s.g}, work);
  dispatch(kind, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    const W* filter = data<W>(weight);
    const T *in = data<T>(v), *grad = data<T>(dy);
    T* out = mutable_data<T>(dv);
    const int64_t sums = s.g * (s.t + 1);  // of each scan: its taps, then its bias
    std::vector<double> partial(s.b * s.blocks * sums);
    parallel_for(0, s.b * s.blocks, 1, [&](int64_t begin, int64_t end) {
      std::vector<W> lanes(sums * kLanes);
      W total[kBlock];
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task % s.blocks * kBlock, b = task / s.blocks;
        const int64_t count = std::min(kBlock, s.d - first);
        double* part = partial.data() + task * sums;
        const auto dy_row = [&](int64_t k, int64_t i) {
          return grad + ((b * s.g + k) * s.l + i) * s.d + first;
        };
        for (int64_t i = 0; i < s.l; ++i) {
          const T* row = in + (b * s.l + i) * s.d + first;
          std::fill(total, total + count, W(0));
          std::fill(lanes.begin(), lanes.end(), W(0));
          for (int64_t k = 0; k < s.g; ++k) {
            W* sum = lanes.data() + k * (s.t + 1) * kLanes;
            for (int64_t tap = 0; tap < s.t; ++tap) {
              // step i was read by the step that lies as far on the other side
              const int64_t to = 2 * i - source(i, tap, s.t, routes[k]);
              if (to < 0 || to >= s.l) continue;
              add_row(dy_row(k, to), filter[k * s.t + tap], total, count);
              dot_row(dy_row(k, to), row, sum + tap * kLanes, count);
            }
            const T* own = dy_row(k, i);
            for (int64_t c = 0; c < count; ++c)
              sum[s.t * kLanes + c % kLanes] += W(own[c]);
          }
          T* result = out + (b * s.l + i) * s.d + first;
          for (int64_t c = 0; c < count; ++c) result[c] = T(total[c]);
          for (int64_t n = 0; n < sums; ++n)
            for (int64_t j = 0; j < kLanes; ++j) part[n] += double(lanes[n * kLanes + j]);
        }
      }
    });
    W *taps = mutable_data<W>(dweight), *biases = mutable_data<W>(dbias);
    for (int64_t n = 0; n < sums; ++n) {
      double total = 0;
      for (int64_t task = 0; task < s.b * s.blocks; ++task)
        total += partial[task * sums + n];
      const int64_t k = n / (s.t + 1), tap = n % (s.t + 1);
      (tap < s.t ? taps[k * s.t + tap] : biases[k]) = W(total);
    }
  });
  return {dv, dweight, dbias};
}

STABLE_TORCH_LIBRARY_IMPL(mmmambamixer, CPU, m) {
  m.impl("scan_conv", TORCH_BOX(&forward));
  m.impl("scan_conv_backward", TORCH_BOX(&backward));
}

}  // namespace
}  // namespace mmmambamixer
