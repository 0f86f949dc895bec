#pragma once
/// \file
/// Summing blocks of weighted data.

#include <memory>

#include "block_sums.hpp"

namespace exactnorm {

/// Σw, Σwx, Σwx² and counts. add throws std::invalid_argument for a weight that is negative or not finite.
std::unique_ptr<BlockSums> make_weighted_sums(DType x, DType w, const LoopNest& nest, Feature* features,
                                              ExactSum* weights);

}  // namespace exactnorm
