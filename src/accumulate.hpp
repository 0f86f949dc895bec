#pragma once
/// \file
/// From a view to exact sums: cuts the work into blocks, gives them to threads, and picks the kernel.

#include <span>

#include <exactnorm/moments.hpp>

namespace exactnorm {

/// Adds all of x to features, one for each index of the kept axes in C order, and W to weights if
/// options.weights is there. Preconditions: kept is sorted and in range, the spans have the right lengths.
/// Throws std::invalid_argument (masks, weights) and Interrupted; features and weights are then half done.
void accumulate(const TensorView& x, const Axes& kept, const UpdateOptions& options,
                std::span<Feature> features, std::span<ExactSum> weights);

}  // namespace exactnorm
