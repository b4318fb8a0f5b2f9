// What the CPU kernels use of torch: its stable ABI as of 2.10, which later versions keep,
// so that one binary serves them all. Nothing else here may include a header of torch.
//
// Calls of torch cost more than they look: each goes through a C function, and `to`,
// `contiguous` and the like through the dispatcher. Take data pointers before loops.
#pragma once

#define TORCH_TARGET_VERSION 0x020a000000000000ULL
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace mmmambamixer {

using torch::headeronly::ScalarType;
using torch::stable::parallel_for;
using torch::stable::Tensor;

using Integers = std::vector<int64_t>;  // int[] of a schema
using OptionalTensor = std::optional<Tensor>;
using Sizes = torch::headeronly::IntHeaderOnlyArrayRef;

// Call `f(T(), W())` with the type of the elements of `x` and that of sums over them.
template <class F>
auto dispatch(const Tensor& x, const char* name, F&& f) {
  switch (x.scalar_type()) {
    case ScalarType::Float: return f(float(), float());
    case ScalarType::Double: return f(double(), double());
    case ScalarType::BFloat16: return f(c10::BFloat16(), float());
    case ScalarType::Half: return f(c10::Half(), float());
    default:  // becomes Python's ValueError
      throw std::invalid_argument(std::string(name) +
                                  " must be fp16, bf16, fp32 or fp64, got " +
                                  torch::headeronly::toString(x.scalar_type()));
  }
}

// The dtype of sums over elements of `x`, and of the state of a scan.
inline ScalarType work_dtype(const Tensor& x) {
  return x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// A contiguous tensor in memory that is not set.
inline Tensor empty(Sizes sizes, ScalarType dtype) {
  std::vector<int64_t> strides(sizes.size());
  int64_t stride = 1;
  for (size_t i = sizes.size(); i-- > 0; stride *= std::max<int64_t>(sizes[i], 1))
    strides[i] = stride;
  const auto code = torch::stable::detail::from(dtype);
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      sizes.size(), sizes.data(), strides.data(), torch::stable::detail::to<int32_t>(code),
      aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

// `x`, contiguous and in this dtype; itself where it is both.
inline Tensor dense(const Tensor& x, ScalarType dtype) {
  const Tensor y = x.scalar_type() == dtype ? x : torch::stable::to(x, dtype);
  return y.is_contiguous() ? y : torch::stable::contiguous(y);
}
inline Tensor dense(const Tensor& x) { return dense(x, x.scalar_type()); }

template <class T>
const T* data(const Tensor& x) {
  return static_cast<const T*>(x.const_data_ptr());
}
template <class T>
T* mutable_data(const Tensor& x) {
  return static_cast<T*>(x.mutable_data_ptr());
}

}  // namespace mmmambamixer
