// The form of scan_conv with one filter for each feature: weight (g, t, d), bias (g, d).
#pragma once

#include <tuple>

#include "../stable.h"

namespace mmmambamixer {

Tensor depthwise_forward(const Tensor& v, const Tensor& weight, const Tensor& bias,
                         const Integers& routes);
std::tuple<Tensor, Tensor, Tensor> depthwise_backward(const Tensor& dy, const Tensor& v,
                                                      const Tensor& weight,
                                                      const Integers& routes);

}  // namespace mmmambamixer
