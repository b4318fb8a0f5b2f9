// The backward scan. With g the gradient of h_t: g = 2^(delta A) g_next + dy C, and every
// gradient is g times what the forward multiplied. The states of a tile are recomputed
// from the one kept at its start; nothing is ever divided by a decay.
//
// Included inside the namespace of one instruction set; see engine_impl.h.

// A group of channels, so many vectors, goes through a tile together, and a pair of its
// states at a time: what they need stays in an L1 cache, even one that two threads share.
constexpr int kBackwardVectors = 2, kBackwardStates = 2;
template <class T>
constexpr int64_t kGroup = kBackwardVectors * kLanes<T>;

// What `Inputs` holds for a group, in this order, and what the backward adds. The kernel
// has more arrays than there are registers for their addresses, so they lie at constant
// distances.
enum GroupTile { kU, kDelta, kSlope, kInput, kStep, kDy, kDu, kDexponent, kGroupTiles };
constexpr GroupTile kDdelta = kInput;  // which is not needed any more by then
template <class T>
constexpr int64_t kTile = Inputs<T, kGroup<T>>::kTile;
template <class T>
constexpr int64_t kDecays = kOddSteps * kBackwardStates * kGroup<T>;  // after the states

// M vectors of one group. The first group sets dB and dC, the others add to them.
template <class T, int M>
struct BackwardTile {
  T* tiles;            // of GroupTile, (t, group); adds sum_n g B to kDu and
                       // sum_n g decay h_{t-1} A to kDexponent
  const T *B, *C;      // (t, n)
  const T *A, *start;  // (n, ld), (n, group)
  T *g, *dA;           // (n, ld); dA of this tile
  T* sums;             // dB and dC, summed over vectors: (pair, kOddSteps, lanes), in
                       // quarters the dB of the pair's states, then the dC
  T* h;                // (t + 1, n, m, lanes), then the decays (t, n, m, lanes)
  int64_t steps, states;
  bool add;
  const Ahead& ahead;

  static constexpr int64_t L = kLanes<T>;
  using V = typename Simd<T>::V;

  template <int N>
  void operator()(int64_t first) const {
    const int lines = first / N * 2 % Ahead::kMost;
    recompute<N>(first, ahead.lines[lines]);
    if (first == 0)
      reverse<N, false>(first, ahead.lines[lines + 1]);
    else
      reverse<N, true>(first, ahead.lines[lines + 1]);
  }

  // The states and decays of N states from `first` on.
  template <int N>
  void recompute(int64_t first, const Lines lines) const {
    V state[N][M], step[M], input[M];
    const T *Bt = B + first, *An = A + first * kMaxBlock, *x = tiles;
    T* ht = h;
    for (int n = 0; n < N; ++n)
      for (int m = 0; m < M; ++m) {
        state[n][m] = load<T>(start + (first + n) * kGroup<T> + m * L);
        store<T>(ht + (n * M + m) * L, state[n][m]);
      }
    for (int64_t t = 0; t < steps; ++t) {
      prefetch(lines, t);
      for (int m = 0; m < M; ++m) {
        step[m] = load<T>(x + kStep * kTile<T> + m * L);
        input[m] = load<T>(x + kInput * kTile<T> + m * L);
      }
      for (int n = 0; n < N; ++n)
        for (int m = 0; m < M; ++m) {
          const V decayed = decay(step[m], load<T>(An + n * kMaxBlock + m * L));
          state[n][m] = decayed * state[n][m] + input[m] * Bt[n];
          store<T>(ht + kDecays<T> + (n * M + m) * L, decayed);
          store<T>(ht + ((N + n) * M + m) * L, state[n][m]);
        }
      x += kGroup<T>, ht += N * M * L, Bt += states;
    }
  }

