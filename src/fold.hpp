#pragma once
/// \file
/// Short rows, one after another, read as long ones.

#include <cstdint>
#include <numeric>

namespace exactnorm {

/// How many rows without a gap between them make one long row, so that any number of columns fills vectors of
/// `group`; 1 if a row does already, or is so wide that its last columns are better summed alone.
constexpr std::int64_t rows_to_fold(std::int64_t columns, std::int64_t group) noexcept {
  constexpr std::int64_t most_columns = 256;
  return columns > most_columns ? 1 : group / std::gcd(columns, group);
}

}  // namespace exactnorm
