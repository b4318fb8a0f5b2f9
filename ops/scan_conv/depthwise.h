// The form of scan_conv with one filter for each feature: weight (g, t, d), bias (g, d).
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

namespace mmmambamixer {

at::Tensor depthwise_forward(const at::Tensor& v, const at::Tensor& weight,
                             const at::Tensor& bias, at::IntArrayRef routes);
std::tuple<at::Tensor, at::Tensor, at::Tensor> depthwise_backward(
    const at::Tensor& dy, const at::Tensor& v, const at::Tensor& weight,
    at::IntArrayRef routes);

}  // namespace mmmambamixer
