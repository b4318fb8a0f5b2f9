// The scan kernels, written on vectors of unknown width. Each cpu_*.cpp includes this file
// inside a namespace and under a target pragma of its own, so nothing here may define
// or instantiate anything outside of that namespace.
//
// The work is cut in tasks (batch, [scan], block of channels) and tiles of kTileSteps steps.
// A tile is first read into aligned buffers, channels contiguous, whatever its dtype,
// strides and order of visit; the recurrence itself knows only these.

constexpr int64_t kMaxBlock = 64;

#include "simd.h"
#include "tile.h"

// Aligned memory, zero at first. Kernels make theirs once for all of their tasks: where a
// sequence is short, fresh memory would cost more than its scan.
template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t size)
      : raw_(new char[(size + 1) * sizeof(T) + LANE_BYTES]()) {
    const auto address = reinterpret_cast<uintptr_t>(raw_);
    data_ = reinterpret_cast<T*>((address + LANE_BYTES - 1) / LANE_BYTES * LANE_BYTES);
  }
  ~Buffer() { delete[] raw_; }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  operator T*() const { return data_; }

 private:
  char* raw_;
  T* data_;
};

struct Task {
  int64_t b, k_begin, k_end, first, count, padded, block;
};

template <class T>
Task task_at(const Scan& s, int64_t index) {
  Task t;
  t.block = index % s.blocks();
  const int64_t scan = index / s.blocks() % s.scan_tasks();
  t.b = index / s.blocks() / s.scan_tasks();
  t.k_begin = s.scan_tasks() == 1 ? 0 : scan;
  t.k_end = s.scan_tasks() == 1 ? s.scans : scan + 1;
  t.first = t.block * s.block();
  t.count = s.channels - t.first < s.block() ? s.channels - t.first : s.block();
  t.padded = (t.count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
  return t;
}

// The parameters of one scan for one block of channels, inside those of `ParameterSets`.
template <class T>
struct Parameters {
  T *A, *D, *bias, *weight;  // A (n, ld), scaled for `decay`; weight (r, ld)

  void read(const Scan& s, const Task& task, int64_t k) const {
    const int64_t base = k * s.channels + task.first;
    for (int64_t c = 0; c < task.padded; ++c) {
      const bool real = c < task.count;
      for (int64_t n = 0; n < s.states; ++n)
        A[n * kMaxBlock + c] =
            real ? ((const T*)s.A)[(base + c) * s.states + n] * kExponentScale<T> : T(0);
      D[c] = real && s.D ? ((const T*)s.D)[base + c] : T(0);
      bias[c] = real && s.bias ? ((const T*)s.bias)[base + c] : T(0);
      for (int64_t r = 0; r < s.rank; ++r)
        weight[r * kMaxBlock + c] =
            real ? ((const T*)s.weight)[(base + c) * s.rank + r] : T(0);
    }
  }
};

// The parameters of all scans of a task; each row has `ld` channels. The next task, which
// may be another batch item with the same channels, finds them read.
template <class T>
struct ParameterSets {
  explicit ParameterSets(const Scan& s)
      : size_((s.states + s.rank + 2) * kMaxBlock), data_(s.scans * size_) {}

  Parameters<T> of(const Scan& s, int64_t k) const {
    T* A = data_ + k * size_;
    T* D = A + s.states * kMaxBlock;
    return {A, D, D + kMaxBlock, D + 2 * kMaxBlock};
  }
  void read(const Scan& s, const Task& task) {
    if (task.first == first_ && task.k_begin == k_begin_) return;
    first_ = task.first, k_begin_ = task.k_begin;
    for (int64_t k = task.k_begin; k < task.k_end; ++k) of(s, k).read(s, task, k);
  }

 private:
  int64_t size_, first_ = -1, k_begin_ = -1;
  Buffer<T> data_;
};

// One tile of the inputs: u, the step sizes and their derivative by what went into the
// softplus, all (t, ld); B and C, (t, n); dt, (t, r).
template <class T>
struct Inputs {
  explicit Inputs(const Scan& s)
      : u(kTileSteps * kMaxBlock), delta(kTileSteps * kMaxBlock),
        slope(kTileSteps * kMaxBlock), B(kTileSteps * s.states),
        C(kTileSteps * s.states), dt(kTileSteps * s.rank) {}

  void read(const Scan& s, const Task& task, int64_t k, const Visit& v,
            const Parameters<T>& p) {
    read_tile<T>(s.u, task.b, k, v, task.first, task.count, task.padded, u, kMaxBlock);
    read_tile<T>(s.B, task.b, k, v, 0, s.states, s.states, B, s.states);
    read_tile<T>(s.C, task.b, k, v, 0, s.states, s.states, C, s.states);
    if (s.rank > 0)
      read_tile<T>(s.delta, task.b, k, v, 0, s.rank, s.rank, dt, s.rank);
    else
      read_tile<T>(s.delta, task.b, k, v, task.first, task.count, task.padded, delta,
                   kMaxBlock);
    using V = typename Simd<T>::V;
    for (int64_t c = 0; c < task.padded; c += kLanes<T>) {
      if (s.rank > 0)
        for (int64_t t = 0; t < v.count; t += 4) expand_rank(*this, s, p, t, c);
      const V bias = load<T>(p.bias + c);
      for (int64_t t = 0; t < v.count; ++t) {
        V step = bias + load<T>(delta + t * kMaxBlock + c), slope_here = V{} + T(1);
        if (s.softplus) step = softplus(step, &slope_here);
        store<T>(delta + t * kMaxBlock + c, step);
        store<T>(slope + t * kMaxBlock + c, slope_here);
      }
    }
  }

  // delta = weight dt, for four steps from t (the tile has room for all of them)
  INLINE void expand_rank(Inputs& in, const Scan& s, const Parameters<T>& p, int64_t t,
                          int64_t c) {
    using V = typename Simd<T>::V;
    V sum[4] = {};
    for (int64_t r = 0; r < s.rank; ++r) {
      const V weight = load<T>(p.weight + r * kMaxBlock + c);
      for (int64_t i = 0; i < 4; ++i) sum[i] += weight * in.dt[(t + i) * s.rank + r];
    }
    for (int64_t i = 0; i < 4; ++i) store<T>(in.delta + (t + i) * kMaxBlock + c, sum[i]);
  }

  Buffer<T> u, delta, slope, B, C, dt;
};

// Cut 0..count into blocks of at most Most and call `run.template operator()<N>(first)`.
template <int Most, class Run>
INLINE void for_each_block(int64_t count, const Run& run, int64_t first = 0) {
  for (; first + Most <= count; first += Most) run.template operator()<Most>(first);
  if constexpr (Most > 1) for_each_block<Most / 2>(count, run, first);
}

// ---- Forward: h = 2^(delta A) h + delta u B, y += C h, for kLanes channels and N states.

template <class T>
struct ForwardTile {
  const T *A, *u, *delta, *B, *C;  // A, u, delta, y, h start at the first of the channels
  T *y, *h;
  int64_t steps, states;

  template <int N>
  void operator()(int64_t first) const {
    using V = typename Simd<T>::V;
    V state[N];
    for (int n = 0; n < N; ++n) state[n] = load<T>(h + (first + n) * kMaxBlock);
    for (int64_t t = 0; t < steps; ++t) {
      const V step = load<T>(delta + t * kMaxBlock);
      const V input = step * load<T>(u + t * kMaxBlock);
      const T *Bt = B + t * states + first, *Ct = C + t * states + first;
      V even = load<T>(y + t * kMaxBlock), odd{};
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) {
        const V a = decay(step * load<T>(A + (first + n) * kMaxBlock));
        state[n] = a * state[n] + input * Bt[n];
        (n & 1 ? odd : even) += state[n] * Ct[n];
      }
      store<T>(y + t * kMaxBlock, even + odd);
    }
    for (int n = 0; n < N; ++n) store<T>(h + (first + n) * kMaxBlock, state[n]);
  }
};

