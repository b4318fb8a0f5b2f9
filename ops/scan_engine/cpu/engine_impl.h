// The scan kernels, written on vectors of unknown width. Each cpu_*.cpp includes this
// file under a target pragma of its own and says the name of a namespace, ISA, so nothing
// here may define or instantiate anything outside of that namespace.
//
// The work is cut in tasks (batch, [scan], block of channels) and tiles of kTileSteps
// steps. A tile is first read into aligned buffers, channels contiguous, whatever its
// dtype, strides and order of visit; the recurrence itself knows only these.

namespace mmmambamixer {
namespace ISA {
constexpr int64_t kMaxBlock = 64;
constexpr int64_t kOddSteps = kTileSteps + 1;  // so that tiles do not share cache sets

#include "simd.h"
#include "tile.h"

// Aligned memory, zero at first. Kernels make theirs once for all of their tasks: where a
// sequence is short, fresh memory would cost more than its scan.
template <class T>
class Buffer {
 public:
  explicit Buffer(int64_t size) : raw_(new char[(size + 1) * sizeof(T) + kAlignment]()) {
    const auto address = reinterpret_cast<uintptr_t>(raw_);
    data_ = reinterpret_cast<T*>((address + kAlignment - 1) / kAlignment * kAlignment);
  }
  ~Buffer() { delete[] raw_; }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  operator T*() const { return data_; }

 private:
  static constexpr uintptr_t kAlignment = 64;  // of a cache line and of every vector

  char* raw_;
  T* data_;
};

struct Task {
  int64_t b, k_begin, k_end, first, count, padded, block;
};

template <class T>
int64_t padded(int64_t count) {  // to whole vectors
  return (count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

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
  t.padded = padded<T>(t.count);
  return t;
}

inline int64_t in_fours(int64_t count) { return (count + 3) / 4 * 4; }

// Of a task at most `most` channels, from its channel `c` on.
template <class T>
Task part_of(const Task& task, int64_t c, int64_t most) {
  Task part = task;
  part.first += c;
  part.count = task.count - c < most ? task.count - c : most;
  part.padded = padded<T>(part.count);
  return part;
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
            real ? scaled(((const T*)s.A)[(base + c) * s.states + n]) : T(0);
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
      : size_((s.states + in_fours(s.rank) + 2) * kMaxBlock), data_(s.scans * size_) {}

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

// One tile of the inputs: what all channels share, B and C (t, n) and dt (t, r); and, for
// up to Width channels, all (t, Width), u, the step sizes and, backward, the derivative
// of these by what went into the softplus, their product with u and their limited values.
// These and what else has this form lie kTile apart. Behind dt are three numbers that
// RankTile may read.
template <class T, int64_t Width>
struct Inputs {
  static constexpr int64_t kTile = kOddSteps * Width;

  explicit Inputs(const Scan& s, int64_t tiles = 3)
      : memory(tiles * kTile), u(memory), delta(u + kTile), slope(delta + kTile),
        product(slope + kTile), limits(product + kTile), B(kTileSteps * s.states),
        C(kTileSteps * s.states), dt(kTileSteps * s.rank + 3) {}

  void read_shared(const Scan& s, const Task& task, const Visit& v) {
    read_tile<T>(s.B, task.b, v, 0, s.states, s.states, B, s.states);
    read_tile<T>(s.C, task.b, v, 0, s.states, s.states, C, s.states);
    if (s.rank > 0) read_tile<T>(s.delta, task.b, v, 0, s.rank, s.rank, dt, s.rank);
  }

  // after the above; `p` starts at the first channel of the task
  template <bool Backward>
  void read_channels(const Scan& s, const Task& task, const Visit& v,
                     const Parameters<T>& p) {
    using V = typename Simd<T>::V;
    read_tile<T>(s.u, task.b, v, task.first, task.count, task.padded, u, Width);
    if (s.rank == 0)
      read_tile<T>(s.delta, task.b, v, task.first, task.count, task.padded, delta, Width);
    for (int64_t c = 0; c < task.padded; c += kLanes<T>) {
      if (s.rank > 0)
        for (int64_t t = 0; t < v.count; t += 4) expand_rank(*this, s, p, t, c);
      const V bias = load<T>(p.bias + c);
      for (int64_t t = 0; t < v.count; ++t) {
        V step = bias + load<T>(delta + t * Width + c), slope_here = V{} + T(1);
        if (s.softplus) step = softplus(step, Backward ? &slope_here : nullptr);
        const int64_t at = t * Width + c;
        store<T>(delta + at, step);
        if (Backward) {
          store<T>(slope + at, slope_here);
          store<T>(product + at, step * load<T>(u + at));
          store<T>(limits + at, limited(step));
        }
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
    for (int64_t i = 0; i < 4; ++i) store<T>(in.delta + (t + i) * Width + c, sum[i]);
  }

  Buffer<T> memory;
  T *const u, *const delta, *const slope, *const product, *const limits;
  Buffer<T> B, C, dt;
};

// Where the state before a tile is kept, (n, d).
template <class T>
T* kept_state(const Scan& s, const Task& task, const Visit& v) {
  const int64_t at = ((task.b * s.scans + v.k) * s.tiles() + v.tile) * s.states;
  return (T*)s.states_kept + at * s.channels + task.first;
}

#include "backward.h"
#include "forward.h"
}  // namespace ISA

#define JOINED_AS_TEXT(a, b) a##b
#define JOINED(a, b) JOINED_AS_TEXT(a, b)
const Kernels JOINED(kernels_, ISA) = {ISA_NAME, ISA::forward<float>,
                                       ISA::backward<float>, ISA::forward<double>,
                                       ISA::backward<double>};
}  // namespace mmmambamixer
