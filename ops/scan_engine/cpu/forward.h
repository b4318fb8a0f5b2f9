// The forward scan: h = 2^(delta A) h + delta u B, y = C h + D u.
// Included inside the namespace of one instruction set; see engine_impl.h.

// kLanes channels and N states of a tile; the states stay in registers.
template <class T>
struct ForwardTile {
  const T *A, *u, *delta, *B, *C;  // A, u, delta, y, h start at the first of the channels
  T *y, *h;
  int64_t steps, states;
  const Ahead& ahead;  // at most five lines

  template <int N>
  void operator()(int64_t first) const {
    using V = typename Simd<T>::V;
    V state[N];
    for (int n = 0; n < N; ++n) state[n] = load<T>(h + (first + n) * kMaxBlock);
    Lines lines[5];
    for (int i = 0; i < 5; ++i) lines[i] = ahead.lines[i];
    for (int64_t t = 0; t < steps; ++t) {
      for (int i = 0; i < 5; ++i) prefetch(lines[i], t);
      const V step = load<T>(delta + t * kMaxBlock);
      const V input = step * load<T>(u + t * kMaxBlock);
      const T *Bt = B + t * states + first, *Ct = C + t * states + first;
      V even = load<T>(y + t * kMaxBlock), odd{};
#pragma GCC unroll 16
      for (int n = 0; n < N; ++n) {
        const V a = decay(limited(step), load<T>(A + (first + n) * kMaxBlock));
        state[n] = a * state[n] + input * Bt[n];
        (n & 1 ? odd : even) += state[n] * Ct[n];
      }
      store<T>(y + t * kMaxBlock, even + odd);
    }
    for (int n = 0; n < N; ++n) store<T>(h + (first + n) * kMaxBlock, state[n]);
  }
};

template <class T>
void keep_state(const Scan& s, const Task& task, const Visit& v, const T* h) {
  T* kept = kept_state<T>(s, task, v);
  for (int64_t n = 0; n < s.states; ++n)
    std::memcpy(kept + n * s.channels, h + n * kMaxBlock, task.count * sizeof(T));
}

template <class T>
struct ForwardMemory {
  explicit ForwardMemory(const Scan& s)
      : sets(s), in(s), h(s.states * kMaxBlock), y(kTileSteps * kMaxBlock) {}

  ParameterSets<T> sets;
  Inputs<T, kMaxBlock> in;
  Buffer<T> h, y;  // (n, ld), (t, ld)
};

// What one vector of channels will write of this tile and read of the next; the first
// vector of a task also asks for what all channels share.
template <class T>
Ahead ahead_of(const Scan& s, const Task& part, const Visit& v, const Visit& next,
               bool first) {
  Ahead ahead;
  ahead.add(s.y, part.b, v, part.first, part.count);
  ahead.add(s.u, part.b, next, part.first, part.count);
  if (s.rank == 0) ahead.add(s.delta, part.b, next, part.first, part.count);
  if (first) ahead.add_shared(s, part.b, next);
  return ahead;
}

template <class T>
void forward_task(const Scan& s, const Task& task, ForwardMemory<T>& m) {
  using V = typename Simd<T>::V;
  Inputs<T, kMaxBlock>& in = m.in;
  T *h = m.h, *y = m.y;
  m.sets.read(s, task);
  for (int64_t k = task.k_begin; k < task.k_end; ++k) {
    const Parameters<T> p = m.sets.of(s, k);
    std::memset(h, 0, s.states * kMaxBlock * sizeof(T));
    for (int64_t tile = 0; tile < s.tiles(); ++tile) {
      const Visit v = visit(s, k, tile);
      const bool last = tile + 1 == s.tiles(), more = k + 1 < task.k_end;
      const Visit next = last ? visit(s, more ? k + 1 : k, 0) : visit(s, k, tile + 1);
      if (s.keep) keep_state<T>(s, task, v, h);
      in.read_shared(s, task, v);
      in.template read_channels<false>(s, task, v, p);
      for (int64_t c = 0; c < task.padded; c += kLanes<T>) {
        const Ahead ahead =
            ahead_of<T>(s, part_of<T>(task, c, kLanes<T>), v, next, c == 0);
        const V skip = load<T>(p.D + c);
        for (int64_t t = 0; t < v.count; ++t)
          store<T>(y + t * kMaxBlock + c, skip * load<T>(in.u + t * kMaxBlock + c));
        ForwardTile<T> run{p.A + c, in.u + c, in.delta + c, in.B,     in.C,
                           y + c,   h + c,    v.count,      s.states, ahead};
        for_each_block<16>(s.states, run);
      }
      write_tile<T>(s.y, task.b, v, task.first, task.count, y, kMaxBlock,
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
