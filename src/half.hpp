#pragma once
/// \file
/// float16 and bfloat16 to and from float and double, by their bits: exact one way, one rounding the other.

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <exactnorm/tensor_view.hpp>

namespace exactnorm {

/// condition ? a : b without a branch, for loops that are to be vectorised.
template <class Bits>
constexpr Bits choose(bool condition, Bits a, Bits b) noexcept {
  const Bits mask = Bits{0} - Bits{condition};
  return (a & mask) | (b & ~mask);
}

/// The exact value; infinities and NaN stay what they are. Independent of the control word.
inline float to_float(float16_bits value) noexcept {
  const auto bits = static_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fff;
  // A subnormal is its fraction times 2^-24: at most 10 bits times a power of two, so nothing rounds, and the
  // product is normal.
  const float subnormal = static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24F;
  const std::uint32_t normal = (magnitude << 13) + ((127U - 15U) << 23);
  const std::uint32_t special = (magnitude << 13) | 0x7f800000;
  const std::uint32_t number = choose(magnitude < 0x0400, std::bit_cast<std::uint32_t>(subnormal), normal);
  const std::uint32_t result = choose(magnitude < 0x7c00, number, special);
  return std::bit_cast<float>(result | (bits & 0x8000) << 16);
}
inline float to_float(bfloat16_bits value) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

/// The nearest float16 or bfloat16, ties to even, straight from a float or double: one rounding. Too large
/// becomes infinity, NaN the quiet NaN of its sign. Needs FpEnvironment.
///
/// Let f be the number of fraction bits that To has fewer than From. (a) In To's normal range, adding 2^(f-1)
/// - 1 + (lowest kept bit) to the bits of |x| and cutting off f bits rounds to nearest even: the sum carries
/// into the kept bits exactly if the cut-off part is over half, or half with an odd kept bit. A carry out of
/// the fraction raises the exponent by one, which is right, and gives infinity after the largest exponent.
/// Changing the exponent's bias first moves only bits above the lowest kept one. (b) Below To's normal range,
/// To's grid is the spacing u of its subnormals. M = u · 2^(From's fraction bits) has that spacing as its own
/// last place, and |x| < M: so |x| + M lies in [M, 2M), where the one rounding of the addition is that to the
/// multiples of u, and the even one of two is the one with the even integer, M/u being even. The integer is
/// the difference of the bits; where it reaches To's smallest normal number, its bits are that number's.
template <class To, class From>
To to_half(From x) noexcept {
  constexpr bool is_float16 = std::is_same_v<To, float16_bits>;
  using Bits = std::conditional_t<sizeof(From) == 4, std::uint32_t, std::uint64_t>;
  constexpr int from_fraction = std::numeric_limits<From>::digits - 1;
  constexpr int from_bias = std::numeric_limits<From>::max_exponent - 1;
  constexpr int fraction = is_float16 ? 10 : 7;
  constexpr int bias = is_float16 ? 15 : 127;
  constexpr int cut = from_fraction - fraction;
  constexpr auto from_power = [](int exponent) {
    return static_cast<Bits>(exponent + from_bias) << from_fraction;
  };
  constexpr Bits from_infinity = from_power(from_bias + 1);
  constexpr Bits rebias = static_cast<Bits>(from_bias - bias) << from_fraction;
  constexpr Bits infinity = static_cast<Bits>(2 * bias + 1) << fraction;
  constexpr Bits magic = from_power(1 - bias - fraction + from_fraction);

  const Bits bits = std::bit_cast<Bits>(x);
  const Bits magnitude = bits & ~(Bits{1} << (sizeof(From) * 8 - 1));
  const Bits normal = (magnitude - rebias + ((Bits{1} << (cut - 1)) - 1) + (magnitude >> cut & 1)) >> cut;
  const Bits subnormal =
      std::bit_cast<Bits>(std::bit_cast<From>(magnitude) + std::bit_cast<From>(magic)) - magic;
  const Bits number = choose(magnitude < from_power(1 - bias), subnormal, normal);
  const Bits finite = choose(magnitude < from_power(bias + 1), number, infinity);
  const Bits quiet_nan = infinity | Bits{1} << (fraction - 1);
  const Bits result = choose(magnitude > from_infinity, quiet_nan, finite);
  return static_cast<To>(result | (bits >> (sizeof(From) * 8 - 16) & 0x8000));
}

}  // namespace exactnorm