template <class T>
T* kept_state(const Scan& s, const Task& task, int64_t k, int64_t tile) {
  const int64_t at = ((task.b * s.scans + k) * s.tiles() + tile) * s.states;
  return (T*)s.states_kept + at * s.channels + task.first;
}

template <class T>
void keep_state(const Scan& s, const Task& task, int64_t k, int64_t tile, const T* h) {
  T* kept = kept_state<T>(s, task, k, tile);
  for (int64_t n = 0; n < s.states; ++n)
    std::memcpy(kept + n * s.channels, h + n * kMaxBlock, task.count * sizeof(T));
}

template <class T>
struct ForwardMemory {
  explicit ForwardMemory(const Scan& s)
      : sets(s), in(s), h(s.states * kMaxBlock), y(kTileSteps * kMaxBlock) {}

  ParameterSets<T> sets;
  Inputs<T> in;
  Buffer<T> h, y;  // (n, ld), (t, ld)
};

template <class T>
void forward_task(const Scan& s, const Task& task, ForwardMemory<T>& m) {
  using V = typename Simd<T>::V;
  Inputs<T>& in = m.in;
  T *h = m.h, *y = m.y;
  m.sets.read(s, task);
  for (int64_t k = task.k_begin; k < task.k_end; ++k) {
    const Parameters<T> p = m.sets.of(s, k);
    std::memset(h, 0, s.states * kMaxBlock * sizeof(T));
    for (int64_t first = 0; first < s.steps; first += kTileSteps) {
      const Visit v = visit(s, k, first);
      if (s.keep) keep_state<T>(s, task, k, first / kTileSteps, h);
      in.read(s, task, k, v, p);
      for (int64_t c = 0; c < task.padded; c += kLanes<T>) {
        const V skip = load<T>(p.D + c);
        for (int64_t t = 0; t < v.count; ++t)
          store<T>(y + t * kMaxBlock + c, skip * load<T>(in.u + t * kMaxBlock + c));
        ForwardTile<T> tile{p.A + c, in.u + c, in.delta + c, in.B, in.C,
                            y + c,   h + c,    v.count,      s.states};
        for_each_block<16>(s.states, tile);
      }
      write_tile<T>(s.y, task.b, k, v, task.first, task.count, y, kMaxBlock,
                    s.merge && k > 0);
    }
    if (s.last_state) {
      T* last = (T*)s.last_state +
                ((task.b * s.scans + k) * s.channels + task.first) * s.states;
      for (int64_t c = 0; c < task.count; ++c)
        for (int64_t n = 0; n < s.states; ++n)
          last[c * s.states + n] = h[n * kMaxBlock + c];
    }
  }
}

