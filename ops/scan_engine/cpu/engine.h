// What the scan kernels are told: one description serves both scan ops. No torch here:
// the kernels are compiled once per instruction set, the ops choose one at run time.
//
// Axis letters: b batch, k scan (group), l step, d channel, n state, r rank of delta.
#pragma once

// for engine_impl.h too, which is compiled under pragmas that no header may see
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../../kind.h"

namespace mmmambamixer {

// Steps that the kernels work on at a time, and between two kept states.
constexpr int64_t kTileSteps = 32;

// A tensor (b, k, position, row) with any strides, counted in elements. A row holds
// channels (u, delta, y), states (B, C) or ranks (dt).
struct View {
  void* data = nullptr;
  Kind kind = Kind::f32;
  int64_t batch = 0, scan = 0, step = 0, row = 0;
};

// Parameters and what is kept between kernels are contiguous, in the work type T: float,
// or double for fp64 inputs.
struct Scan {
  int64_t batch = 0, scans = 0, channels = 0, steps = 0, states = 0;
  int64_t rank = 0;                 // of delta; 0: delta is given for every channel
  bool keep = false;                // keep the state at the start of every tile
  const int64_t* routes = nullptr;  // order of visit of each scan; null: forward
  int64_t height = 1, width = 0;    // of the map, if there are routes
  bool merge = false;               // add the outputs of all scans
  bool softplus = false;
  int64_t least_block = 16;

  View u, delta, B, C, y;        // delta: (.., d), or dt (.., r) if rank > 0
  const void* A = nullptr;       // (k, d, n)
  const void* D = nullptr;       // (k, d) or null
  const void* bias = nullptr;    // (k, d) or null
  const void* weight = nullptr;  // (k, d, r), if rank > 0
  void* states_kept = nullptr;   // (b, k, tile, n, d)
  void* last_state = nullptr;    // (b, k, d, n) or null

  // Backward only. `y` is then the gradient of y.
  View du, ddelta;                    // ddelta: only if rank = 0
  bool share_du = false;              // all scans read, so add to, the same u
  const void* dlast_state = nullptr;  // (b, k, d, n) or null
  void* dA = nullptr;                 // (b, k, d, n), summed over b by the caller
  void* dD = nullptr;                 // (b, k, d)
  void* dbias = nullptr;              // (b, k, d)
  void* dweight = nullptr;            // (b, k, d, r)
  void* drows = nullptr;              // (block, b, k, position, dB n | dC n | ddt r)

  // Channels are worked on in blocks of `block`; it depends on the shape alone, never on
  // the number of threads, so that results do not either.
  int64_t block() const {
    int64_t width = 64;
    const auto tasks = [&] {
      return batch * scan_tasks() * ((channels + width - 1) / width);
    };
    while (width > least_block && tasks() < 8) width /= 2;
    return width;
  }
  int64_t row() const { return 2 * states + rank; }  // of drows
  int64_t tiles() const { return (steps + kTileSteps - 1) / kTileSteps; }
  int64_t blocks() const { return (channels + block() - 1) / block(); }
  int64_t scan_tasks() const { return merge || share_du ? 1 : scans; }
  int64_t tasks() const { return batch * scan_tasks() * blocks(); }
};

// Run tasks [begin, end) of `scan.tasks()`; tasks write to disjoint memory.
using Kernel = void (*)(const Scan& scan, int64_t begin, int64_t end);

struct Kernels {
  const char* capability;
  Kernel forward_f32, backward_f32, forward_f64, backward_f64;
};

extern const Kernels kernels_portable;
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MMMAMBAMIXER_X86 1
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

// The best kernels that this processor can run.
const Kernels& kernels();

}  // namespace mmmambamixer
