#pragma once
/// \file
/// Natural numbers of any size, for the few operations that readings need: little-endian limbs of 64 bits.

#include <cstdint>
#include <vector>

namespace exactnorm {

using Natural = std::vector<std::uint64_t>;
__extension__ using uint128 = unsigned __int128;
__extension__ using int128 = __int128;

/// Drops zero limbs at the top.
void trim(Natural& n) noexcept;
/// Bits up to the highest one; 0 for zero. n is trimmed.
std::int64_t bit_length(const Natural& n) noexcept;
int bit_length(uint128 n) noexcept;
Natural multiply(const Natural& a, const Natural& b);
/// n · 2^bits; for negative bits the integer part, and inexact is set if anything but zeros was cut off.
Natural shift(const Natural& n, std::int64_t bits, bool& inexact);
/// Integer quotient; n becomes the remainder. Precondition: divisor is trimmed and not zero.
Natural divide(Natural& n, const Natural& divisor);
/// Integer square root.
std::uint64_t square_root(uint128 n) noexcept;

}  // namespace exactnorm