template <class T>
void forward(const Scan& s, int64_t begin, int64_t end) {
  ForwardMemory<T> memory(s);
  for (int64_t i = begin; i < end; ++i) forward_task<T>(s, task_at<T>(s, i), memory);
}

// ---- Backward. With g the gradient of h_t: g = 2^(delta A) g_next + dy C, and every
// gradient is g times what the forward multiplied. The states of a tile are recomputed from
// the one kept at its start; nothing is ever divided by a decay.

constexpr int kBackwardStates = 4;  // worked on at a time, in registers,
constexpr int kBackwardVectors = LANE_BYTES == 64 ? 2 : 1;  // of so many vectors

template <class T>
struct BackwardTile {
  const T *A, *u, *delta, *B, *C, *dy, *start;
  T *g, *du_step, *dexponent;  // sum_n g B, (t, ld); sum_n g decay h_{t-1} A, (t, ld)
  T *dA;                       // (n, ld), of this tile
  T *dB, *dC;                  // (t, n, lanes): summed over vectors, then over lanes
  T *h, *a;                    // (t + 1, n, m, lanes), (t, n, m, lanes)
  int64_t steps, states, channels;

  template <int N>
  void operator()(int64_t first) const {
    int64_t c = 0;
    for (; c + kBackwardVectors * kLanes<T> <= channels; c += kBackwardVectors * kLanes<T>)
      run<N, kBackwardVectors>(first, c);
    for (; c < channels; c += kLanes<T>) run<N, 1>(first, c);
  }

