// CPU kernels of mmmambamixer::scan_conv and its backward. Features are contiguous, so a
// tap is a row times a row, or times a number; rows are worked on by kLanes features,
// whose sum stays in registers over all taps. The loops are plain C++: the compiler
// vectorises them once for each instruction set.
//
// Axis letters: b batch, k scan, i step, c feature, r steps back in the order of a scan.
#include <numeric>

#include "../lanes.h"

namespace mmmambamixer {
namespace {

constexpr int64_t kBlock = 256;         // features of a task
constexpr int64_t kProducts = 1 << 16;  // of a task, about; small items share one
constexpr int64_t kChunks = 64;         // at most, into which the batch is cut
constexpr int64_t kSums = 64;           // that are added before their sum goes to double

// A call; all tensors are contiguous. What a task is depends on the sizes alone, never on
// the number of threads, so that the order of sums does not either.
//
// The filters are rows of `width` numbers: one for each feature, or kLanes equal ones.
template <class T, class W>
struct Conv {
  const int64_t* routes;
  bool silu, each;
  int64_t b, l, d, g, t, blocks, items, chunks, width;
  const T *v = nullptr, *dy = nullptr;
  const W *weight = nullptr, *bias = nullptr;  // (k, tap, width), (k, width)
  T* result = nullptr;                         // y, or dv
  double* partial = nullptr;  // (chunk, k, tap or bias, columns): the sums of each chunk

  Conv(const Tensor& v_, const Tensor& weight_, const Integers& routes_, bool silu)
      : routes(routes_.data()), silu(silu), each(weight_.dim() == 3), b(v_.size(0)),
        l(v_.size(1)), d(v_.size(2)), g(weight_.size(0)), t(weight_.size(1)),
        blocks((d + kBlock - 1) / kBlock), width(each ? d : kLanes), v(data<T>(v_)) {
    const int64_t products = std::max<int64_t>(1, g * l * t * std::min(d, kBlock));
    items = std::max(kProducts / products, (b + kChunks - 1) / kChunks);
    items = std::max<int64_t>(items, 1);
    chunks = (b + items - 1) / items;
  }

  bool turned(int64_t k) const { return routes[k] >= 2; }
  int64_t back(int64_t k) const { return turned(k) ? d : -d; }  // to the step before
  // Steps before, or after, step i in the order of the scan that a filter reaches.
  int64_t before(int64_t k, int64_t i) const {
    return std::min(t - 1, turned(k) ? l - 1 - i : i);
  }
  int64_t after(int64_t k, int64_t i) const {
    return std::min(t - 1, turned(k) ? i : l - 1 - i);
  }
  // Tap r steps back of scan k, and the bias, from feature c on.
  const W* tap(int64_t k, int64_t r, int64_t c) const {
    return weight + (k * t + t - 1 - r) * width + (each ? c : 0);
  }
  const W* offset(int64_t k, int64_t c) const {
    return bias + k * width + (each ? c : 0);
  }
  int64_t sums() const { return g * (t + 1); }
  int64_t columns() const { return each ? d : blocks * kLanes; }
  int64_t tasks() const { return chunks * blocks; }
};

// What task `index` of a call works on: features [first, first + count) of the items
// [begin, end) of the batch.
struct Part {
  int64_t block, chunk, first, count, begin, end;

