#pragma once
/// \file
/// Small arrays straight into the features that are there: no plan, no memory, no threads.

#include <span>

#include <exactnorm/moments.hpp>

namespace exactnorm {

/// Adds x if it is one small contiguous panel that the first tier takes, without masks; else changes nothing
/// and returns false. Preconditions: as of accumulate; the features are not weighted. Strong guarantee.
bool add_small(const TensorView& x, const Axes& kept, const UpdateOptions& options,
               std::span<Feature> features);

}  // namespace exactnorm