  // N states of M vectors, from channel c.
  template <int N, int M>
  void run(int64_t first, int64_t c) const {
    using V = typename Simd<T>::V;
    constexpr int64_t L = kLanes<T>;
    const auto at = [c](int64_t row, int m) { return row * kMaxBlock + c + m * L; };
    const auto slot = [](int64_t t, int n, int m) { return ((t * N + n) * M + m) * L; };
    V state[N][M], sum_dA[N][M], step[M], input[M];
    for (int n = 0; n < N; ++n)
      for (int m = 0; m < M; ++m) {
        state[n][m] = load<T>(start + at(first + n, m));
        store<T>(h + slot(0, n, m), state[n][m]);
      }
    for (int64_t t = 0; t < steps; ++t) {
      const T* Bt = B + t * states + first;
      for (int m = 0; m < M; ++m) {
        step[m] = load<T>(delta + at(t, m));
        input[m] = step[m] * load<T>(u + at(t, m));
      }
      for (int n = 0; n < N; ++n)
        for (int m = 0; m < M; ++m) {
          const V decayed = decay(step[m] * load<T>(A + at(first + n, m)));
          state[n][m] = decayed * state[n][m] + input[m] * Bt[n];
          store<T>(a + slot(t, n, m), decayed);
          store<T>(h + slot(t + 1, n, m), state[n][m]);
        }
    }
    for (int n = 0; n < N; ++n)
      for (int m = 0; m < M; ++m) {
        state[n][m] = load<T>(g + at(first + n, m));
        sum_dA[n][m] = V{};
      }
    for (int64_t t = steps - 1; t >= 0; --t) {
      const T *Bt = B + t * states + first, *Ct = C + t * states + first;
      T *dBt = dB + (t * states + first) * L, *dCt = dC + (t * states + first) * L;
      V dyt[M], with_B[M], with_A[M];
      for (int m = 0; m < M; ++m) {
        step[m] = load<T>(delta + at(t, m));
        input[m] = step[m] * load<T>(u + at(t, m));
        dyt[m] = load<T>(dy + at(t, m));
        with_B[m] = first ? load<T>(du_step + at(t, m)) : V{};
        with_A[m] = first ? load<T>(dexponent + at(t, m)) : V{};
      }
      for (int n = 0; n < N; ++n) {
        V sum_dB = c ? load<T>(dBt + n * L) : V{}, sum_dC = c ? load<T>(dCt + n * L) : V{};
        for (int m = 0; m < M; ++m) {
          const V gradient = state[n][m] + dyt[m] * Ct[n];
          sum_dC += dyt[m] * load<T>(h + slot(t + 1, n, m));
          sum_dB += gradient * input[m];
          with_B[m] += gradient * Bt[n];
          state[n][m] = gradient * load<T>(a + slot(t, n, m));
          const V q = state[n][m] * load<T>(h + slot(t, n, m));
          with_A[m] += q * load<T>(A + at(first + n, m));
          sum_dA[n][m] += q * step[m];
        }
        store<T>(dBt + n * L, sum_dB);
        store<T>(dCt + n * L, sum_dC);
      }
      for (int m = 0; m < M; ++m) {
        store<T>(du_step + at(t, m), with_B[m]);
        store<T>(dexponent + at(t, m), with_A[m]);
      }
    }
    for (int n = 0; n < N; ++n)
      for (int m = 0; m < M; ++m) {
        store<T>(g + at(first + n, m), state[n][m]);
        store<T>(dA + at(first + n, m), sum_dA[n][m]);
      }
  }
};

// The gradients of `delta = weight dt` from that of delta, for R ranks.
template <class T>
struct RankTile {
  const T *ddelta, *weight, *dt;  // (t, ld), (r, ld), (t, r)
  T *dweight, *ddt;               // (r, ld), of this tile; (t, r, lanes), as dB
  int64_t steps, rank, channels;

