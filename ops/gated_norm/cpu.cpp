// CPU kernels of mmmambamixer::gated_norm and its backward. A row, the features of a
// step, is read again for every pass over it, from the L1 cache; where steps are
// neighbours in memory, as behind a scan over the features, kRows of them are turned in a
// buffer.
//
// Axis letters: b batch, l step, d feature.
#include "../lanes.h"

namespace mmmambamixer {
namespace {

constexpr int64_t kRows = 16;    // that are worked on together: a block
constexpr int64_t kChunks = 64;  // at most, into which the blocks are cut for the sums

// x or dx: `turned` if steps are neighbours in memory, else features are.
template <class W>
struct Map {
  W* data = nullptr;
  bool turned = false;
};

// A call. All tensors are contiguous but for what a Map says.
template <class T, class W>
struct Norm {
  int64_t b, l, d, blocks;  // blocks: of an item of the batch
  double eps;
  Map<const W> x;
  const W *weight = nullptr, *bias = nullptr;
  const T *z = nullptr, *dy = nullptr;
  T* result = nullptr;  // y, or dz
  Map<W> dx;
  double* partial = nullptr;  // (chunk, dweight or dbias, d)

  Norm(const Tensor& x_, const Tensor& z_, const Tensor& weight_, const Tensor& bias_,
       double eps)
      : b(x_.size(0)), l(x_.size(1)), d(x_.size(2)), blocks((l + kRows - 1) / kRows),
        eps(eps), x{data<W>(x_), !x_.is_contiguous()}, weight(data<W>(weight_)),
        bias(data<W>(bias_)), z(data<T>(z_)) {}

  int64_t of_chunk() const {  // blocks; it depends on the sizes alone
    return std::max<int64_t>(1, (b * blocks + kChunks - 1) / kChunks);
  }
  int64_t chunks() const { return (b * blocks + of_chunk() - 1) / of_chunk(); }
  // Of the rows of a buffer: no multiple of 4 KiB.
  int64_t length() const { return ((d + kLanes - 1) / kLanes | 1) * kLanes; }
};

// Rows of a map, `length` apart.
template <class W>
struct Rows {
  W* data;
  int64_t length;

  W* operator[](int64_t i) const { return data + i * length; }
};

// The steps that are worked on together: `count` from `first` on, of all of the batch.
template <class T, class W>
struct Block {
  const Norm<T, W>& a;
  int64_t first, count, item;  // item: where it begins in a turned map

