// Between tensors of any dtype and strides and small aligned tiles of the work type.
// Included inside the namespace of one instruction set; see engine_impl.h.

// The positions of one tile of steps of scan k, in the order of visit.
struct Visit {
  int64_t k, tile;
  int64_t count;
  bool consecutive;  // position[t + 1] = position[t] + 1
  int64_t position[kTileSteps];
};

INLINE Visit visit(const Scan& s, int64_t k, int64_t tile) {
  const int64_t first = tile * kTileSteps;
  Visit v{k, tile};  // an order past the count is 0: who reads ahead may take it
  v.count = s.steps - first < kTileSteps ? s.steps - first : kTileSteps;
  const int64_t route = s.routes ? s.routes[k] : 0;
  const bool columns = route & 1, backward = route & 2;
  v.consecutive = !columns && !backward;
  const int64_t t = backward ? s.steps - 1 - first : first, way = backward ? -1 : 1;
  if (!columns) {
    for (int64_t i = 0; i < v.count; ++i) v.position[i] = t + way * i;
    return v;
  }
  int64_t row = t % s.height, column = t / s.height;
  for (int64_t i = 0; i < v.count; ++i) {
    v.position[i] = row * s.width + column;
    row += way;
    if (row == s.height) row = 0, ++column;
    if (row < 0) row = s.height - 1, --column;
  }
  return v;
}

// Cut 0..count into blocks of at most Most and call `run.template operator()<N>(first)`.
template <int Most, class Run>
INLINE void for_each_block(int64_t count, const Run& run, int64_t first = 0) {
  for (; first + Most <= count; first += Most) run.template operator()<Most>(first);
  if constexpr (Most > 1)
    if (first < count) for_each_block<Most / 2>(count, run, first);
}

// Rows are short: they go in pieces of sizes that the compiler knows, and through values
// of their own, so that it need not ask whether the memory overlaps.
template <class T, class S>
struct ReadRow {
  const S* src;
  T* row;

  template <int N>
  void operator()(int64_t c) const {
    T x[N];
    for (int64_t i = 0; i < N; ++i) x[i] = T(src[c + i]);
    for (int64_t i = 0; i < N; ++i) row[c + i] = x[i];
  }
};

template <class T, class S>
INLINE void read_row(const S* src, int64_t count, T* row) {
  for_each_block<kLanes<T>>(count, ReadRow<T, S>{src, row});
}

// Add is no argument: the compiler would read what it need not add to, and pages that
// nobody has written yet would be mapped twice.
template <bool Add, class T, class S>
struct WriteRow {
  S* dst;
  const T* row;

  template <int N>
  void operator()(int64_t c) const {
    T x[N];
    for (int64_t i = 0; i < N; ++i) x[i] = row[c + i];
    if constexpr (Add)
      for (int64_t i = 0; i < N; ++i) x[i] += T(dst[c + i]);
    for (int64_t i = 0; i < N; ++i) dst[c + i] = S(x[i]);
  }
};

// A function for each kind of numbers: inlined beside each other their loops would run
// out of registers.
template <class T, class S>
__attribute__((noinline)) void read_as(const S* src, const View& view, const Visit& v,
                                       int64_t count, T* tile, int64_t ld) {
  if (view.row == 1) {
    for (int64_t t = 0; t < v.count; ++t)
      read_row(src + v.position[t] * view.step, count, tile + t * ld);
    return;
  }
  int64_t c = 0;
  if constexpr (std::is_same_v<T, S>) {
    constexpr int64_t L = kLanes<T>;
    if (view.step == 1 && v.consecutive && v.count == kTileSteps)
      for (; c + L <= count; c += L)
        for (int64_t t = 0; t < kTileSteps; t += L)
          transpose(src + v.position[t] + c * view.row, view.row, tile + t * ld + c, ld);
  }
  for (; c < count; ++c)
    for (int64_t t = 0; t < v.count; ++t)
      tile[t * ld + c] = T(src[v.position[t] * view.step + c * view.row]);
}

