// CPU kernels of mmmambamixer::selective_scan and its backward.
#include <torch/library.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "glue.h"

namespace mmmambamixer {

namespace {

struct Choice {
  std::string name;
  const Kernels* kernels;
};

// What this processor can run, the best first.
std::vector<Choice> choices() {
  std::vector<Choice> usable;
#ifdef MMMAMBAMIXER_X86
  if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    usable.push_back({"avx512", &kernels_avx512});
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    usable.push_back({"avx2", &kernels_avx2});
#endif
  usable.push_back({"portable", &kernels_portable});
  return usable;
}

// The best kernels, or those that the variable MMMAMBAMIXER_CPU names.
const Kernels& choose_kernels() {
  const auto usable = choices();
  const char* wanted = std::getenv("MMMAMBAMIXER_CPU");
  if (!wanted || !*wanted) return *usable.front().kernels;
  std::string names;
  for (const Choice& choice : usable) {
    if (choice.name == wanted) return *choice.kernels;
    names += (names.empty() ? "" : ", ") + choice.name;
  }
  TORCH_CHECK_VALUE(false, "MMMAMBAMIXER_CPU must be one of ", names,
                    " on this processor, got ", wanted);
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose_kernels();
  return chosen;
}

const char* cpu_capability() { return kernels().capability; }

namespace {

using at::Tensor;

// (b, d, l) as (b, g, l, d / g)
Tensor by_group(const Tensor& x, int64_t groups) {
  return x.unflatten(1, {groups, x.size(1) / groups}).transpose(2, 3);
}

struct Problem {
  Scan scan;
  at::ScalarType work;
  Tensor A, D, bias;  // kept alive here, in the dtype and layout that the kernels read

  Problem(const Tensor& u, const Tensor& delta, const Tensor& A_, const Tensor& B,
          const Tensor& C, const OptionalTensor& D_, const OptionalTensor& bias_,
          bool softplus, int64_t interval)
      : work(work_dtype(u)),
        A(parameter(A_, work)),
        D(parameter(D_, work)),
        bias(parameter(bias_, work)) {
    const int64_t groups = B.size(1);
    TORCH_CHECK_VALUE(groups > 0, "B must have at least one group, got none");
    scan.batch = u.size(0), scan.scans = groups, scan.channels = u.size(1) / groups;
    scan.steps = u.size(2), scan.states = A.size(1);
    scan.keep = keeps_states(interval), scan.softplus = softplus;
    scan.u = view_of(by_group(u, groups), "u");
    scan.delta = view_of(by_group(delta, groups), "delta");
    scan.B = view_of(B.transpose(2, 3), "B");
    scan.C = view_of(C.transpose(2, 3), "C");
    scan.A = A.const_data_ptr(), scan.D = data_or_null(D), scan.bias = data_or_null(bias);
  }
};

std::tuple<Tensor, Tensor, Tensor> forward(
    const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
    const OptionalTensor& D, const OptionalTensor& delta_bias, bool delta_softplus,
    at::ScalarType dtype, int64_t interval) {
  Problem p(u, delta, A, B, C, D, delta_bias, delta_softplus, interval);
  Scan& s = p.scan;
  const auto options = u.options().dtype(p.work);
  const int64_t tiles = s.keep ? s.tiles() : 0;
  Tensor y = at::empty(u.sizes(), u.options().dtype(dtype));
  Tensor last_state = at::empty({s.batch, u.size(1), s.states}, options);
  Tensor states = at::empty({s.batch, s.scans, tiles, s.states, s.channels}, options);
  s.y = view_of(by_group(y, s.scans), "y");
  s.last_state = last_state.mutable_data_ptr();
  s.states_kept = states.mutable_data_ptr();
  run_forward(s, p.work);
  return {y, last_state, states};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> backward(
    const Tensor& dy, const OptionalTensor& dlast_state, const Tensor& u,
    const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
    const OptionalTensor& D, const OptionalTensor& delta_bias, const Tensor& states,
    bool delta_softplus, int64_t interval) {
  Problem p(u, delta, A, B, C, D, delta_bias, delta_softplus, interval);
  Scan& s = p.scan;
  const auto options = u.options().dtype(p.work);
  const Tensor kept = states.contiguous();
  const Tensor dlast = parameter(dlast_state, p.work);
  Tensor du = at::empty(u.sizes(), u.options());
  Tensor ddelta = at::empty(delta.sizes(), delta.options());
  s.y = view_of(by_group(dy, s.scans), "dy");
  s.du = view_of(by_group(du, s.scans), "du");
  s.ddelta = view_of(by_group(ddelta, s.scans), "ddelta");
  s.dlast_state = data_or_null(dlast);
  s.states_kept = kept.data_ptr();
  Partials partials(&s, p.D, p.bias, options);
  run(s, p.work == at::kDouble ? kernels().backward_f64 : kernels().backward_f32);

  const int64_t n = s.states, d = u.size(1);
  const Tensor drows = sum_first(partials.drows, options);
  const auto rows = [&](int64_t first, const Tensor& like) {
    return drows.narrow(-1, first, n).transpose(2, 3).to(like.scalar_type()).contiguous();
  };
  Tensor dD = sum_first(partials.dD, options), dbias = sum_first(partials.dbias, options);
  return {du, ddelta, sum_first(partials.dA, options).reshape({d, n}), rows(0, B),
          rows(n, C), dD.flatten(), dbias.flatten()};
}

TORCH_LIBRARY_IMPL(mmmambamixer, CPU, m) {
  m.impl("selective_scan", &forward);
  m.impl("selective_scan_backward", &backward);
}

}  // namespace
}  // namespace mmmambamixer
