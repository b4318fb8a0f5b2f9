// CPU kernels of mmmambamixer::weighted_sum and its backward: one pass over the data, cut
// in blocks whose partial sums are added in a fixed order.
#include "../stable.h"

namespace mmmambamixer {
namespace {

constexpr int64_t kBlock = 2048, kLanes = 16;

int64_t blocks(int64_t size) { return (size + kBlock - 1) / kBlock; }

template <class T, class W>
void add_block(const T* x, W weight, bool first, W* total, int64_t count) {
  if (first)
    for (int64_t i = 0; i < count; ++i) total[i] = weight * W(x[i]);
  else
    for (int64_t i = 0; i < count; ++i) total[i] += weight * W(x[i]);
}

template <class T, class W>
W scale_and_dot(const T* x, const T* dy, W weight, T* dx, int64_t count) {
  W lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j) {
      dx[i + j] = T(weight * W(dy[i + j]));
      lanes[j] += W(dy[i + j]) * W(x[i + j]);
    }
  for (int64_t j = 0; i + j < count; ++j) {
    dx[i + j] = T(weight * W(dy[i + j]));
    lanes[j] += W(dy[i + j]) * W(x[i + j]);
  }
  W total = 0;
  for (W lane : lanes) total += lane;
  return total;
}

// Contiguous tensors and where their elements are.
template <class T>
struct Inputs {
  Inputs(const std::vector<Tensor>& given, Kind kind) {
    for (const Tensor& x : given) {
      tensors.push_back(dense(x, kind));
      at.push_back(data<T>(tensors.back()));
    }
  }
  std::vector<Tensor> tensors;
  std::vector<const T*> at;
};

Tensor forward(const std::vector<Tensor>& tensors, const Tensor& weights) {
  const Kind kind = kind_of(tensors[0], "tensors");
  Tensor y = empty(tensors[0].sizes(), kind);
  const Tensor weight = dense(weights, work_kind(kind));
  const int64_t size = y.numel(), inputs = tensors.size();
  dispatch(kind, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    const Inputs<T> xs(tensors, kind);
    const W* weight_data = data<W>(weight);
    T* out = mutable_data<T>(y);
    parallel_for(0, blocks(size), 8, [&](int64_t begin, int64_t end) {
      W total[kBlock];
      for (int64_t block = begin; block < end; ++block) {
        const int64_t at = block * kBlock, count = std::min(kBlock, size - at);
        for (int64_t i = 0; i < inputs; ++i)
          add_block(xs.at[i] + at, weight_data[i], i == 0, total, count);
        for (int64_t j = 0; j < count; ++j) out[at + j] = T(total[j]);
      }
    });
  });
  return y;
}

std::tuple<std::vector<Tensor>, Tensor> backward(const Tensor& dy,
                                                 const std::vector<Tensor>& tensors,
                                                 const Tensor& weights) {
  const Kind kind = kind_of(tensors[0], "tensors"), work = work_kind(kind);
  const Tensor grad = dense(dy, kind), weight = dense(weights, work);
  const int64_t size = grad.numel(), inputs = tensors.size();
  std::vector<Tensor> dxs;
  for (const Tensor& x : tensors) dxs.push_back(empty(x.sizes(), kind));
  Tensor dweights = empty({inputs}, work);
  dispatch(kind, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    const Inputs<T> xs(tensors, kind);
    std::vector<T*> out;
    for (const Tensor& dx : dxs) out.push_back(mutable_data<T>(dx));
    const W* weight_data = data<W>(weight);
    const T* grad_data = data<T>(grad);
    std::vector<double> partial(blocks(size) * inputs);
    parallel_for(0, blocks(size), 8, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t at = block * kBlock, count = std::min(kBlock, size - at);
        for (int64_t i = 0; i < inputs; ++i)
          partial[block * inputs + i] = double(scale_and_dot(
              xs.at[i] + at, grad_data + at, weight_data[i], out[i] + at, count));
      }
    });
    W* sums = mutable_data<W>(dweights);
    for (int64_t i = 0; i < inputs; ++i) {
      double total = 0;
      for (int64_t block = 0; block < blocks(size); ++block)
        total += partial[block * inputs + i];
      sums[i] = W(total);
    }
  });
  return {dxs, dweights};
}

STABLE_TORCH_LIBRARY_IMPL(mmmambamixer, CPU, m) {
  m.impl("weighted_sum", TORCH_BOX(&forward));
  m.impl("weighted_sum_backward", TORCH_BOX(&backward));
}

}  // namespace
}  // namespace mmmambamixer