template <bool Add, class T, class S>
__attribute__((noinline)) void write_as(S* dst, const View& view, const Visit& v,
                                        int64_t count, const T* tile, int64_t ld) {
  if (view.row == 1) {
    for (int64_t t = 0; t < v.count; ++t)
      for_each_block<kLanes<T>>(
          count, WriteRow<Add, T, S>{dst + v.position[t] * view.step, tile + t * ld});
    return;
  }
  int64_t c = 0;
  if constexpr (std::is_same_v<T, S> && !Add) {
    constexpr int64_t L = kLanes<T>;
    if (view.step == 1 && v.consecutive && v.count == kTileSteps)
      for (; c + L <= count; c += L)
        for (int64_t t = 0; t < kTileSteps; t += L)
          transpose(tile + t * ld + c, ld, dst + v.position[t] + c * view.row, view.row);
  }
  for (; c < count; ++c)
    for (int64_t t = 0; t < v.count; ++t) {
      S& to = dst[v.position[t] * view.step + c * view.row];
      to = S(Add ? T(to) + tile[t * ld + c] : tile[t * ld + c]);
    }
}

// tile[t * ld + c] = view[b, v.k, position t, first + c] for c < count, 0 up to `padded`.
template <class T>
void read_tile(const View& view, int64_t b, const Visit& v, int64_t first, int64_t count,
               int64_t padded, T* tile, int64_t ld) {
  const int64_t at = b * view.batch + v.k * view.scan + first * view.row;
  switch (view.kind) {
    case Kind::f32:
      read_as((const float*)view.data + at, view, v, count, tile, ld);
      break;
    case Kind::f64:
      read_as((const double*)view.data + at, view, v, count, tile, ld);
      break;
    case Kind::bf16:
      read_as((const BFloat16*)view.data + at, view, v, count, tile, ld);
      break;
    case Kind::f16:
      read_as((const Half*)view.data + at, view, v, count, tile, ld);
      break;
  }
  for (int64_t t = 0; t < v.count; ++t)
    for (int64_t c = count; c < padded; ++c) tile[t * ld + c] = T(0);
}

// The inverse; with `add` to what is there.
template <class T>
void write_tile(const View& view, int64_t b, const Visit& v, int64_t first, int64_t count,
                const T* tile, int64_t ld, bool add) {
  const int64_t at = b * view.batch + v.k * view.scan + first * view.row;
  const auto write = [&](auto* data) {
    if (add)
      write_as<true>(data + at, view, v, count, tile, ld);
    else
      write_as<false>(data + at, view, v, count, tile, ld);
  };
  switch (view.kind) {
    case Kind::f32:
      write((float*)view.data);
      break;
    case Kind::f64:
      write((double*)view.data);
      break;
    case Kind::bf16:
      write((BFloat16*)view.data);
      break;
    case Kind::f16:
      write((Half*)view.data);
      break;
  }
}

// One cache line of each row of a tile; rows lie too far apart for a processor to expect.
struct Lines {
  const char* data;
  int64_t apart;
  const int64_t* order;
};

INLINE void prefetch(const Lines& x, int64_t row) {
  __builtin_prefetch(x.data + x.order[row] * x.apart, 0, 2);
}

constexpr int64_t kRows[kTileSteps] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                       11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                       22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

// What a kernel asks the caches for while it computes: what is read and written next.
struct Ahead {
  static constexpr int kMost = 16;
  static constexpr int64_t kLineBytes = 64;

  int count = 0;
  Lines lines[kMost];

  Ahead() {
    for (Lines& x : lines) x = {(const char*)this, 0, kRows};
  }
  void add(const void* data, int64_t bytes, int64_t apart, const int64_t* order) {
    for (int64_t i = 0; i < bytes && count < kMost; i += kLineBytes)
      lines[count++] = {(const char*)data + i, apart, order};
  }
  // What all channels share.
  void add_shared(const Scan& s, int64_t b, const Visit& v) {
    add(s.B, b, v, 0, s.states);
    add(s.C, b, v, 0, s.states);
    if (s.rank > 0) add(s.delta, b, v, 0, s.rank);
  }
  // A tile, as in read_tile; its rows are the channels where their steps are neighbours.
  void add(const View& view, int64_t b, const Visit& v, int64_t first, int64_t width) {
    const int64_t bytes = view.kind == Kind::f64 ? 8 : view.kind == Kind::f32 ? 4 : 2;
    const char* data = (const char*)view.data +
                       (b * view.batch + v.k * view.scan + first * view.row) * bytes;
    if (view.row == 1)
      add(data, width * bytes, view.step * bytes, v.position);
    else if (view.step == 1 && v.consecutive)
      add(data + v.position[0] * bytes, v.count * bytes, view.row * bytes, kRows);
  }
};
