// Between torch tensors and the scan kernels; shared by the scan ops.
#pragma once

#include <memory>

#include "../../stable.h"
#include "engine.h"

namespace mmmambamixer {

inline bool keeps_states(int64_t interval) {
  if (interval != 0 && interval != kTileSteps)
    throw std::invalid_argument("interval must be 0 or " + std::to_string(kTileSteps) +
                                " on CPU, got " + std::to_string(interval));
  return interval != 0;
}

// `x` with its axes in the order batch, scan, step, row: the batch is the first of it,
// two others are steps and rows, and scans lie `scan` elements apart.
inline View view_of(const Tensor& x, const char* name, int64_t scan, int step, int row) {
  return {x.data_ptr(), kind_of(x, name), x.stride(0),
          scan,         x.stride(step),   x.stride(row)};
}
// The second axis holds the scans, or is 1 where all scans share it.
inline View view_of(const Tensor& x, const char* name, int step = 2, int row = 3) {
  return view_of(x, name, x.size(1) == 1 ? 0 : x.stride(1), step, row);
}

// The states that the forward kept; without them the backward would read other memory.
inline Tensor kept_states(const Tensor& states, const Scan& s, Kind work) {
  if (states.size(2) != s.tiles())
    throw std::invalid_argument("states must be those of a forward with interval " +
                                std::to_string(kTileSteps) + ", " +
                                std::to_string(s.tiles()) + " of them, got " +
                                std::to_string(states.size(2)));
  return dense(states, work);
}

// A parameter as the kernels want it: contiguous, in the work type.
inline OptionalTensor parameter(const OptionalTensor& x, Kind work) {
  return x ? dense(*x, work) : OptionalTensor();
}
inline const void* data_or_null(const OptionalTensor& x) {
  return x ? x->const_data_ptr() : nullptr;
}

inline void run(const Scan& scan, Kernel kernel) {
  parallel_for(0, scan.tasks(), 1,
               [&](int64_t begin, int64_t end) { kernel(scan, begin, end); });
}
inline void run_forward(const Scan& scan, Kind work) {
  run(scan, work == Kind::f64 ? kernels().forward_f64 : kernels().forward_f32);
}
inline void run_backward(const Scan& scan, Kind work) {
  run(scan, work == Kind::f64 ? kernels().backward_f64 : kernels().backward_f32);
}

// Memory for what the backward kernel leaves of each batch item or block of channels.
class Partials {
 public:
  Partials(Scan* s, bool D, bool bias, Kind work) : bytes_(work == Kind::f64 ? 8 : 4) {
    s->least_block = 32;  // each block leaves `drows`
    const int64_t rows = s->batch * s->scans * s->channels;
    s->dA = take(rows * s->states);
    if (D) s->dD = take(rows);
    if (bias) s->dbias = take(rows);
    if (s->rank > 0) s->dweight = take(rows * s->rank);
    s->drows = take(s->blocks() * s->batch * s->scans * s->steps * s->row());
  }

 private:
  void* take(int64_t size) {
    memory_.emplace_back(new char[size * bytes_]);
    return memory_.back().get();
  }
  int64_t bytes_;
  std::vector<std::unique_ptr<char[]>> memory_;
};

// to[i] = the sum of from[i] over `count` arrays that lie `apart`, in double and in a
// fixed order.
template <class T>
void sum_arrays(const T* from, int64_t count, int64_t apart, int64_t size, T* to) {
  constexpr int64_t kSums = 16;  // side by side
  const auto sum = [&](int64_t i, auto width) {
    double sums[kSums] = {};
    for (int64_t j = 0; j < count; ++j)
      for (int64_t c = 0; c < width; ++c) sums[c] += double(from[j * apart + i + c]);
    for (int64_t c = 0; c < width; ++c) to[i + c] = T(sums[c]);
  };
  int64_t i = 0;
  for (; i + kSums <= size; i += kSums) sum(i, std::integral_constant<int64_t, kSums>());
  if (i < size) sum(i, size - i);
}

// Of `count` arrays that follow each other: a tensor of these sizes; empty where there
// are none.
inline Tensor sum_of(const void* arrays, int64_t count, Sizes sizes, Kind work) {
  if (!arrays) return empty({0}, work);
  Tensor total = empty(sizes, work);
  const int64_t size = total.numel();
  dispatch(work, [&](auto t, auto) {
    using T = decltype(t);
    const T* from = static_cast<const T*>(arrays);
    T* to = mutable_data<T>(total);
    parallel_for(0, size, 4096, [&](int64_t begin, int64_t end) {
      sum_arrays(from + begin, count, size, end - begin, to + begin);
    });
  });
  return total;
}

// The gradient of B, C or dt: `count` elements of each row of `s.drows`, from `first` on,
// added over the blocks; (b, k, position, row), or with the last two `swapped`.
inline Tensor sum_rows(const Scan& s, int64_t first, int64_t count, bool swapped,
                       Kind kind, Kind work) {
  Tensor total = swapped ? empty({s.batch, s.scans, count, s.steps}, kind)
                         : empty({s.batch, s.scans, s.steps, count}, kind);
  const auto run = [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    T* to = mutable_data<T>(total);
    const W* rows = static_cast<const W*>(s.drows) + first;
    const int64_t size = s.batch * s.scans * s.steps * s.row();
    parallel_for(0, s.batch * s.scans * s.steps, 256, [&](int64_t begin, int64_t end) {
      std::vector<W> sums(count);
      for (int64_t i = begin; i < end; ++i) {
        sum_arrays(rows + i * s.row(), s.blocks(), size, count, sums.data());
        const int64_t scan = i / s.steps, step = i % s.steps;
        T* out = to + (swapped ? scan * s.steps * count + step : i * count);
        for (int64_t c = 0; c < count; ++c) out[swapped ? c * s.steps : c] = T(sums[c]);
      }
    });
  };
  dispatch(kind, [&](auto t, auto) {
    if (work == Kind::f64)
      run(t, double());
    else
      run(t, float());
  });
  return total;
}

}  // namespace mmmambamixer