  template <int R>
  void operator()(int64_t first) const {
    using V = typename Simd<T>::V;
    constexpr int64_t L = kLanes<T>;
    for (int64_t c = 0; c < channels; c += L) {
      V sum[R] = {};
      for (int64_t t = 0; t < steps; ++t) {
        const V gradient = load<T>(ddelta + t * kMaxBlock + c);
        for (int r = 0; r < R; ++r) sum[r] += gradient * dt[t * rank + first + r];
      }
      for (int r = 0; r < R; ++r) store<T>(dweight + (first + r) * kMaxBlock + c, sum[r]);
    }
    for (int64_t t = 0; t < steps; ++t) {
      V sum[R] = {};
      for (int64_t c = 0; c < channels; c += L) {
        const V gradient = load<T>(ddelta + t * kMaxBlock + c);
        for (int r = 0; r < R; ++r)
          sum[r] += gradient * load<T>(weight + (first + r) * kMaxBlock + c);
      }
      for (int r = 0; r < R; ++r) store<T>(ddt + (t * rank + first + r) * L, sum[r]);
    }
  }
};

// Sums over the steps of one scan, kept in double: the longest sums of the backward.
template <class T>
struct Sums {
  explicit Sums(int64_t rows) : rows(rows), tile(rows * kMaxBlock), total(rows * kMaxBlock) {}

  void clear_total() { std::memset(total, 0, rows * kMaxBlock * sizeof(double)); }
  void add_tile(int64_t width) {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t c = 0; c < width; ++c)
        total[i * kMaxBlock + c] += double(tile[i * kMaxBlock + c]);
  }
  // out (d, row) for this task's channels
  void write(const Scan& s, const Task& task, int64_t k, void* out) const {
    if (!out) return;
    T* at = (T*)out + ((task.b * s.scans + k) * s.channels + task.first) * rows;
    for (int64_t c = 0; c < task.count; ++c)
      for (int64_t i = 0; i < rows; ++i) at[c * rows + i] = T(total[i * kMaxBlock + c]);
  }

  int64_t rows;
  Buffer<T> tile;
  Buffer<double> total;
};

// rows[t * row + first + i] = sum of the lanes of x (t, i, lanes), for t < steps, i < count.
template <class T>
void gather_rows(const T* x, int64_t steps, int64_t count, int64_t first, int64_t row,
                 T* sums, T* rows) {
  sum_lanes_of<T>(x, (steps * count + kLanes<T> - 1) / kLanes<T> * kLanes<T>, sums);
  for (int64_t t = 0; t < steps; ++t)
    for (int64_t i = 0; i < count; ++i) rows[t * row + first + i] = sums[t * count + i];
}

template <class T>
struct BackwardMemory {
  explicit BackwardMemory(const Scan& s)
      : sets(s), in(s), dy(kTileSteps * kMaxBlock), du(kTileSteps * kMaxBlock),
        ddelta(kTileSteps * kMaxBlock), dexponent(kTileSteps * kMaxBlock),
        start(s.states * kMaxBlock), g(s.states * kMaxBlock),
        h((kTileSteps + 1) * kBackwardStates * kBackwardVectors * kLanes<T>),
        a(kTileSteps * kBackwardStates * kBackwardVectors * kLanes<T>),
        dB(kTileSteps * s.states * kLanes<T>), dC(kTileSteps * s.states * kLanes<T>),
        ddt(kTileSteps * s.rank * kLanes<T>), sums(kTileSteps * (2 * s.states + s.rank)),
        rows(kTileSteps * (2 * s.states + s.rank)), dA(s.states), dD(1), dbias(1),
        dweight(s.rank) {}

  ParameterSets<T> sets;
  Inputs<T> in;
  Buffer<T> dy, du, ddelta, dexponent;  // (t, ld)
  Buffer<T> start, g;                   // (n, ld)
  Buffer<T> h, a, dB, dC, ddt;          // see BackwardTile; ddt (t, r, lanes), as dB
  Buffer<T> sums, rows;
  Sums<T> dA, dD, dbias, dweight;
};

