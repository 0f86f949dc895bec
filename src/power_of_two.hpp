#pragma once
/// \file

#include <bit>
#include <cstdint>

namespace exactnorm {

/// 2^exponent. Precondition: a normal number.
constexpr double power_of_two(int exponent) noexcept {
  return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}

}  // namespace exactnorm
