// The dtypes of the CPU kernels. No torch here.
#pragma once

namespace mmmambamixer {

enum class Kind { f32, f64, bf16, f16 };

// Of sums over elements, and of the state of a scan.
inline Kind work_kind(Kind kind) { return kind == Kind::f64 ? Kind::f64 : Kind::f32; }

}  // namespace mmmambamixer
