#pragma once
/// \file
/// Sums rows of many groups, each into features of its own.

#include <cstddef>

#include <exactnorm/moments.hpp>

#include "group_ids.hpp"

namespace exactnorm {

/// Where the features of groups lie: those of group g are `width` from features[g * stride], and their
/// weights likewise.
struct GroupTargets {
  Feature* features;
  ExactSum* weights;  ///< null if options.weights is absent
  std::size_t stride;
  std::size_t width;

  /// Some of each group's features.
  [[nodiscard]] GroupTargets part(std::size_t first, std::size_t count) const {
    return {features + first, weights != nullptr ? weights + first : nullptr, stride, count};
  }
};

/// Rows first … first + count - 1 of a view and of what options say of its rows.
TensorView rows_of(TensorView view, std::int64_t first, std::int64_t count);
UpdateOptions rows_of(const UpdateOptions& options, std::int64_t first, std::int64_t count);

/// Adds all of x, whose rows (its first axis) are in that order. Preconditions: kept is sorted and in range,
/// without axis 0; there are targets for all groups. Throws std::invalid_argument (masks, weights) and
/// Interrupted; the targets are then half done.
void accumulate_groups(const TensorView& x, const Axes& kept, const UpdateOptions& options,
                       const RowOrder& order, const GroupTargets& into);

}  // namespace exactnorm
