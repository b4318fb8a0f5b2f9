// CPU kernels of mmmambamixer::selective_scan and its backward.
#include <cstdlib>
#include <string>
#include <vector>

#include "../scan_engine/cpu/glue.h"

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
  throw std::invalid_argument("MMMAMBAMIXER_CPU must be one of " + names +
                              " on this processor, got " + wanted);
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose_kernels();
  return chosen;
}

namespace {

// (b, d, l), whose channels are those of all groups
View by_group(const Tensor& x, const char* name, int64_t groups) {
  return view_of(x, name, x.stride(1) * (x.size(1) / groups), 2, 1);
}

struct Problem {
  Scan scan;
  Kind work;
  Tensor A;  // kept alive here, in the dtype and layout that the kernels read
  OptionalTensor D, bias;

  Problem(const Tensor& u, const Tensor& delta, const Tensor& A_, const Tensor& B,
          const Tensor& C, const OptionalTensor& D_, const OptionalTensor& bias_,
          bool softplus, int64_t interval)
      : work(work_kind(kind_of(u, "u"))), A(dense(A_, work)), D(parameter(D_, work)),
        bias(parameter(bias_, work)) {
    const int64_t groups = B.size(1);
    if (groups == 0)
      throw std::invalid_argument("B must have at least one group, got none");
    scan.batch = u.size(0), scan.scans = groups, scan.channels = u.size(1) / groups;
    scan.steps = u.size(2), scan.states = A.size(1);
    scan.keep = keeps_states(interval), scan.softplus = softplus;
    scan.u = by_group(u, "u", groups), scan.delta = by_group(delta, "delta", groups);
    scan.B = view_of(B, "B", 3, 2), scan.C = view_of(C, "C", 3, 2);
    scan.A = A.const_data_ptr(), scan.D = data_or_null(D), scan.bias = data_or_null(bias);
  }
};

std::tuple<Tensor, Tensor, Tensor> forward(const Tensor& u, const Tensor& delta,
                                           const Tensor& A, const Tensor& B,
                                           const Tensor& C, const OptionalTensor& D,
                                           const OptionalTensor& delta_bias,
                                           bool delta_softplus, ScalarType dtype,
                                           int64_t interval) {
  Problem p(u, delta, A, B, C, D, delta_bias, delta_softplus, interval);
  Scan& s = p.scan;
  const int64_t tiles = s.keep ? s.tiles() : 0;
  Tensor y = empty(u.sizes(), kind_of(dtype, "dtype"));
  Tensor last_state = empty({s.batch, u.size(1), s.states}, p.work);
  Tensor states = empty({s.batch, s.scans, tiles, s.states, s.channels}, p.work);
  s.y = by_group(y, "y", s.scans);
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
  const Tensor kept = kept_states(states, s, p.work);
  const OptionalTensor dlast = parameter(dlast_state, p.work);
  Tensor du = empty(u.sizes(), s.u.kind), ddelta = empty(delta.sizes(), s.delta.kind);
  s.y = by_group(dy, "dy", s.scans);
  s.du = by_group(du, "du", s.scans);
  s.ddelta = by_group(ddelta, "ddelta", s.scans);
  s.dlast_state = data_or_null(dlast);
  s.states_kept = kept.data_ptr();
  const Partials partials(&s, D.has_value(), delta_bias.has_value(), p.work);
  run_backward(s, p.work);

  const int64_t b = s.batch, n = s.states, d = u.size(1);
  return {du,
          ddelta,
          sum_of(s.dA, b, {d, n}, p.work),
          sum_rows(s, 0, n, true, s.B.kind, p.work),
          sum_rows(s, n, n, true, s.C.kind, p.work),
          sum_of(s.dD, b, {d}, p.work),
          sum_of(s.dbias, b, {d}, p.work)};
}

std::string cpu_capability() { return kernels().capability; }

STABLE_TORCH_LIBRARY_IMPL(mmmambamixer, CPU, m) {
  m.impl("selective_scan", TORCH_BOX(&forward));
  m.impl("selective_scan_backward", TORCH_BOX(&backward));
}

STABLE_TORCH_LIBRARY_IMPL(mmmambamixer, CompositeExplicitAutograd, m) {
  m.impl("cpu_capability", TORCH_BOX(&cpu_capability));
}

}  // namespace
}  // namespace mmmambamixer