  Block(const Norm<T, W>& a, int64_t index) : a(a) {
    const int64_t b = index / a.blocks, i = index % a.blocks * kRows;
    first = b * a.l + i, count = std::min(kRows, a.l - i);
    item = b * a.l * a.d + i;
  }
  // The rows of a map, or those of a buffer if it is turned.
  template <class V, class U>
  Rows<V> rows(const Map<V>& map, U* buffer) const {
    if (map.turned) return {buffer, a.length()};
    return {map.data + first * a.d, a.d};
  }
  void read(const W* x, W* buffer) const {
    for (int64_t c = 0; c < a.d; ++c)
      for (int64_t i = 0; i < count; ++i)
        buffer[i * a.length() + c] = x[item + c * a.l + i];
  }
  void write(W* x, const W* buffer) const {
    for (int64_t c = 0; c < a.d; ++c)
      for (int64_t i = 0; i < count; ++i)
        x[item + c * a.l + i] = buffer[i * a.length() + c];
  }
};

template <class W>
struct Moments {
  W mean, rstd;
};

// The mean is the first number plus that of the differences from it: of equal numbers it
// is exact, and what is normalised 0.
template <class W>
MMMAMBAMIXER_INLINE Moments<W> moments(const W* x, int64_t d, double eps) {
  Lanes<W> total{}, squares{};
  const W first = x[0];
  by_lanes(d, [&](int64_t c, int64_t lanes) MMMAMBAMIXER_INLINED {
    total += load<W>(x + c, lanes, first) - first;
  });
  const W mean = first + sum<W>(total) / W(d);
  by_lanes(d, [&](int64_t c, int64_t lanes) MMMAMBAMIXER_INLINED {
    const Lanes<W> away = load<W>(x + c, lanes, mean) - mean;
    squares += away * away;
  });
  return {mean, W(1) / std::sqrt(sum<W>(squares) / W(d) + W(eps))};
}

template <class T, class W>
MMMAMBAMIXER_INLINE void forward_tasks(const Norm<T, W>& a, int64_t begin, int64_t end) {
  std::vector<W> buffer(kRows * a.length());
  for (int64_t index = begin; index < end; ++index) {
    const Block<T, W> block(a, index);
    if (a.x.turned) block.read(a.x.data, buffer.data());
    const auto rows = block.rows(a.x, buffer.data());
    for (int64_t i = 0; i < block.count; ++i) {
      const W* x = rows[i];
      const T* z = a.z + (block.first + i) * a.d;
      T* y = a.result + (block.first + i) * a.d;
      const Moments<W> m = moments(x, a.d, a.eps);
      by_lanes(a.d, [&](int64_t c, int64_t lanes) MMMAMBAMIXER_INLINED {
        const Lanes<W> gate = load<W>(z + c, lanes);
        const Lanes<W> n = (load<W>(x + c, lanes) - m.mean) * m.rstd;
        const Lanes<W> normed =
            n * load<W>(a.weight + c, lanes) + load<W>(a.bias + c, lanes);
        store<W>(y + c, normed * (gate * sigmoid(gate)), lanes);
      });
    }
  }
}

// With n what is normalised, before weight and bias, and h its gradient.
template <class T, class W>
struct Backward {
  using V = Lanes<W>;
  const Norm<T, W>& a;
  std::vector<W> buffer{std::vector<W>(kRows * a.length())};
  std::vector<W> h{std::vector<W>(a.length())};
  std::vector<W> dweight{std::vector<W>(a.length())}, dbias{std::vector<W>(a.length())};

  // `at` is where the row is in dy, z and dz.
  MMMAMBAMIXER_INLINE void row(const W* x, int64_t at, W* dx) {
    const T *z = a.z + at, *dy = a.dy + at;
    T* dz = a.result + at;
    W *dw = dweight.data(), *db = dbias.data(), *own = h.data();
    const Moments<W> m = moments(x, a.d, a.eps);
    V sum_h{}, sum_hn{};
    by_lanes(a.d, [&](int64_t c, int64_t lanes) MMMAMBAMIXER_INLINED {
      const V gate = load<W>(z + c, lanes), s = sigmoid(gate);
      const V above = load<W>(dy + c, lanes), below = above * (gate * s);
      const V weight = load<W>(a.weight + c, lanes), bias = load<W>(a.bias + c, lanes);
      const V n = (load<W>(x + c, lanes, m.mean) - m.mean) * m.rstd;
      const V slope = s * (1 + gate * (1 - s)), here = below * weight;
      store<W>(dz + c, above * (n * weight + bias) * slope, lanes);
      store<W>(dw + c, load<W>(dw + c) + below * n);
      store<W>(db + c, load<W>(db + c) + below);
      store<W>(own + c, here);
      sum_h += here;
      sum_hn += here * n;
    });
    const W mean_h = sum<W>(sum_h) / W(a.d), mean_hn = sum<W>(sum_hn) / W(a.d);
    by_lanes(a.d, [&](int64_t c, int64_t lanes) MMMAMBAMIXER_INLINED {
      const V n = (load<W>(x + c, lanes) - m.mean) * m.rstd;
      store<W>(dx + c, m.rstd * (load<W>(own + c) - mean_h - n * mean_hn), lanes);
    });
  }

