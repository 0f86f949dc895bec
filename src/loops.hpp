#pragma once
/// \file
/// Any view and any kept axes as a few nested loops around a rectangle of rows and columns.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <exactnorm/moments.hpp>

namespace exactnorm {

/// What an update walks over side by side. An absent operand has a null base and strides 0.
enum Operand : std::size_t { data_operand, where_operand, weights_operand, valid_operand, operand_count };

/// One loop: how far each operand and the feature index move at every step. feature is 0 on a reduced axis.
struct Loop {
  std::int64_t extent = 1;
  std::array<std::int64_t, operand_count> strides{};
  std::int64_t feature = 0;
};

/// rows runs over a reduced axis, columns over a kept one, and outer over all others. Reduced axes are
/// merged, reordered and reversed as suits memory: sums do not depend on the order.
struct LoopNest {
  std::array<const std::byte*, operand_count> bases{};
  std::vector<Loop> outer_reduced;
  std::vector<Loop> outer_kept;
  Loop rows;
  Loop columns;
};

/// Preconditions: kept is sorted and in range; the masks' shapes have been checked (see check_operands).
LoopNest plan_loops(const TensorView& x, const Axes& kept, const UpdateOptions& options);

/// Throws std::invalid_argument if where, weights or valid do not fit x.
void check_operands(const TensorView& x, const UpdateOptions& options);

/// The product of the extents.
std::int64_t steps(const std::vector<Loop>& loops) noexcept;

/// Moves a point of the walk to step `index` of the loops, last loop fastest.
struct Position {
  std::array<const std::byte*, operand_count> at{};
  std::int64_t feature = 0;

  void advance(const Loop& loop, std::int64_t by) noexcept {
    for (std::size_t i = 0; i < operand_count; ++i) {
      at[i] += loop.strides[i] * by;
    }
    feature += loop.feature * by;
  }
  void advance(const std::vector<Loop>& loops, std::int64_t index) noexcept;
};

}  // namespace exactnorm
