// Readings of exact numbers, in integers alone: neither the rounding mode nor flush-to-zero can touch them.

#include <bit>
#include <limits>
#include <type_traits>

#include "exact_magnitude.hpp"

namespace exactnorm {
namespace {

// value = (integer + some fraction in [0, 1), zero if and only if !inexact) · 2^exponent.
struct Truncated {
  uint128 integer = 0;
  std::int64_t exponent = 0;
  bool inexact = false;
};

// Rounds to nearest even, once. Precondition: integer has more bits than T's precision, or is zero.
template <class T>
T round_to(bool negative, const Truncated& value) noexcept {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr int precision = std::numeric_limits<T>::digits;
  constexpr int min_exponent = std::numeric_limits<T>::min_exponent - 1;  // of the smallest normal number
  constexpr int max_exponent = std::numeric_limits<T>::max_exponent - 1;
  constexpr Bits infinity = Bits{2 * max_exponent + 1} << (precision - 1);
  const Bits sign = negative ? Bits{1} << (sizeof(T) * 8 - 1) : 0;

  const int length = bit_length(value.integer);
  const std::int64_t exponent = value.exponent + length - 1;  // 2^exponent <= value < 2^(exponent+1)
  if (length == 0 || exponent < min_exponent - precision) {   // below half the smallest subnormal
    return std::bit_cast<T>(sign);
  }
  if (exponent > max_exponent) {
    return std::bit_cast<T>(sign | infinity);
  }
  const bool subnormal = exponent < min_exponent;
  const int keep = subnormal ? precision - static_cast<int>(min_exponent - exponent) : precision;
  const int drop = length - keep;
  const uint128 kept = value.integer >> drop;
  const uint128 rest = value.integer - (kept << drop);
  const uint128 half = uint128{1} << (drop - 1);
  const bool up = rest > half || (rest == half && (value.inexact || (kept & 1) != 0));
  // Rounding up to a power of two carries into the exponent field, and past the last exponent into infinity:
  // as it should.
  auto bits = static_cast<Bits>(kept) + (up ? 1U : 0U);
  if (!subnormal) {
    bits += static_cast<Bits>(exponent - min_exponent)
            << (precision - 1);  // kept's leading one adds the missing 1
  }
  return std::bit_cast<T>(static_cast<Bits>(sign | bits));
}

// a / b with `bits` or one more bits before the point; the exponent is even if asked for.
Truncated quotient(const ExactSum::Magnitude& a, const ExactSum::Magnitude& b, int bits, bool even) {
  Truncated result;
  if (a.limbs.empty()) {
    return result;
  }
  std::int64_t scale = bits + bit_length(b.limbs) - bit_length(a.limbs);
  scale += even ? scale & 1 : 0;  // the limbs' exponents are multiples of 64
  Natural rest = shift(a.limbs, scale, result.inexact);
  const Natural integer = divide(rest, b.limbs);
  result.inexact |= !rest.empty();
  result.integer = integer[0] | (integer.size() > 1 ? static_cast<uint128>(integer[1]) << 64 : 0);
  result.exponent = (std::int64_t{a.exponent} - b.exponent) * 64 - scale;
  return result;
}

}  // namespace

template <class T>
T rounded_quotient(const ExactSum& numerator, const ExactSum& denominator) {
  const ExactSum::Magnitude a = numerator.magnitude();
  return round_to<T>(a.negative, quotient(a, denominator.magnitude(), 64, false));
}

template <class T>
T rounded_sqrt_quotient(const ExactSum& numerator, const ExactSum& denominator) {
  // The root of the integer part is the integer part of the root; it is exact only if nothing was cut off
  // before and it squares back.
  Truncated value = quotient(numerator.magnitude(), denominator.magnitude(), 120, true);
  const std::uint64_t root = square_root(value.integer);
  value.inexact |= static_cast<uint128>(root) * root != value.integer;
  value.integer = root;
  value.exponent /= 2;
  return round_to<T>(false, value);
}

template float rounded_quotient<float>(const ExactSum&, const ExactSum&);
template double rounded_quotient<double>(const ExactSum&, const ExactSum&);
template float rounded_sqrt_quotient<float>(const ExactSum&, const ExactSum&);
template double rounded_sqrt_quotient<double>(const ExactSum&, const ExactSum&);

}  // namespace exactnorm
