// CPU kernels of mmmambamixer::cross_selective_scan and its backward.
#include "../scan_engine/cpu/glue.h"

namespace mmmambamixer {
namespace {

struct Problem {
  Scan scan;
  Kind work;
  Tensor A, weight;  // kept alive here, as the kernels read them
  OptionalTensor D, bias;

  Problem(const Tensor& u, const Tensor& dt, const Tensor& dt_weight, const Tensor& A_,
          const Tensor& B, const Tensor& C, const OptionalTensor& D_,
          const OptionalTensor& dt_bias, const Integers& routes, int64_t height,
          int64_t width, int64_t interval)
      : work(work_kind(kind_of(u, "u"))), A(dense(A_, work)),
        weight(dense(dt_weight, work)), D(parameter(D_, work)),
        bias(parameter(dt_bias, work)) {
    scan.batch = u.size(0), scan.scans = A.size(0), scan.channels = A.size(1);
    scan.steps = height * width, scan.states = A.size(2), scan.rank = weight.size(2);
    scan.keep = keeps_states(interval), scan.softplus = true, scan.merge = true;
    scan.routes = routes.data(), scan.height = height, scan.width = width;
    scan.u = view_of(u, "u"), scan.delta = view_of(dt, "dt");
    scan.B = view_of(B, "B"), scan.C = view_of(C, "C");
    scan.A = A.const_data_ptr(), scan.D = data_or_null(D), scan.bias = data_or_null(bias);
    scan.weight = weight.const_data_ptr();
  }
};

std::tuple<Tensor, Tensor> forward(const Tensor& u, const Tensor& dt,
                                   const Tensor& dt_weight, const Tensor& A,
                                   const Tensor& B, const Tensor& C,
                                   const OptionalTensor& D, const OptionalTensor& dt_bias,
                                   const Integers& routes, int64_t height, int64_t width,
                                   int64_t interval) {
  Problem p(u, dt, dt_weight, A, B, C, D, dt_bias, routes, height, width, interval);
  Scan& s = p.scan;
  const int64_t tiles = s.keep ? s.tiles() : 0;
  Tensor y = empty({s.batch, s.steps, s.channels}, p.work);
  Tensor states = empty({s.batch, s.scans, tiles, s.states, s.channels}, p.work);
  s.y = view_of(y, "y", 0, 1, 2);
  s.states_kept = states.mutable_data_ptr();
  run_forward(s, p.work);
  return {y, states};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> backward(
    const Tensor& dy, const Tensor& u, const Tensor& dt, const Tensor& dt_weight,
    const Tensor& A, const Tensor& B, const Tensor& C, const OptionalTensor& D,
    const OptionalTensor& dt_bias, const Tensor& states, const Integers& routes,
    int64_t height, int64_t width, int64_t interval) {
  Problem p(u, dt, dt_weight, A, B, C, D, dt_bias, routes, height, width, interval);
  Scan& s = p.scan;
  const Tensor kept = kept_states(states, s, p.work);
  // the scans that share u add to du: in the work dtype, narrowed once at the end
  s.share_du = u.size(1) == 1;
  Tensor du = empty(u.sizes(), p.work);
  s.y = view_of(dy, "dy", 0, 1, 2);
  s.du = view_of(du, "du");
  s.states_kept = kept.data_ptr();
  const Partials partials(&s, D.has_value(), dt_bias.has_value(), p.work);
  run_backward(s, p.work);

  const int64_t b = s.batch, g = s.scans, d = s.channels, n = s.states, r = s.rank;
  return {dense(du, s.u.kind),
          sum_rows(s, 2 * n, r, false, s.delta.kind, p.work),
          sum_of(s.dweight, b, {g, d, r}, p.work),
          sum_of(s.dA, b, {g, d, n}, p.work),
          sum_rows(s, 0, n, false, s.B.kind, p.work),
          sum_rows(s, n, n, false, s.C.kind, p.work),
          sum_of(s.dD, b, {g, d}, p.work),
          sum_of(s.dbias, b, {g, d}, p.work)};
}

STABLE_TORCH_LIBRARY_IMPL(mmmambamixer, CPU, m) {
  m.impl("cross_selective_scan", TORCH_BOX(&forward));
  m.impl("cross_selective_scan_backward", TORCH_BOX(&backward));
}

}  // namespace
}  // namespace mmmambamixer
