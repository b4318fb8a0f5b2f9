// What the CPU kernels use of torch: its stable ABI as of 2.10, which later versions
// keep, so that one binary serves them all. Nothing else here may include a header of
// torch.
//
// Calls of torch cost more than they look: each goes through a C function, and `to`,
// `contiguous` and the like through the dispatcher. Take data pointers before loops.
#pragma once

#define TORCH_TARGET_VERSION 0x020a000000000000ULL
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "kind.h"

namespace mmmambamixer {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

using Integers = std::vector<int64_t>;  // int[] of a schema
using OptionalTensor = std::optional<Tensor>;
using Sizes = torch::headeronly::IntHeaderOnlyArrayRef;

// Of dtypes torch's C interface has numbers.
inline int32_t code_of(Kind kind) {
  switch (kind) {
    case Kind::f32:
      return aoti_torch_dtype_float32();
    case Kind::f64:
      return aoti_torch_dtype_float64();
    case Kind::bf16:
      return aoti_torch_dtype_bfloat16();
    case Kind::f16:
      break;
  }
  return aoti_torch_dtype_float16();
}
inline int32_t code_of(const Tensor& x) {
  int32_t code;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(x.get(), &code));
  return code;
}
inline int32_t code_of(ScalarType dtype) {
  return torch::stable::detail::to<int32_t>(torch::stable::detail::from(dtype));
}
inline ScalarType dtype_of(int32_t code) {
  return torch::stable::detail::to<ScalarType>(torch::stable::detail::from(code));
}

// The kind of a tensor or dtype; `name` is what an error calls it.
template <class X>
Kind kind_of(const X& x, const char* name) {
  const int32_t code = code_of(x);
  for (Kind kind : {Kind::f32, Kind::f64, Kind::bf16, Kind::f16})
    if (code == code_of(kind)) return kind;
  throw std::invalid_argument(
      std::string(name) +  // Python's ValueError before torch 2.15
      " must be fp16, bf16, fp32 or fp64, got " +
      torch::headeronly::toString(dtype_of(code)));
}

// Call `f(T(), W())` with the type of elements of this kind and that of sums over them.
template <class F>
auto dispatch(Kind kind, F&& f) {
  switch (kind) {
    case Kind::f32:
      return f(float(), float());
    case Kind::f64:
      return f(double(), double());
    case Kind::bf16:
      return f(BFloat16(), float());
    case Kind::f16:
      break;
  }
  return f(Half(), float());
}

// A tensor in memory that is not set: contiguous, or so with its last two axes `turned`.
inline Tensor empty(Sizes sizes, Kind kind, bool turned = false) {
  std::vector<int64_t> strides(sizes.size());
  int64_t stride = 1;
  for (size_t n = sizes.size(); n-- > 0;) {
    const size_t i = turned && n + 2 >= sizes.size() ? 2 * sizes.size() - 3 - n : n;
    strides[i] = stride;
    stride *= std::max<int64_t>(sizes[i], 1);
  }
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(
      aoti_torch_empty_strided(sizes.size(), sizes.data(), strides.data(), code_of(kind),
                               aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

// `x`, contiguous and of this kind; itself where it is both.
inline Tensor dense(const Tensor& x, Kind kind) {
  const int32_t code = code_of(kind);
  if (code_of(x) != code) return dense(torch::stable::to(x, dtype_of(code)), kind);
  return x.is_contiguous() ? x : torch::stable::contiguous(x);
}

// Call `f` for parts of [begin, end) on torch's threads and throw the first of what they
// throw; torch's own function says only that one of them failed.
template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const F& f) {
  std::exception_ptr error;
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  torch::stable::parallel_for(begin, end, grain, [&](int64_t first, int64_t last) {
    try {
      f(first, last);
    } catch (...) {
      if (!failed.test_and_set()) error = std::current_exception();
    }
  });
  if (error) std::rethrow_exception(error);
}

template <class T>
const T* data(const Tensor& x) {
  return static_cast<const T*>(x.const_data_ptr());
}
template <class T>
T* mutable_data(const Tensor& x) {
  return static_cast<T*>(x.mutable_data_ptr());
}

}  // namespace mmmambamixer
