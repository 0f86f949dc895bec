#pragma once
/// \file
/// From compressed sparse columns to exact sums, at the cost of the values that are stored.

#include <cstdint>
#include <span>

#include <exactnorm/moments.hpp>

namespace exactnorm {

/// The number of columns. Throws std::invalid_argument for shapes and dtypes that do not fit one another,
/// and for options that a sparse table has no use for.
std::int64_t check_sparse(const SparseColumns& x, const UpdateOptions& options);

/// Adds all of x, zeros included, to features that are empty, one for each column, and W to weights if
/// options.weights is there. Precondition: check_sparse. Throws std::invalid_argument (offsets, row indices,
/// weights) and Interrupted; features and weights are then half done.
void accumulate_sparse(const SparseColumns& x, const UpdateOptions& options, std::span<Feature> features,
                       std::span<ExactSum> weights);

}  // namespace exactnorm
