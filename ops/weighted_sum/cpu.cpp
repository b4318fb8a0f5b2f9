// CPU kernels of mmmambamixer::weighted_sum and its backward: one pass over the data, cut
// in blocks whose partial sums are added in a fixed order.
#include <ATen/Parallel.h>
#include <torch/extension.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

namespace mmmambamixer {
namespace {

using at::Tensor;

constexpr int64_t kBlock = 2048, kLanes = 16;

std::vector<Tensor> contiguous(at::TensorList tensors) {
  std::vector<Tensor> out;
  for (const Tensor& x : tensors) out.push_back(x.contiguous());
  return out;
}

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

template <class F>
void dispatch(const Tensor& x, F&& f) {
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, x.scalar_type(), "weighted_sum", [&] {
        using W = std::conditional_t<std::is_same_v<scalar_t, double>, double, float>;
        f(scalar_t(), W());
      });
}

Tensor forward(at::TensorList tensors, const Tensor& weights) {
  const auto xs = contiguous(tensors);
  Tensor y = at::empty(xs[0].sizes(), xs[0].options());
  dispatch(y, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    const Tensor weight = weights.to(c10::CppTypeToScalarType<W>::value).contiguous();
    const W* weight_data = weight.const_data_ptr<W>();
    T* out = y.mutable_data_ptr<T>();
    at::parallel_for(0, blocks(y.numel()), 8, [&](int64_t begin, int64_t end) {
      W total[kBlock];
      for (int64_t block = begin; block < end; ++block) {
        const int64_t at = block * kBlock, count = std::min(kBlock, y.numel() - at);
        for (size_t i = 0; i < xs.size(); ++i)
          add_block(xs[i].const_data_ptr<T>() + at, weight_data[i], i == 0, total, count);
        for (int64_t j = 0; j < count; ++j) out[at + j] = T(total[j]);
      }
    });
  });
  return y;
}

std::tuple<std::vector<Tensor>, Tensor> backward(const Tensor& dy, at::TensorList tensors,
                                                 const Tensor& weights) {
  const auto xs = contiguous(tensors);
  const Tensor grad = dy.to(xs[0].scalar_type()).contiguous();
  std::vector<Tensor> dxs;
  for (const Tensor& x : xs) dxs.push_back(at::empty(x.sizes(), x.options()));
  Tensor dweights;
  dispatch(grad, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    const auto work = c10::CppTypeToScalarType<W>::value;
    const Tensor weight = weights.to(work).contiguous();
    const W* weight_data = weight.const_data_ptr<W>();
    const T* grad_data = grad.const_data_ptr<T>();
    const int64_t count = xs.size(), size = grad.numel();
    std::vector<double> partial(blocks(size) * count);
    at::parallel_for(0, blocks(size), 8, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t at = block * kBlock, length = std::min(kBlock, size - at);
        for (int64_t i = 0; i < count; ++i)
          partial[block * count + i] = double(scale_and_dot(
              xs[i].const_data_ptr<T>() + at, grad_data + at, weight_data[i],
              dxs[i].mutable_data_ptr<T>() + at, length));
      }
    });
    dweights = at::empty({count}, weights.options().dtype(work));
    for (int64_t i = 0; i < count; ++i) {
      double total = 0;
      for (int64_t block = 0; block < blocks(size); ++block)
        total += partial[block * count + i];
      dweights.mutable_data_ptr<W>()[i] = W(total);
    }
  });
  return {dxs, dweights};
}

TORCH_LIBRARY_IMPL(mmmambamixer, CPU, m) {
  m.impl("weighted_sum", &forward);
  m.impl("weighted_sum_backward", &backward);
}

}  // namespace
}  // namespace mmmambamixer