  // Their gradients, from the last step to the first; to what other states left, or not.
  template <int N, bool Add>
  void reverse(int64_t first, const Lines lines) const {
    V state[N][M], sum_dA[N][M] = {}, step[M], input[M], dyt[M], with_B[M], with_A[M];
    const T *Bt = B + steps * states + first, *Ct = C + steps * states + first;
    const T *An = A + first * kMaxBlock, *ht = h + steps * N * M * L;
    T *x = tiles + steps * kGroup<T>, *sum = sums + (first / 2 * kOddSteps + steps) * L;
    T *gn = g + first * kMaxBlock, *dAn = dA + first * kMaxBlock;
    for (int n = 0; n < N; ++n)
      for (int m = 0; m < M; ++m) state[n][m] = load<T>(gn + n * kMaxBlock + m * L);
    for (int64_t t = steps - 1; t >= 0; --t) {
      prefetch(lines, t);
      x -= kGroup<T>, ht -= N * M * L, Bt -= states, Ct -= states, sum -= L;
      for (int m = 0; m < M; ++m) {
        step[m] = load<T>(x + kStep * kTile<T> + m * L);
        input[m] = load<T>(x + kInput * kTile<T> + m * L);
        dyt[m] = load<T>(x + kDy * kTile<T> + m * L);
        with_B[m] = Add ? load<T>(x + kDu * kTile<T> + m * L) : V{};
        with_A[m] = Add ? load<T>(x + kDexponent * kTile<T> + m * L) : V{};
      }
      V dB[kBackwardStates] = {}, dC[kBackwardStates] = {};
      for (int n = 0; n < N; ++n) {
        for (int m = 0; m < M; ++m) {
          const V gradient = state[n][m] + dyt[m] * Ct[n];
          dC[n] += dyt[m] * load<T>(ht + ((N + n) * M + m) * L);
          dB[n] += gradient * input[m];
          with_B[m] += gradient * Bt[n];
          state[n][m] = gradient * load<T>(ht + kDecays<T> + (n * M + m) * L);
          const V q = state[n][m] * load<T>(ht + (n * M + m) * L);
          with_A[m] += q * load<T>(An + n * kMaxBlock + m * L);
          sum_dA[n][m] += q * step[m];
        }
      }
      const V both = quarters<T>(dB[0], dB[1], dC[0], dC[1]);
      store<T>(sum, add ? load<T>(sum) + both : both);
      for (int m = 0; m < M; ++m) {
        store<T>(x + kDu * kTile<T> + m * L, with_B[m]);
        store<T>(x + kDexponent * kTile<T> + m * L, with_A[m]);
      }
    }
    for (int n = 0; n < N; ++n)
      for (int m = 0; m < M; ++m) {
        store<T>(gn + n * kMaxBlock + m * L, state[n][m]);
        store<T>(dAn + n * kMaxBlock + m * L, sum_dA[n][m]);
      }
  }
};

// The gradients of `delta = weight dt` from that of delta, for M vectors of one group and
// four ranks; those past the last have weights of 0, and nobody reads theirs.
template <class T, int M>
struct RankTile {
  const T *ddelta, *weight, *dt;  // (t, group), (r, ld), (t, r)
  T *dweight, *ddt;               // (r, ld), of this tile; (r / 4, kOddSteps, lanes), in
                                  // quarters the ddt of four ranks
  int64_t steps, rank;
  bool add;

  static constexpr int64_t L = kLanes<T>;
  using V = typename Simd<T>::V;

  void operator()(int64_t first) const {
    sum_dweight(first);
    sum_ddt(first);
  }

  void sum_dweight(int64_t first) const {
    V sum[4][M] = {};
    for (int64_t t = 0; t < steps; ++t)
      for (int r = 0; r < 4; ++r)
        for (int m = 0; m < M; ++m)
          sum[r][m] += load<T>(ddelta + t * kGroup<T> + m * L) * dt[t * rank + first + r];
    for (int r = 0; r < 4; ++r)
      for (int m = 0; m < M; ++m)
        store<T>(dweight + (first + r) * kMaxBlock + m * L, sum[r][m]);
  }

  void sum_ddt(int64_t first) const {
    V weights[4][M];
    for (int r = 0; r < 4; ++r)
      for (int m = 0; m < M; ++m)
        weights[r][m] = load<T>(weight + (first + r) * kMaxBlock + m * L);
    for (int64_t t = 0; t < steps; ++t) {
      V sum[4] = {};
      for (int r = 0; r < 4; ++r)
        for (int m = 0; m < M; ++m)
          sum[r] += load<T>(ddelta + t * kGroup<T> + m * L) * weights[r][m];
      const V all = quarters<T>(sum[0], sum[1], sum[2], sum[3]);
      T* at = ddt + (first / 4 * kOddSteps + t) * L;
      store<T>(at, add ? load<T>(at) + all : all);
    }
  }
};

