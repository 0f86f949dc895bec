#pragma once
/// \file
/// An exact number: the sum of anything finite, with nothing rounded until it is read.

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace exactnorm {

/// An arbitrary-precision dyadic number: a two's-complement integer times 2^(64k), growing as the data need.
///
/// Up to 256 bits live inside the object, more on the heap; memory follows the range of the data, not of the
/// format. Adding is integer addition, so it is associative and commutative to the last bit.
class ExactSum {
 public:
  ExactSum() noexcept = default;
  ExactSum(const ExactSum& other);
  ExactSum(ExactSum&& other) noexcept;
  ExactSum& operator=(const ExactSum& other);
  ExactSum& operator=(ExactSum&& other) noexcept;
  ~ExactSum() = default;

  /// integer · 2^exponent.
  static ExactSum from_integer(std::int64_t integer, int exponent = 0);
  static ExactSum from_unsigned(std::uint64_t integer, int exponent = 0);
  /// A finite float64, exactly. Precondition: value is finite.
  static ExactSum from_double(double value);

  /// Adds integer · 2^exponent. Strong guarantee (memory can fail, and std::length_error past 4 million
  /// bits), as for all that follow. Cost: O(1) limbs touched, amortised.
  void add(std::int64_t integer, int exponent);
  /// Adds ±(high · 2^64 + low) · 2^exponent.
  void add_wide(std::uint64_t high, std::uint64_t low, int exponent, bool negative = false);
  ExactSum& operator+=(const ExactSum& other);
  ExactSum& operator-=(const ExactSum& other);
  friend ExactSum operator*(const ExactSum& a, const ExactSum& b);

  /// Makes room, so that the next 16 calls of add_reserved at this exponent, and at others that room was made
  /// for with nothing else in between, cannot fail. The value does not change.
  void reserve(int exponent);
  /// Adds integer · 2^exponent where reserve has made room; integer = high · 2^64 + low, |integer| <= 2^122.
  void add_reserved(std::int64_t high, std::uint64_t low, int exponent) noexcept;

  /// Makes room, so that the next `+= other` or `-= other` cannot fail. The value does not change.
  void reserve_for(const ExactSum& other);

  [[nodiscard]] int sign() const noexcept;  ///< -1, 0, 1
  friend bool operator==(const ExactSum& a, const ExactSum& b) noexcept;
  friend std::strong_ordering operator<=>(const ExactSum& a, const ExactSum& b);

  /// The canonical form `[-]0x<odd hexadecimal integer>p<sign><exponent>`, zero `0x0p+0`. See contract.md,
  /// "The state document".
  [[nodiscard]] std::string to_string() const;
  /// The inverse of to_string; accepts the canonical form alone. Throws std::invalid_argument that says what
  /// is wrong.
  static ExactSum from_string(std::string_view text);

  /// The longest text from_string accepts: no sum of 2^63 weighted squares of finite float64 numbers is
  /// longer.
  static constexpr std::size_t max_text_length = 2048;
  /// The largest exponent, either way, that from_string accepts: (2^-1074)³ is the smallest weighted square.
  static constexpr std::int32_t max_exponent = 3 * 1074;

  /// Sign and natural number (src/exact_magnitude.hpp), for products and readings.
  struct Magnitude;
  [[nodiscard]] Magnitude magnitude() const;
  static ExactSum from_magnitude(const Magnitude& magnitude);

 private:
  static constexpr std::uint32_t inline_limbs = 4;

  std::uint64_t* limbs() noexcept { return heap_ ? heap_.get() : inline_.data(); }
  [[nodiscard]] const std::uint64_t* limbs() const noexcept { return heap_ ? heap_.get() : inline_.data(); }
  void cover(std::int32_t low, std::int32_t high);
  void add_limbs(const std::uint64_t* digits, std::uint32_t count, std::int32_t at,
                 std::uint64_t extension) noexcept;
  struct Trimmed;
  [[nodiscard]] Trimmed trimmed() const noexcept;

  // value = Σ limbs[i] · 2^(64·(i + exponent_)), the top limb signed. size_ == 0 is zero.
  std::unique_ptr<std::uint64_t[]> heap_;
  std::array<std::uint64_t, inline_limbs> inline_{};
  std::int32_t exponent_ = 0;
  std::uint16_t size_ = 0;
  std::uint16_t capacity_ = inline_limbs;
};

/// numerator / denominator, rounded once to T (float or double), to nearest even; overflow gives infinity,
/// underflow subnormals or zero. Precondition: denominator > 0.
template <class T>
T rounded_quotient(const ExactSum& numerator, const ExactSum& denominator);

/// sqrt(numerator / denominator), correctly rounded. Precondition: numerator >= 0, denominator > 0.
template <class T>
T rounded_sqrt_quotient(const ExactSum& numerator, const ExactSum& denominator);

}  // namespace exactnorm
