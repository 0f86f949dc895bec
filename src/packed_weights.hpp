#pragma once
/// \file
/// Weights of any dtype that float32 holds.

#include <cstddef>
#include <cstdint>
#include <vector>

#include <exactnorm/tensor_view.hpp>

namespace exactnorm {

/// Writes `count` weights that lie `stride` bytes apart as float32; false if one is no normal float32 and not
/// 0. Throws as check_weight.
using PackWeights = bool (*)(const std::byte* from, std::ptrdiff_t stride, std::int64_t count, float* to);
PackWeights packing_of_weights(DType dtype);

/// Exponents of some weights: all are 0, or at least 2^least and below 2^above. No weight: least is INT_MAX.
struct WeightRange {
  int above;
  int least;
};

/// Precondition: each is +0 or a positive normal number.
WeightRange range_of_weights(const std::vector<float>& weights) noexcept;

}  // namespace exactnorm
