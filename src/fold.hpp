#pragma once
/// \file
/// Short rows, one after another, read as long ones.

#include <cstdint>
#include <numeric>

namespace exactnorm {

/// How many rows without a gap between them make one long row, so that any number of columns fills vectors of
/// `group`, and enough of them: 1 if a row does already, or is so wide that its last columns are better
/// summed alone.
constexpr std::int64_t rows_to_fold(std::int64_t columns, std::int64_t group) noexcept {
  constexpr std::int64_t most_columns = 256;
  constexpr std::int64_t least_width = 64;
  if (columns % group == 0 || columns > most_columns) {
    return 1;
  }
  std::int64_t fold = group / std::gcd(columns, group);
  while (fold * columns < least_width) {
    fold *= 2;
  }
  return fold;
}

}  // namespace exactnorm
