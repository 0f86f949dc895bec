#pragma once
/// \file
/// Σw, Σwx and Σwx² in integers, right for any data: what no weighted kernel takes.

#include <array>
#include <cstddef>
#include <cstdint>

#include <exactnorm/moments.hpp>

#include "decode.hpp"
#include "natural.hpp"

namespace exactnorm {

/// Sums of one feature. Each exponent that a sum meets has a slot, of 64 by its lower bits; a slot is emptied
/// when another exponent wants it.
class ProductBuckets {
 public:
  /// Most values between two spills: with mantissas below 2^53, |wx| < 2^106, of which 2^21 stay below 2^127.
  /// wx² is taken in two parts: (lower 64 bits of wx) · x < 2^117, of which 2^10 stay below 2^127, and the
  /// rest.
  static constexpr std::size_t max_run = std::size_t{1} << 10;

  /// Adds a finite x and a weight that is not zero; spills on its own.
  void add(const Decoded& w, const Decoded& x, Feature& feature, ExactSum& weight) {
    if (((w.mantissa | x.mantissa) >> 53) != 0) {  // large integers
      add_directly(w, x, feature, weight);
      return;
    }
    if (++count_ > max_run) {
      spill(feature, weight);
      count_ = 1;
    }
    slot(weights_, w.exponent, weight).sum += static_cast<int128>(w.mantissa);
    if (x.mantissa == 0) {
      return;
    }
    const uint128 wx = static_cast<uint128>(w.mantissa) * x.mantissa;
    const auto signed_wx = static_cast<int128>(wx);
    const int exponent = w.exponent + x.exponent;
    slot(sums_, exponent, feature.sum).sum += x.negative ? -signed_wx : signed_wx;
    const auto low = static_cast<uint128>(static_cast<std::uint64_t>(wx)) * x.mantissa;
    slot(low_squares_, exponent + x.exponent, feature.sumsq).sum += static_cast<int128>(low);
    if (const auto upper = static_cast<std::uint64_t>(wx >> 64); upper != 0) {
      const auto high = static_cast<uint128>(upper) * x.mantissa;
      slot(high_squares_, exponent + x.exponent + 64, feature.sumsq).sum += static_cast<int128>(high);
    }
  }

  /// Moves everything to the sums. (Only memory can fail.)
  void spill(Feature& feature, ExactSum& weight) {
    for (std::size_t i = 0; i < slots; ++i) {
      weights_[i].spill(weight);
      sums_[i].spill(feature.sum);
      low_squares_[i].spill(feature.sumsq);
      high_squares_[i].spill(feature.sumsq);
    }
    count_ = 0;
  }

 private:
  static constexpr std::size_t slots = 64;
  struct Slot {
    int128 sum = 0;
    int exponent = 0;

    void spill(ExactSum& to) {
      if (sum != 0) {
        const bool negative = sum < 0;
        const auto magnitude = static_cast<uint128>(negative ? -sum : sum);
        to.add_wide(static_cast<std::uint64_t>(magnitude >> 64), static_cast<std::uint64_t>(magnitude),
                    exponent, negative);
        sum = 0;
      }
    }
  };
  using Slots = std::array<Slot, slots>;

  static Slot& slot(Slots& all, int exponent, ExactSum& to) {
    Slot& slot = all[static_cast<unsigned>(exponent) % slots];
    if (slot.exponent != exponent) {
      slot.spill(to);
      slot.exponent = exponent;
    }
    return slot;
  }

  static void add_directly(const Decoded& w, const Decoded& x, Feature& feature, ExactSum& weight) {
    weight.add_wide(0, w.mantissa, w.exponent);
    const uint128 wx = static_cast<uint128>(w.mantissa) * x.mantissa;
    add_product(feature.sum, wx, 1, w.exponent + x.exponent, x.negative);
    add_product(feature.sumsq, wx, x.mantissa, w.exponent + 2 * x.exponent, false);
  }
  // sum ± a · b · 2^exponent, a·b of up to 192 bits.
  static void add_product(ExactSum& sum, uint128 a, std::uint64_t b, int exponent, bool negative) {
    const uint128 low = static_cast<uint128>(static_cast<std::uint64_t>(a)) * b;
    const uint128 high = static_cast<uint128>(static_cast<std::uint64_t>(a >> 64)) * b;
    sum.add_wide(static_cast<std::uint64_t>(low >> 64), static_cast<std::uint64_t>(low), exponent, negative);
    sum.add_wide(static_cast<std::uint64_t>(high >> 64), static_cast<std::uint64_t>(high), exponent + 64,
                 negative);
  }

  Slots weights_{};
  Slots sums_{};
  Slots low_squares_{};
  Slots high_squares_{};
  std::size_t count_ = 0;
};

}  // namespace exactnorm
