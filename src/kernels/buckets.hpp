#pragma once
/// \file
/// The portable kernel, for every dtype: integers only, right for any data. It runs where there is no better
/// one, and wherever a better one fails.
///
/// A floating-point column is summed into one bucket per exponent field: the sum of signed mantissas and the
/// sum of squared mantissas of all values that have it. max_run values fit: of float64 2^22 · 2^53 <= 2^127
/// and 2^22 · 2^106 <= 2^128 (strictly less, as a mantissa is below 2^53), of the others 2^16 · 2^24 <= 2^63
/// and 2^16 · 2^48 <= 2^64. So buckets may stay open for long, and emptying them costs little.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <exactnorm/moments.hpp>

#include "../decode.hpp"
#include "../natural.hpp"

namespace exactnorm::kernels {

template <class Format>
class Buckets {
 public:
  /// Most values between two spills.
  static constexpr std::size_t max_run = std::size_t{1} << (Format::fraction_bits > 23 ? 22 : 16);

  /// Values since the last spill.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  /// Adds values, stride bytes apart. Precondition: with them there are at most max_run.
  void add(const std::byte* x, std::size_t count, std::ptrdiff_t stride) noexcept {
    for (std::size_t i = 0; i < count; ++i, x += stride) {
      const auto bits = load<Bits>(x);
      const auto field = static_cast<std::size_t>((bits & Format::magnitude_mask) >> Format::fraction_bits);
      const std::uint64_t hidden = field != 0 ? std::uint64_t{1} << Format::fraction_bits : 0;
      const std::uint64_t mantissa = (bits & Format::fraction_mask) | hidden;
      Bucket& bucket = buckets_[field];
      const auto signed_mantissa = static_cast<std::int64_t>(mantissa);
      bucket.sum += bits > Format::magnitude_mask ? -signed_mantissa : signed_mantissa;
      bucket.squares += static_cast<Square>(mantissa) * mantissa;
      if (field == Format::special) {
        count_special(bits);
      }
      first_ = std::min(first_, field);
      last_ = std::max(last_, field);
    }
    count_ += count;
  }

  /// Moves everything to the feature. (Only memory can fail.)
  void spill(Feature& feature) {
    feature.counts.finite +=
        static_cast<std::int64_t>(count_) - special_.nan - special_.posinf - special_.neginf;
    feature.counts.nan += special_.nan;
    feature.counts.posinf += special_.posinf;
    feature.counts.neginf += special_.neginf;
    for (std::size_t field = first_; field <= last_; ++field) {
      Bucket& bucket = buckets_[field];
      if (bucket.squares != 0 && field != Format::special) {
        const int exponent = static_cast<int>(std::max<std::size_t>(field, 1)) - Format::bias;
        add_signed(feature.sum, bucket.sum, exponent);
        const auto squares = static_cast<uint128>(bucket.squares);
        feature.sumsq.add_wide(static_cast<std::uint64_t>(squares >> 64), static_cast<std::uint64_t>(squares),
                               2 * exponent);
      }
      bucket = {};
    }
    first_ = Format::exponents - 1;
    last_ = 0;
    count_ = 0;
    special_ = {};
  }

 private:
  using Bits = typename Format::Bits;
  static constexpr bool is_narrow = Format::fraction_bits <= 23;
  using Mantissas = std::conditional_t<is_narrow, std::int64_t, int128>;
  using Square = std::conditional_t<is_narrow, std::uint64_t, uint128>;
  struct Bucket {
    Mantissas sum = 0;
    Square squares = 0;
  };

  static void add_signed(ExactSum& sum, Mantissas mantissas, int exponent) {
    const bool negative = mantissas < 0;
    const auto magnitude = static_cast<uint128>(negative ? -mantissas : mantissas);
    sum.add_wide(static_cast<std::uint64_t>(magnitude >> 64), static_cast<std::uint64_t>(magnitude), exponent,
                 negative);
  }

  void count_special(Bits bits) noexcept {
    if ((bits & Format::fraction_mask) != 0) {
      ++special_.nan;
    } else {
      ++(bits > Format::magnitude_mask ? special_.neginf : special_.posinf);
    }
  }

  std::array<Bucket, Format::exponents> buckets_{};
  std::size_t first_ = Format::exponents - 1;
  std::size_t last_ = 0;
  std::size_t count_ = 0;
  Counts special_;
};

/// Integers need no buckets: 2^22 · 2^64 and the two halves of 2^22 squares fit in 128 bits each.
template <class Format>
requires(!Format::is_float) class Buckets<Format> {
 public:
  static constexpr std::size_t max_run = std::size_t{1} << 22;

  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  void add(const std::byte* x, std::size_t count, std::ptrdiff_t stride) noexcept {
    for (std::size_t i = 0; i < count; ++i, x += stride) {
      const Decoded value = decode<Format>(load<typename Format::Bits>(x));
      sum_ += value.negative ? -static_cast<int128>(value.mantissa) : static_cast<int128>(value.mantissa);
      const uint128 square = static_cast<uint128>(value.mantissa) * value.mantissa;
      low_squares_ += static_cast<std::uint64_t>(square);
      high_squares_ += square >> 64;
    }
    count_ += count;
  }

  void spill(Feature& feature) {
    feature.counts.finite += static_cast<std::int64_t>(count_);
    const bool negative = sum_ < 0;
    add(feature.sum, static_cast<uint128>(negative ? -sum_ : sum_), 0, negative);
    add(feature.sumsq, low_squares_, 0, false);
    add(feature.sumsq, high_squares_, 64, false);
    sum_ = 0;
    low_squares_ = high_squares_ = 0;
    count_ = 0;
  }

 private:
  static void add(ExactSum& sum, uint128 integer, int exponent, bool negative) {
    sum.add_wide(static_cast<std::uint64_t>(integer >> 64), static_cast<std::uint64_t>(integer), exponent,
                 negative);
  }

  int128 sum_ = 0;
  uint128 low_squares_ = 0;
  uint128 high_squares_ = 0;
  std::size_t count_ = 0;
};

}  // namespace exactnorm::kernels
