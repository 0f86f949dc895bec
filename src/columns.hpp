#pragma once
/// \file
/// A table's columns, one after another.

#include <cstddef>
#include <span>

#include <exactnorm/moments.hpp>

namespace exactnorm {

/// Number of rows. Throws std::invalid_argument unless the columns are as Moments::update_columns wants them,
/// for Moments like these.
std::int64_t check_columns(const Moments& moments, std::span<const Column> columns,
                           const UpdateOptions& options);

/// Calls add(values, kept axes, options with the column's nulls, first feature, number of features) for each.
template <class Add>
void for_each_column(std::span<const Column> columns, const UpdateOptions& options, Add&& add) {
  std::size_t first = 0;
  for (const Column& column : columns) {
    UpdateOptions with_nulls = options;
    with_nulls.valid = column.valid;
    const bool wide = column.values.shape.size() == 2;
    const std::size_t width = wide ? static_cast<std::size_t>(column.values.shape[1]) : 1;
    add(column.values, wide ? Axes{1} : Axes{}, with_nulls, first, width);
    first += width;
  }
}

}  // namespace exactnorm