  MMMAMBAMIXER_INLINE void run(const Block<T, W>& block, double* partial) {
    if (a.x.turned) block.read(a.x.data, buffer.data());
    const auto x = block.rows(a.x, buffer.data());
    const auto dx = block.rows(a.dx, buffer.data());  // over x, where both are there
    for (int64_t i = 0; i < block.count; ++i) row(x[i], (block.first + i) * a.d, dx[i]);
    if (a.dx.turned) block.write(a.dx.data, buffer.data());
    for (int64_t c = 0; c < a.d; ++c) {
      partial[c] += double(dweight[c]), partial[a.d + c] += double(dbias[c]);
      dweight[c] = dbias[c] = 0;
    }
  }
};

template <class T, class W>
MMMAMBAMIXER_INLINE void backward_tasks(const Norm<T, W>& a, int64_t begin, int64_t end) {
  Backward<T, W> backward{a};
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    const int64_t last = std::min((chunk + 1) * a.of_chunk(), a.b * a.blocks);
    for (int64_t index = chunk * a.of_chunk(); index < last; ++index)
      backward.run(Block<T, W>(a, index), a.partial + chunk * 2 * a.d);
  }
}

MMMAMBAMIXER_KERNELS(run_forward, forward_tasks)
MMMAMBAMIXER_KERNELS(run_backward, backward_tasks)

// x as the kernels read it: features or steps are neighbours, nothing lies between.
Tensor in_rows(const Tensor& x, Kind work) {
  const bool turned = x.stride(1) == 1 && x.stride(2) == x.size(1) &&
                      (x.size(0) == 1 || x.stride(0) == x.size(1) * x.size(2));
  return turned && code_of(x) == code_of(work) ? x : dense(x, work);
}

Tensor forward(const Tensor& x_, const Tensor& z_, const Tensor& weight_,
               const Tensor& bias_, double eps) {
  const Kind kind = kind_of(z_, "z"), work = work_kind(kind);
  const Tensor x = in_rows(x_, work), z = dense(z_, kind);
  const Tensor weight = dense(weight_, work), bias = dense(bias_, work);
  Tensor y = empty(z.sizes(), kind);
  dispatch(kind, [&](auto t, auto w) {
    using T = decltype(t);
    Norm<T, decltype(w)> norm(x, z, weight, bias, eps);
    norm.result = mutable_data<T>(y);
    if (y.numel()) run_forward(norm, norm.b * norm.blocks);
  });
  return y;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> backward(const Tensor& dy_, const Tensor& x_,
                                                    const Tensor& z_,
                                                    const Tensor& weight_,
                                                    const Tensor& bias_, double eps) {
  const Kind kind = kind_of(z_, "z"), work = work_kind(kind);
  const Tensor x = in_rows(x_, work), z = dense(z_, kind), dy = dense(dy_, kind);
  const Tensor weight = dense(weight_, work), bias = dense(bias_, work);
  const bool turned = x_.stride(1) < x_.stride(2);  // as its gradient is to lie
  Tensor dx = empty(x_.sizes(), work, turned), dz = empty(z.sizes(), kind);
  Tensor dweight = empty(weight.sizes(), work), dbias = empty(bias.sizes(), work);
  dispatch(kind, [&](auto t, auto w) {
    using T = decltype(t);
    using W = decltype(w);
    Norm<T, W> norm(x, z, weight, bias, eps);
    const int64_t size = 2 * norm.d;
    std::vector<double> partial(norm.chunks() * size), total(size);
    norm.dy = data<T>(dy), norm.result = mutable_data<T>(dz);
    norm.dx = {mutable_data<W>(dx), !dx.is_contiguous()};
    norm.partial = partial.data();
    if (dz.numel()) run_backward(norm, norm.chunks());
    for (size_t n = 0; n < partial.size(); ++n) total[n % size] += partial[n];
    W *out = mutable_data<W>(dweight), *offsets = mutable_data<W>(dbias);
    for (int64_t c = 0; c < norm.d; ++c)
      out[c] = W(total[c]), offsets[c] = W(total[norm.d + c]);
  });
  return {dx, dz, dweight, dbias};
}

STABLE_TORCH_LIBRARY_IMPL(mmmambamixer, CPU, m) {
  m.impl("gated_norm", TORCH_BOX(&forward));
  m.impl("gated_norm_backward", TORCH_BOX(&backward));
}

}  // namespace
}  // namespace mmmambamixer