// Sums over the steps of one scan, kept in double: the longest sums of the backward.
template <class T>
struct Sums {
  explicit Sums(int64_t rows)
      : rows(rows), tile(in_fours(rows) * kMaxBlock), total(rows * kMaxBlock) {}

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

template <class T>
struct BackwardMemory {
  explicit BackwardMemory(const Scan& s)
      : sets(s), in(s, kGroupTiles), start(s.states * kGroup<T>), g(s.states * kMaxBlock),
        h(2 * kDecays<T>), sums(pairs(s) * kOddSteps * kLanes<T>),
        ddt(padded<T>(s.rank) / 4 * kOddSteps * kLanes<T>),
        rows(kTileSteps * s.row() + kLanes<T>), dA(s.states), dD(1), dbias(1),
        dweight(s.rank) {}

  // Pairs of states, up to whole vectors of `write_rows`.
  static int64_t pairs(const Scan& s) { return padded<T>(2 * s.states) / 4; }
  T* tile(GroupTile i) const { return in.memory + i * kTile<T>; }

  ParameterSets<T> sets;
  Inputs<T, kGroup<T>> in;
  Buffer<T> start, g;   // (n, group), (n, ld)
  Buffer<T> h, sums;    // see BackwardTile
  Buffer<T> ddt, rows;  // see RankTile; (t, row), see Scan::drows
  Sums<T> dA, dD, dbias, dweight;
};

// The gradients of u and delta from what BackwardTile left, and those of D and the bias.
template <class T>
void finish_group(const Task& part, int64_t c, int64_t steps, const Parameters<T>& p,
                  BackwardMemory<T>& m) {
  using V = typename Simd<T>::V;
  T *du = m.tile(kDu), *ddelta = m.tile(kDdelta);
  const T *dy = m.tile(kDy), *dexponent = m.tile(kDexponent);
  for (int64_t i = 0; i < part.padded; i += kLanes<T>) {
    const V skip = load<T>(p.D + i);
    V sum_dD{}, sum_dbias{};
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t at = t * kGroup<T> + i;
      const V with_B = load<T>(du + at), ut = load<T>(m.in.u + at),
              dyt = load<T>(dy + at);
      const V draw = (with_B * ut + load<T>(dexponent + at) * (1 / kExponentScale<T>)) *
                     load<T>(m.in.slope + at);
      store<T>(du + at, with_B * load<T>(m.in.delta + at) + skip * dyt);
      store<T>(ddelta + at, draw);
      sum_dD += dyt * ut;
      sum_dbias += draw;
    }
    store<T>(m.dD.tile + c + i, sum_dD);
    store<T>(m.dbias.tile + c + i, sum_dbias);
  }
}

// One tile of the group `part` of a task, from the task's channel `c` on; `all` are the
// parameters of the task.
template <class T>
void backward_group(const Scan& s, const Task& part, int64_t c, const Visit& v,
                    const Parameters<T>& all, const Ahead& ahead, BackwardMemory<T>& m) {
  const int64_t N = s.states;
  const Parameters<T> p{all.A + c, all.D + c, all.bias + c, all.weight + c};
  m.in.template read_channels<true>(s, part, v, p);
  read_tile<T>(s.y, part.b, v, part.first, part.count, part.padded, m.tile(kDy),
               kGroup<T>);
  const T* kept = kept_state<T>(s, part, v);
  for (int64_t n = 0; n < N; ++n) {
    T* start = m.start + n * kGroup<T>;
    read_row(kept + n * s.channels, part.count, start);
    for (int64_t i = part.count; i < part.padded; ++i) start[i] = T(0);
  }
  const auto run = [&](auto vectors) {
    const BackwardTile<T, decltype(vectors)::value> tile{
        m.in.memory, m.in.B, m.in.C,  p.A, m.start, m.g + c, m.dA.tile + c,
        m.sums,      m.h,    v.count, N,   c > 0,   ahead};
    for_each_block<kBackwardStates>(N, tile);
    finish_group<T>(part, c, v.count, p, m);
    const RankTile<T, decltype(vectors)::value> ranks{
        m.tile(kDdelta), p.weight, m.in.dt, m.dweight.tile + c,
        m.ddt,           v.count,  s.rank,  c > 0};
    for (int64_t r = 0; r < s.rank; r += 4) ranks(r);
  };
  if (part.padded == kGroup<T>)
    run(std::integral_constant<int, kBackwardVectors>());
  else
    run(std::integral_constant<int, 1>());
  write_tile<T>(s.du, part.b, v, part.first, part.count, m.tile(kDu), kGroup<T>,
                s.share_du && v.k > 0);
  if (s.rank == 0)
    write_tile<T>(s.ddelta, part.b, v, part.first, part.count, m.tile(kDdelta), kGroup<T>,
                  false);
}

