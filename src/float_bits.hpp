#pragma once
/// \file
/// Questions about floats answered by their bits: a comparison would take a subnormal for zero where the
/// caller flushes, and leave exception flags.

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace exactnorm {

/// The bits without the sign; they order as the magnitudes do, then come NaN.
template <class T>
constexpr auto magnitude_bits(T x) noexcept {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return static_cast<Bits>(std::bit_cast<Bits>(x) & (std::numeric_limits<Bits>::max() >> 1));
}
template <class T>
constexpr bool is_zero(T x) noexcept {
  return magnitude_bits(x) == 0;
}
template <class T>
constexpr bool is_infinite(T x) noexcept {
  return magnitude_bits(x) == magnitude_bits(std::numeric_limits<T>::infinity());
}
template <class T>
constexpr bool is_nan(T x) noexcept {
  return magnitude_bits(x) > magnitude_bits(std::numeric_limits<T>::infinity());
}
/// Neither a NaN nor -0 is.
template <class T>
constexpr bool is_negative(T x) noexcept {
  using Bits = decltype(magnitude_bits(x));
  return std::bit_cast<Bits>(x) != magnitude_bits(x) && !is_zero(x) && !is_nan(x);
}

}  // namespace exactnorm