template <class T>
void backward_task(const Scan& s, const Task& task, BackwardMemory<T>& m) {
  using V = typename Simd<T>::V;
  constexpr int64_t L = kLanes<T>;
  const int64_t N = s.states;
  Inputs<T>& in = m.in;
  T *dy = m.dy, *du = m.du, *ddelta = m.ddelta, *dexponent = m.dexponent;
  T *start = m.start, *g = m.g, *dB = m.dB, *dC = m.dC, *ddt = m.ddt, *rows = m.rows;
  Sums<T>&dA = m.dA, &dD = m.dD, &dbias = m.dbias, &dweight = m.dweight;
  const int64_t row = 2 * N + s.rank;
  const View drows{s.drows, sizeof(T) == 8 ? Kind::f64 : Kind::f32,
                   s.scans * s.steps * row, s.steps * row, row, 1};

  m.sets.read(s, task);
  std::memset(start, 0, N * kMaxBlock * sizeof(T));  // lanes that are no channel stay 0
  for (int64_t k = task.k_begin; k < task.k_end; ++k) {
    const Parameters<T> p = m.sets.of(s, k);
    dA.clear_total(), dD.clear_total(), dbias.clear_total(), dweight.clear_total();
    std::memset(g, 0, N * kMaxBlock * sizeof(T));
    if (s.dlast_state) {
      const T* last = (const T*)s.dlast_state +
                      ((task.b * s.scans + k) * s.channels + task.first) * N;
      for (int64_t c = 0; c < task.count; ++c)
        for (int64_t n = 0; n < N; ++n) g[n * kMaxBlock + c] = last[c * N + n];
    }
    for (int64_t index = s.tiles() - 1; index >= 0; --index) {
      const Visit v = visit(s, k, index * kTileSteps);
      in.read(s, task, k, v, p);
      read_tile<T>(s.y, task.b, k, v, task.first, task.count, task.padded, dy, kMaxBlock);
      const T* kept = kept_state<T>(s, task, k, index);
      for (int64_t n = 0; n < N; ++n)
        std::memcpy(start + n * kMaxBlock, kept + n * s.channels, task.count * sizeof(T));
      BackwardTile<T> tile{p.A, in.u, in.delta,  in.B, in.C, dy,  start, g, du,
                           dexponent, dA.tile, dB, dC, m.h, m.a, v.count, N, task.padded};
      for_each_block<kBackwardStates>(N, tile);
      for (int64_t c = 0; c < task.padded; c += L) {
        const V skip = load<T>(p.D + c);
        V sum_dD{}, sum_dbias{};
        for (int64_t t = 0; t < v.count; ++t) {
          const int64_t at = t * kMaxBlock + c;
          const V with_B = load<T>(du + at), ut = load<T>(in.u + at), dyt = load<T>(dy + at);
          const V draw = (with_B * ut + load<T>(dexponent + at) / kExponentScale<T>) *
                         load<T>(in.slope + at);
          store<T>(du + at, with_B * load<T>(in.delta + at) + skip * dyt);
          store<T>(ddelta + at, draw);
          sum_dD += dyt * ut;
          sum_dbias += draw;
        }
        store<T>(dD.tile + c, sum_dD);
        store<T>(dbias.tile + c, sum_dbias);
      }
      const RankTile<T> ranks{ddelta,  p.weight, in.dt,     dweight.tile,
                              ddt,     v.count,  s.rank,    task.padded};
      for_each_block<4>(s.rank, ranks);
      dA.add_tile(task.padded), dD.add_tile(task.padded);
      dbias.add_tile(task.padded), dweight.add_tile(task.padded);

      gather_rows<T>(dB, v.count, N, 0, row, m.sums, rows);
      gather_rows<T>(dC, v.count, N, N, row, m.sums, rows);
      gather_rows<T>(ddt, v.count, s.rank, 2 * N, row, m.sums, rows);
      write_tile<T>(drows, task.block * s.batch + task.b, k, v, 0, row, rows, row, false);
      write_tile<T>(s.du, task.b, k, v, task.first, task.count, du, kMaxBlock,
                    s.share_du && k > 0);
      if (s.rank == 0)
        write_tile<T>(s.ddelta, task.b, k, v, task.first, task.count, ddelta, kMaxBlock,
                      false);
    }
    dA.write(s, task, k, s.dA), dD.write(s, task, k, s.dD);
    dbias.write(s, task, k, s.dbias), dweight.write(s, task, k, s.dweight);
  }
}

template <class T>
void backward(const Scan& s, int64_t begin, int64_t end) {
  BackwardMemory<T> memory(s);
  for (int64_t i = begin; i < end; ++i) backward_task<T>(s, task_at<T>(s, i), memory);
}
