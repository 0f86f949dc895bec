#pragma once
/// \file
/// A slow and obvious model of ExactSum: a fixed-point number of 16,384 bits in two's complement, a bit at a
/// time where it can be.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

class Model {
 public:
  /// Bits below the point.
  static constexpr int point = 8192;
  static constexpr std::size_t words = 2 * point / 32;

  Model& operator+=(const Model& other) {
    std::uint64_t carry = 0;
    for (std::size_t i = 0; i < words; ++i) {
      carry += std::uint64_t{words_[i]} + other.words_[i];
      words_[i] = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    return *this;
  }
  Model operator-() const {
    Model result = *this;
    for (std::uint32_t& word : result.words_) {
      word = ~word;
    }
    Model least;
    least.words_[0] = 1;
    return result += least;
  }
  Model& operator-=(const Model& other) { return *this += -other; }

  /// ±(high · 2^64 + low) · 2^exponent.
  static Model of(std::uint64_t high, std::uint64_t low, int exponent, bool negative = false) {
    Model result;
    for (int i = 0; i < 128; ++i) {
      if (((i < 64 ? low >> i : high >> (i - 64)) & 1) != 0) {
        const auto at = static_cast<std::size_t>(point + exponent + i);
        result.words_[at / 32] |= 1U << (at % 32);
      }
    }
    return negative ? -result : result;
  }
  static Model of(std::int64_t integer, int exponent) {
    const auto bits = static_cast<std::uint64_t>(integer);
    return integer < 0 ? of(0, 0 - bits, exponent, true) : of(0, bits, exponent);
  }

  [[nodiscard]] bool negative() const { return words_.back() >> 31 != 0; }
  [[nodiscard]] bool zero() const {
    return std::all_of(words_.begin(), words_.end(), [](std::uint32_t word) { return word == 0; });
  }
  [[nodiscard]] int sign() const { return negative() ? -1 : zero() ? 0 : 1; }

  friend bool operator==(const Model&, const Model&) = default;
  friend bool operator<(const Model& a, const Model& b) {
    Model difference = a;
    return (difference -= b).negative();
  }

  /// The canonical form.
  [[nodiscard]] std::string to_string() const {
    if (zero()) {
      return "0x0p+0";
    }
    const Model magnitude = negative() ? -*this : *this;
    int low = 0;
    while (!magnitude.bit(low)) {
      ++low;
    }
    std::string digits;
    for (int at = low; at < 2 * point; at += 4) {
      int digit = 0;
      for (int i = 3; i >= 0; --i) {
        digit = 2 * digit + (at + i < 2 * point && magnitude.bit(at + i) ? 1 : 0);
      }
      digits += "0123456789abcdef"[digit];
    }
    digits.erase(digits.find_last_not_of('0') + 1);
    std::reverse(digits.begin(), digits.end());
    const int exponent = low - point;
    return (negative() ? "-0x" : "0x") + digits + (exponent < 0 ? "p" : "p+") + std::to_string(exponent);
  }

 private:
  [[nodiscard]] bool bit(int at) const {
    return (words_[static_cast<std::size_t>(at) / 32] >> (at % 32) & 1) != 0;
  }

  std::array<std::uint32_t, words> words_{};
};
