// CPU kernels of mmmambamixer::cross_selective_scan and its backward.
#include <torch/library.h>

#include "../selective_scan/glue.h"

namespace mmmambamixer {
namespace {

using at::Tensor;

struct Problem {
  Scan scan;
  at::ScalarType work;
  Tensor A, D, bias, weight;  // kept alive here, as the kernels read them

  Problem(const Tensor& u, const Tensor& dt, const Tensor& dt_weight, const Tensor& A_,
          const Tensor& B, const Tensor& C, const OptionalTensor& D_,
          const OptionalTensor& dt_bias, at::IntArrayRef routes, int64_t height,
          int64_t width, int64_t interval)
      : work(work_dtype(u)),
        A(parameter(A_, work)),
        D(parameter(D_, work)),
        bias(parameter(dt_bias, work)),
        weight(parameter(dt_weight, work)) {
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
                                   const Tensor& B, const Tensor& C, const OptionalTensor& D,
                                   const OptionalTensor& dt_bias, at::IntArrayRef routes,
                                   int64_t height, int64_t width, int64_t interval) {
  Problem p(u, dt, dt_weight, A, B, C, D, dt_bias, routes, height, width, interval);
  Scan& s = p.scan;
  const auto options = u.options().dtype(p.work);
  const int64_t tiles = s.keep ? s.tiles() : 0;
  Tensor y = at::empty({s.batch, s.steps, s.channels}, options);
  Tensor states = at::empty({s.batch, s.scans, tiles, s.states, s.channels}, options);
  s.y = view_of(y.unsqueeze(1), "y");
  s.states_kept = states.mutable_data_ptr();
  run_forward(s, p.work);
  return {y, states};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> backward(
    const Tensor& dy, const Tensor& u, const Tensor& dt, const Tensor& dt_weight,
    const Tensor& A, const Tensor& B, const Tensor& C, const OptionalTensor& D,
    const OptionalTensor& dt_bias, const Tensor& states, at::IntArrayRef routes,
    int64_t height, int64_t width, int64_t interval) {
  Problem p(u, dt, dt_weight, A, B, C, D, dt_bias, routes, height, width, interval);
  Scan& s = p.scan;
  const auto options = u.options().dtype(p.work);
  const Tensor kept = states.contiguous();
  // the scans that share u add to du: in the work dtype, narrowed once at the end
  s.share_du = u.size(1) == 1;
  Tensor du = at::empty(u.sizes(), options);
  s.y = view_of(dy.unsqueeze(1), "dy");
  s.du = view_of(du, "du");
  s.states_kept = kept.data_ptr();
  Partials partials(&s, p.D, p.bias, options);
  run(s, p.work == at::kDouble ? kernels().backward_f64 : kernels().backward_f32);

  const int64_t n = s.states;
  const Tensor drows = sum_first(partials.drows, options);
  const auto rows = [&](int64_t first, int64_t count, const Tensor& like) {
    return drows.narrow(-1, first, count).to(like.scalar_type()).contiguous();
  };
  return {du.to(u.scalar_type()),
          rows(2 * n, s.rank, dt),
          sum_first(partials.dweight, options),
          sum_first(partials.dA, options),
          rows(0, n, B),
          rows(n, n, C),
          sum_first(partials.dD, options),
          sum_first(partials.dbias, options)};
}

TORCH_LIBRARY_IMPL(mmmambamixer, CPU, m) {
  m.impl("cross_selective_scan", &forward);
  m.impl("cross_selective_scan_backward", &backward);
}

}  // namespace
}  // namespace mmmambamixer