// What the tile `v` of a group will write and what the next, where there is one, will
// read.
template <class T>
Ahead ahead_of(const Scan& s, const Task& part, const Visit& v, const Task& next,
               const Visit* next_v) {
  Ahead ahead;
  ahead.add(s.du, part.b, v, part.first, part.count);
  if (s.rank == 0) ahead.add(s.ddelta, part.b, v, part.first, part.count);
  if (!next_v) return ahead;
  ahead.add(s.u, part.b, *next_v, next.first, next.count);
  ahead.add(s.y, part.b, *next_v, next.first, next.count);
  if (s.rank == 0) ahead.add(s.delta, part.b, *next_v, next.first, next.count);
  ahead.add(kept_state<T>(s, next, *next_v), next.count * sizeof(T),
            s.channels * sizeof(T), kRows);
  if (next_v != &v) ahead.add_shared(s, part.b, *next_v);
  return ahead;
}

// The gradients of B, C and dt for one tile: the lanes of what all groups left, added.
template <class T>
void write_rows(const Scan& s, const Task& task, const Visit& v, BackwardMemory<T>& m) {
  typedef typename Simd<T>::V Loose __attribute__((aligned(sizeof(T))));
  constexpr int64_t L = kLanes<T>;
  const int64_t row = s.row();
  constexpr int64_t half = L / 2, stride = kOddSteps * L;
  // in this order: a last vector may end in what is written next
  for (int64_t t = 0; t < v.count; ++t) {
    T* out = m.rows + t * row;
    for (int64_t n = (s.states - 1) / half * half; n >= 0; n -= half) {
      const auto both =
          take_turns<2>(sum_lanes<T>(m.sums + n / 2 * stride + t * L, stride));
      std::memcpy(out + n, &both, half * sizeof(T));
      std::memcpy(out + s.states + n, (const T*)&both + half, half * sizeof(T));
    }
    out += 2 * s.states;
    for (int64_t r = 0; r < s.rank; r += L)
      *(Loose*)(out + r) =
          take_turns<4>(sum_lanes<T>(m.ddt + r / 4 * stride + t * L, stride));
  }
  const View drows{s.drows,
                   sizeof(T) == 8 ? Kind::f64 : Kind::f32,
                   s.scans * s.steps * row,
                   s.steps * row,
                   row,
                   1};
  write_tile<T>(drows, task.block * s.batch + task.b, v, 0, row, m.rows, row, false);
}

template <class T>
void backward_task(const Scan& s, const Task& task, BackwardMemory<T>& m) {
  const int64_t N = s.states;
  Sums<T>&dA = m.dA, &dD = m.dD, &dbias = m.dbias, &dweight = m.dweight;
  m.sets.read(s, task);
  for (int64_t k = task.k_begin; k < task.k_end; ++k) {
    const Parameters<T> p = m.sets.of(s, k);
    dA.clear_total(), dD.clear_total(), dbias.clear_total(), dweight.clear_total();
    std::memset(m.g, 0, N * kMaxBlock * sizeof(T));
    if (s.dlast_state) {
      const T* last = (const T*)s.dlast_state +
                      ((task.b * s.scans + k) * s.channels + task.first) * N;
      for (int64_t c = 0; c < task.count; ++c)
        for (int64_t n = 0; n < N; ++n) m.g[n * kMaxBlock + c] = last[c * N + n];
    }
    for (int64_t tile = s.tiles() - 1; tile >= 0; --tile) {
      const Visit v = visit(s, k, tile);
      const bool more = tile > 0 || k + 1 < task.k_end;
      const Visit next =
          tile > 0 ? visit(s, k, tile - 1) : visit(s, more ? k + 1 : k, s.tiles() - 1);
      m.in.read_shared(s, task, v);
      for (int64_t c = 0; c < task.count; c += kGroup<T>) {
        const bool end = c + kGroup<T> >= task.count;
        const Task part = part_of<T>(task, c, kGroup<T>);
        const Task after = part_of<T>(task, end ? 0 : c + kGroup<T>, kGroup<T>);
        const Visit* then = !end ? &v : more ? &next : nullptr;
        backward_group<T>(s, part, c, v, p, ahead_of<T>(s, part, v, after, then), m);
      }
      write_rows<T>(s, task, v, m);
      dA.add_tile(task.padded), dD.add_tile(task.padded);
      dbias.add_tile(task.padded), dweight.add_tile(task.padded);
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
