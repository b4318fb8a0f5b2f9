// Between torch tensors and the scan kernels; shared by the scan ops.
#pragma once

#include <ATen/Parallel.h>
#include <torch/extension.h>

#include <algorithm>
#include <optional>
#include <type_traits>

#include "engine.h"

namespace mmmambamixer {

using OptionalTensor = std::optional<at::Tensor>;

inline at::ScalarType work_dtype(const at::Tensor& u) {
  return u.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

inline Kind kind_of(const at::Tensor& x, const char* name) {
  switch (x.scalar_type()) {
    case at::kFloat: return Kind::f32;
    case at::kDouble: return Kind::f64;
    case at::kBFloat16: return Kind::bf16;
    case at::kHalf: return Kind::f16;
    default:
      TORCH_CHECK_VALUE(false, name, " must be fp16, bf16, fp32 or fp64, got ",
                        x.scalar_type());
  }
}

inline bool keeps_states(int64_t interval) {
  TORCH_CHECK_VALUE(interval == 0 || interval == kTileSteps,
                    "interval must be 0 or ", kTileSteps, " on CPU, got ", interval);
  return interval != 0;
}

// `x` with its axes in the order batch, scan, step, row.
inline View view_of(const at::Tensor& x, const char* name) {
  const int64_t shared = x.size(1) == 1;  // one for all scans
  return View{x.data_ptr(), kind_of(x, name), x.stride(0), shared ? 0 : x.stride(1),
              x.stride(2), x.stride(3)};
}

// A parameter as the kernels want it: contiguous, in the work dtype.
inline at::Tensor parameter(const at::Tensor& x, at::ScalarType work) {
  return x.to(work).contiguous();
}
inline at::Tensor parameter(const OptionalTensor& x, at::ScalarType work) {
  return x ? parameter(*x, work) : at::Tensor();
}
inline const void* data_or_null(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr() : nullptr;
}

inline void run(const Scan& scan, Kernel kernel) {
  at::parallel_for(0, scan.tasks(), 1, [&](int64_t begin, int64_t end) {
    kernel(scan, begin, end);
  });
}
inline void run_forward(const Scan& scan, at::ScalarType work) {
  run(scan, work == at::kDouble ? kernels().forward_f64 : kernels().forward_f32);
}

// What the backward kernel leaves for each batch item or block of channels.
struct Partials {
  at::Tensor dA, dD, dbias, dweight, drows;

  // `D` and `bias` only tell whether there are such gradients: without channels they
  // are there, but have no memory for `s` to point to.
  Partials(Scan* s, const at::Tensor& D, const at::Tensor& bias,
           const at::TensorOptions& options) {
    s->least_block = 32;  // each block leaves `drows`
    const int64_t b = s->batch, g = s->scans, d = s->channels;
    const auto make = [&](at::IntArrayRef shape, void** slot) {
      auto x = at::empty(shape, options);
      *slot = x.mutable_data_ptr();
      return x;
    };
    dA = make({b, g, d, s->states}, &s->dA);
    if (D.defined()) dD = make({b, g, d}, &s->dD);
    if (bias.defined()) dbias = make({b, g, d}, &s->dbias);
    if (s->rank > 0) dweight = make({b, g, d, s->rank}, &s->dweight);
    drows = make({s->blocks(), b, g, s->steps, 2 * s->states + s->rank}, &s->drows);
  }
};

// Sum over the first axis in a fixed order, in double; empty for an undefined tensor.
inline at::Tensor sum_first(const at::Tensor& x, const at::TensorOptions& options) {
  if (!x.defined()) return at::empty({0}, options);
  const int64_t count = x.size(0);
  auto total = at::zeros(x.sizes().slice(1), options);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "sum_first", [&] {
    const scalar_t* from = x.const_data_ptr<scalar_t>();
    scalar_t* to = total.mutable_data_ptr<scalar_t>();
    const int64_t size = total.numel();
    constexpr int64_t kSums = 64;  // elements added side by side, as they lie in memory
    at::parallel_for(0, size, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += kSums) {
        const int64_t width = std::min(kSums, end - i);
        double sums[kSums] = {};
        for (int64_t j = 0; j < count; ++j)
          for (int64_t c = 0; c < width; ++c) sums[c] += double(from[j * size + i + c]);
        for (int64_t c = 0; c < width; ++c) to[i + c] = scalar_t(sums[c]);
      }
    });
  });
  return total;
}

}  // namespace mmmambamixer