  template <class T, class W>
  Part(const Conv<T, W>& a, int64_t index)
      : block(index % a.blocks), chunk(index / a.blocks), first(block * kBlock),
        count(std::min(kBlock, a.d - first)), begin(chunk * a.items),
        end(std::min(a.b, begin + a.items)) {}
};

// total = bias + filter x. Row r of x lies r * back from x, row r of the filter r * width
// before it.
template <class T, class W>
MMMAMBAMIXER_INLINE Lanes<W> convolve(const T* x, int64_t back, const W* filter,
                                      int64_t width, const W* bias, int64_t reach,
                                      int64_t lanes) {
  Lanes<W> total = load<W>(bias, lanes);
  for (int64_t r = 0; r <= reach; ++r)
    total += load<W>(filter - r * width, lanes) * load<W>(x + r * back, lanes);
  return total;
}

template <class T, class W>
MMMAMBAMIXER_INLINE void forward_tasks(const Conv<T, W>& a, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    const int64_t k = task % a.g;
    const Part p(a, task / a.g);
    for (int64_t row = p.begin * a.l; row < p.end * a.l; ++row) {
      const int64_t b = row / a.l, i = row % a.l, reach = a.before(k, i);
      const T* x = a.v + row * a.d + p.first;
      T* y = a.result + ((b * a.g + k) * a.l + i) * a.d + p.first;
      by_lanes(p.count, [&](int64_t c, int64_t lanes) MMMAMBAMIXER_INLINED {
        Lanes<W> total = convolve(x + c, a.back(k), a.tap(k, 0, p.first + c), a.width,
                                  a.offset(k, p.first + c), reach, lanes);
        if (a.silu) total *= sigmoid(total);
        store<W>(y + c, total, lanes);
      });
    }
  }
}

// The backward of one task. With s the sums of a step, before the activation: the rows of
// ds that a step needs are kept, t of them for each scan.
template <class T, class W>
struct Backward {
  const Conv<T, W>& a;
  Part p;
  // Rows have an odd number of kLanes, as rows that lie 4 KiB apart wait for each other's
  // stores.
  int64_t length = ((std::min(a.d, kBlock) + kLanes - 1) / kLanes | 1) * kLanes;
  int64_t sum_length = a.each ? length : kLanes;
  std::vector<W> ds{std::vector<W>(a.g * a.t * length)};
  std::vector<W> sums{std::vector<W>(a.sums() * sum_length)};  // (k, tap or bias, c)
  std::vector<const W*> rows{std::vector<const W*>(a.g * a.t)};
  std::vector<const W*> taps{std::vector<const W*>(a.g * a.t)};

  W* ds_row(int64_t k, int64_t i) { return ds.data() + (k * a.t + i % a.t) * length; }

  // ds of step i of scan k, and what it adds to the gradients of taps and bias.
  MMMAMBAMIXER_INLINE void read(int64_t b, int64_t k, int64_t i) {
    const int64_t reach = a.before(k, i), back = a.back(k);
    const T* x = a.v + (b * a.l + i) * a.d + p.first;
    const T* dy = a.dy + ((b * a.g + k) * a.l + i) * a.d + p.first;
    W *out = ds_row(k, i), *own = sums.data() + k * (a.t + 1) * sum_length;
    by_lanes(p.count, [&](int64_t c, int64_t lanes) MMMAMBAMIXER_INLINED {
      Lanes<W> slope = load<W>(dy + c, lanes);
      if (a.silu) {
        const Lanes<W> total = convolve(x + c, back, a.tap(k, 0, p.first + c), a.width,
                                        a.offset(k, p.first + c), reach, lanes);
        const Lanes<W> s = sigmoid(total);
        slope *= s * (1 + total * (1 - s));
      }
      store<W>(out + c, slope);
      W* sum = own + (a.each ? c : 0);
      for (int64_t r = 0; r <= reach; ++r) {
        W* tap = sum + (a.t - 1 - r) * sum_length;
        store<W>(tap, load<W>(tap) + slope * load<W>(x + c + r * back, lanes));
      }
      sum += a.t * sum_length;
      store<W>(sum, load<W>(sum) + slope);
    });
  }

  // dv of step i, which the steps after it in the order of each scan have read.
  MMMAMBAMIXER_INLINE void write(int64_t b, int64_t i) {
    int64_t count = 0;
    for (int64_t k = 0; k < a.g; ++k)
      for (int64_t r = 0; r <= a.after(k, i); ++r, ++count) {
        rows[count] = ds_row(k, a.turned(k) ? i - r : i + r);
        taps[count] = a.tap(k, r, p.first);
      }
    T* dv = a.result + (b * a.l + i) * a.d + p.first;
    by_lanes(p.count, [&](int64_t c, int64_t lanes) MMMAMBAMIXER_INLINED {
      Lanes<W> total{};
      for (int64_t n = 0; n < count; ++n)
        total += load<W>(taps[n] + (a.each ? c : 0), lanes) * load<W>(rows[n] + c);
      store<W>(dv + c, total, lanes);
    });
  }

  // Add the sums to those of the chunk, and set them to 0.
  MMMAMBAMIXER_INLINE void flush() {
    const int64_t columns = a.columns(), count = a.each ? p.count : kLanes;
    double* total =
        a.partial + p.chunk * a.sums() * columns + (a.each ? p.first : p.block * kLanes);
    for (int64_t n = 0; n < a.sums(); ++n)
      for (int64_t c = 0; c < count; ++c) {
        total[n * columns + c] += double(sums[n * sum_length + c]);
        sums[n * sum_length + c] = 0;
      }
  }

