#pragma once
/// \file
/// The range of magnitudes of one column of a panel, and which exponent and tier it needs.

#include <algorithm>
#include <climits>
#include <cstddef>
#include <optional>

#include "decode.hpp"
#include "kernels/kernels.hpp"

namespace exactnorm {

/// Exponents of the values of a column that are neither zero nor NaN, and whether there is a NaN.
struct ColumnRange {
  /// All are below 2^above: more than any format has if one is infinite, INT_MIN if there is none.
  int above = INT_MIN;
  /// All are multiples of 2^grid.
  int grid = INT_MAX;
  bool nan = false;

  void include(const ColumnRange& other) noexcept {
    above = std::max(above, other.above);
    grid = std::min(grid, other.grid);
    nan |= other.nan;
  }
};

/// Looks at `count` values of a floating-point format, `stride` elements apart.
template <class Format>
ColumnRange range_of(const typename Format::Bits* x, std::size_t count, std::ptrdiff_t stride) noexcept {
  int largest = 0;
  int smallest = Format::exponents;
  bool nan = false;
  for (std::size_t i = 0; i < count; ++i, x += stride) {
    const auto magnitude = *x & Format::magnitude_mask;
    const auto field = static_cast<int>(magnitude >> Format::fraction_bits);
    const bool is_nan = field == Format::special && (magnitude & Format::fraction_mask) != 0;
    nan |= is_nan;
    largest = std::max(largest, is_nan || magnitude == 0 ? 0 : std::max(field, 1));
    smallest = std::min(smallest, magnitude == 0 ? Format::exponents : std::max(field, 1));
  }
  if (largest == 0) {
    return {INT_MIN, INT_MAX, nan};
  }
  const int above = largest == Format::special ? INT_MAX : largest - Format::special / 2 + 1;
  return {above, smallest - Format::bias, nan};
}

struct Fit {
  int exponent;
  std::size_t tier;
};

/// The exponent and the least tier that take these values, with a binade of headroom where that costs no
/// higher tier; nothing if no tier does. A range without values fits everywhere.
constexpr std::optional<Fit> fit_of(const kernels::Scheme& scheme, const ColumnRange& range) noexcept {
  const auto tier_at = [&](int exponent) {
    std::size_t tier = scheme.first_tier();
    while (tier < kernels::tiers && exponent - range.grid > scheme.capacity[tier]) {
      ++tier;
    }
    return tier;
  };
  if (range.above == INT_MIN) {
    return Fit{std::clamp(0, scheme.min_exponent, scheme.max_exponent), scheme.first_tier()};
  }
  if (range.above > scheme.max_exponent) {
    return {};
  }
  const int tight = std::max(range.above, scheme.min_exponent);
  const int roomy = std::min(tight + 1, scheme.max_exponent);
  const std::size_t tier = tier_at(tight);
  if (tier == kernels::tiers) {
    return {};
  }
  return Fit{tier_at(roomy) == tier ? roomy : tight, tier};
}

}  // namespace exactnorm
