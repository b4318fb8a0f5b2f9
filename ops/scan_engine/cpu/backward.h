// The backward scan. With g the gradient of h_t: g = 2^(delta A) g_next + dy C, and every
// gradient is g times what the forward multiplied. The states of a tile are recomputed
// from the one kept at its start; nothing is ever divided by a decay.
//
// Included inside the namespace of one instruction set; see engine_impl.h.

constexpr int kBackwardStates = 4;  // worked on at a time, in registers,
constexpr int kBackwardVectors = LANE_BYTES == 64 ? 2 : 1;  // of so many vectors

template <class T>
struct BackwardTile {
  const T *A, *u, *delta, *B, *C, *dy, *start;
  T *g, *du_step, *dexponent;  // sum_n g B, (t, ld); sum_n g decay h_{t-1} A, (t, ld)
  T* dA;                       // (n, ld), of this tile
  T *dB, *dC;                  // (t, n, lanes): summed over vectors, then over lanes
  T *h, *a;                    // (t + 1, n, m, lanes), (t, n, m, lanes)
  int64_t steps, states, channels;

  template <int N>
  void operator()(int64_t first) const {
    int64_t c = 0;
    for (; c + kBackwardVectors * kLanes<T> <= channels;
         c += kBackwardVectors * kLanes<T>)
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
        V sum_dB = c ? load<T>(dBt + n * L) : V{},
          sum_dC = c ? load<T>(dCt + n * L) : V{};
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
  explicit Sums(int64_t rows)
      : rows(rows), tile(rows * kMaxBlock), total(rows * kMaxBlock) {}

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

// rows[t * row + first + i] = sum of the lanes of x (t, i, lanes); t < steps, i < count.
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
        ddt(kTileSteps * s.rank * kLanes<T>), sums(kTileSteps * s.row()),
        rows(kTileSteps * s.row()), dA(s.states), dD(1), dbias(1), dweight(s.rank) {}

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
  const int64_t row = s.row();
  const View drows{s.drows,
                   sizeof(T) == 8 ? Kind::f64 : Kind::f32,
                   s.scans * s.steps * row,
                   s.steps * row,
                   row,
                   1};

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
      in.template read<true>(s, task, k, v, p);
      read_tile<T>(s.y, task.b, k, v, task.first, task.count, task.padded, dy, kMaxBlock);
      const T* kept = kept_state<T>(s, task, k, index);
      for (int64_t n = 0; n < N; ++n)
        std::memcpy(start + n * kMaxBlock, kept + n * s.channels, task.count * sizeof(T));
      BackwardTile<T> tile{p.A,   in.u, in.delta, in.B,      in.C,    dy,
                           start, g,    du,       dexponent, dA.tile, dB,
                           dC,    m.h,  m.a,      v.count,   N,       task.padded};
      for_each_block<kBackwardStates>(N, tile);
      for (int64_t c = 0; c < task.padded; c += L) {
        const V skip = load<T>(p.D + c);
        V sum_dD{}, sum_dbias{};
        for (int64_t t = 0; t < v.count; ++t) {
          const int64_t at = t * kMaxBlock + c;
          const V with_B = load<T>(du + at), ut = load<T>(in.u + at),
                  dyt = load<T>(dy + at);
          const V draw = (with_B * ut + load<T>(dexponent + at) /
                                            kExponentScale<T>)*load<T>(in.slope + at);
          store<T>(du + at, with_B * load<T>(in.delta + at) + skip * dyt);
          store<T>(ddelta + at, draw);
          sum_dD += dyt * ut;
          sum_dbias += draw;
        }
        store<T>(dD.tile + c, sum_dD);
        store<T>(dbias.tile + c, sum_dbias);
      }
      const RankTile<T> ranks{ddelta, p.weight, in.dt,  dweight.tile,
                              ddt,    v.count,  s.rank, task.padded};
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