  MMMAMBAMIXER_INLINE void run() {
    const int64_t steps = a.each ? kSums : kSums * kLanes / kBlock;
    int64_t added = 0;
    for (int64_t b = p.begin; b < p.end; ++b) {
      for (int64_t i = 1 - a.t; i < a.l; ++i) {
        for (int64_t k = 0; k < a.g; ++k) {
          const int64_t next = a.turned(k) ? i : i + a.t - 1;
          if (next >= 0 && next < a.l) read(b, k, next);
        }
        if (i >= 0) write(b, i);
        if (++added % steps == 0) flush();
      }
    }
    flush();
  }
};

template <class T, class W>
MMMAMBAMIXER_INLINE void backward_tasks(const Conv<T, W>& a, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) Backward<T, W>{a, Part(a, task)}.run();
}

MMMAMBAMIXER_KERNELS(run_forward, forward_tasks)
MMMAMBAMIXER_KERNELS(run_backward, backward_tasks)

// A filter as Conv wants it: rows of one number for each feature, or of kLanes equal
// ones.
template <class W>
struct Rows {
  Rows(const Tensor& filter, bool each, Kind work) : own(dense(filter, work)) {
    if (each) return;
    const W* from = mmmambamixer::data<W>(own);
    for (int64_t n = 0; n < own.numel(); ++n)
      copies.insert(copies.end(), kLanes, from[n]);
  }
  const W* data() const {
    return copies.empty() ? mmmambamixer::data<W>(own) : copies.data();
  }

  Tensor own;
  std::vector<W> copies;
};

Tensor forward(const Tensor& v_, const Tensor& weight_, const Tensor& bias_,
               const Integers& routes, bool silu) {
  const Kind kind = kind_of(v_, "v"), work = work_kind(kind);
  const Tensor v = dense(v_, kind);
  Tensor y = empty({v.size(0), weight_.size(0), v.size(1), v.size(2)}, kind);
  dispatch(kind, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    Conv<T, W> conv(v, weight_, routes, silu);
    const Rows<W> weight(weight_, conv.each, work), bias(bias_, conv.each, work);
    conv.weight = weight.data(), conv.bias = bias.data();
    conv.result = mutable_data<T>(y);
    run_forward(conv, conv.tasks() * conv.g);
  });
  return y;
}

// Write the sums of all chunks: one for each feature, or of all features.
template <class T, class W>
void write_sums(const Conv<T, W>& a, const std::vector<double>& partial, W* taps,
                W* bias) {
  const int64_t columns = a.columns(), size = a.sums() * columns;
  std::vector<double> total(size);
  for (int64_t chunk = 0; chunk < a.chunks; ++chunk)
    for (int64_t n = 0; n < size; ++n) total[n] += partial[chunk * size + n];
  for (int64_t n = 0; n < a.sums(); ++n) {
    W*& out = n % (a.t + 1) < a.t ? taps : bias;
    const double* row = total.data() + n * columns;
    if (a.each)
      for (int64_t c = 0; c < columns; ++c) *out++ = W(row[c]);
    else
      *out++ = W(std::accumulate(row, row + columns, 0.0));
  }
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dy_, const Tensor& v_,
                                            const Tensor& weight_, const Tensor& bias_,
                                            const Integers& routes, bool silu) {
  const Kind kind = kind_of(v_, "v"), work = work_kind(kind);
  const Tensor v = dense(v_, kind), dy = dense(dy_, kind);
  Tensor dv = empty(v.sizes(), kind);
  Tensor dweight = empty(weight_.sizes(), work), dbias = empty(bias_.sizes(), work);
  dispatch(kind, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    Conv<T, W> conv(v, weight_, routes, silu);
    const Rows<W> weight(weight_, conv.each, work), bias(bias_, conv.each, work);
    std::vector<double> partial(conv.chunks * conv.sums() * conv.columns());
    conv.weight = weight.data(), conv.bias = bias.data();
    conv.dy = data<T>(dy);
    conv.result = mutable_data<T>(dv);
    conv.partial = partial.data();
    run_backward(conv, conv.tasks());
    write_sums(conv, partial, mutable_data<W>(dweight), mutable_data<W>(dbias));
  });
  return {dv, dweight, dbias};
}

STABLE_TORCH_LIBRARY_IMPL(mmmambamixer, CPU, m) {
  m.impl("scan_conv", TORCH_BOX(&forward));
  m.impl("scan_conv_backward", TORCH_BOX(&backward));
}

}  // namespace
}  // namespace mmmambamixer
