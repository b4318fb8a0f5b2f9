// Between torch tensors and the scan kernels; shared by the scan ops.
#pragma once

#include "../stable.h"
#include "engine.h"

namespace mmmambamixer {

inline bool keeps_states(int64_t interval) {
  if (interval != 0 && interval != kTileSteps)
    throw std::invalid_argument("interval must be 0 or " + std::to_string(kTileSteps) +
                                " on CPU, got " + std::to_string(interval));
  return interval != 0;
}

inline Kind kind_of(float) { return Kind::f32; }
inline Kind kind_of(double) { return Kind::f64; }
inline Kind kind_of(c10::BFloat16) { return Kind::bf16; }
inline Kind kind_of(c10::Half) { return Kind::f16; }

// `x` with its axes in the order batch, scan, step, row: the batch is the first of it, two
// others are steps and rows, and scans lie `scan` elements apart.
inline View view_of(const Tensor& x, const char* name, int64_t scan, int step, int row) {
  const Kind kind = dispatch(x, name, [](auto t, auto) { return kind_of(t); });
  return {x.data_ptr(), kind, x.stride(0), scan, x.stride(step), x.stride(row)};
}
// The second axis holds the scans, or is 1 where all scans share it.
inline View view_of(const Tensor& x, const char* name, int step = 2, int row = 3) {
  return view_of(x, name, x.size(1) == 1 ? 0 : x.stride(1), step, row);
}

// A parameter as the kernels want it: contiguous, in the work dtype.
inline OptionalTensor parameter(const OptionalTensor& x, ScalarType work) {
  return x ? dense(*x, work) : OptionalTensor();
}
inline const void* data_or_null(const OptionalTensor& x) {
  return x ? x->const_data_ptr() : nullptr;
}

inline void run(const Scan& scan, Kernel kernel) {
  parallel_for(0, scan.tasks(), 1,
               [&](int64_t begin, int64_t end) { kernel(scan, begin, end); });
}
inline void run_forward(const Scan& scan, ScalarType work) {
  run(scan, work == ScalarType::Double ? kernels().forward_f64 : kernels().forward_f32);
}
inline void run_backward(const Scan& scan, ScalarType work) {
  run(scan, work == ScalarType::Double ? kernels().backward_f64 : kernels().backward_f32);
}

// What the backward kernel leaves for each batch item or block of channels.
struct Partials {
  OptionalTensor dA, dD, dbias, dweight, drows;

  // `D` and `bias` only tell whether there are such gradients: without channels they
  // are there, but have no memory for `s` to point to.
  Partials(Scan* s, const OptionalTensor& D, const OptionalTensor& bias, ScalarType work) {
    s->least_block = 32;  // each block leaves `drows`
    const int64_t b = s->batch, g = s->scans, d = s->channels;
    const auto make = [&](Sizes sizes, void** slot) {
      Tensor x = empty(sizes, work);
      *slot = x.mutable_data_ptr();
      return x;
    };
    dA = make({b, g, d, s->states}, &s->dA);
    if (D) dD = make({b, g, d}, &s->dD);
    if (bias) dbias = make({b, g, d}, &s->dbias);
    if (s->rank > 0) dweight = make({b, g, d, s->rank}, &s->dweight);
    drows = make({s->blocks(), b, g, s->steps, 2 * s->states + s->rank}, &s->drows);
  }
};

// Sum over the first axis in a fixed order, in double, as a tensor of these sizes; empty
// where there is nothing to add.
inline Tensor sum_first(const OptionalTensor& x, Sizes sizes, ScalarType work) {
  if (!x) return empty({0}, work);
  Tensor total = empty(sizes, work);
  const int64_t count = x->size(0), size = total.numel();
  dispatch(total, "sum", [&](auto t, auto) {
    using T = decltype(t);
    const T* from = data<T>(*x);
    T* to = mutable_data<T>(total);
    constexpr int64_t kSums = 64;  // elements added side by side, as they lie in memory
    parallel_for(0, size, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += kSums) {
        const int64_t width = std::min(kSums, end - i);
        double sums[kSums] = {};
        for (int64_t j = 0; j < count; ++j)
          for (int64_t c = 0; c < width; ++c) sums[c] += double(from[j * size + i + c]);
        for (int64_t c = 0; c < width; ++c) to[i + c] = T(sums[c]);
      }
    });
  });
  return total;
}

}  // namespace mmmambamixer
