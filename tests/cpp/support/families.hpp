#pragma once
/// \file
/// Data that are hard on the anchored kernels: at their bounds, beyond, changing in the middle.

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/kernels.hpp"

namespace families {

/// Fills a table of rows × columns in C order.
template <class T>
class Generator {
 public:
  using Format = std::conditional_t<sizeof(T) == 4, exactnorm::Float32, exactnorm::Float64>;
  static constexpr exactnorm::kernels::Scheme scheme = exactnorm::kernels::scheme_of<Format>();
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

  explicit Generator(std::uint64_t seed) : random_(seed) {}

  static std::vector<std::string> names() {
    return {
        "ordinary",         "as full as can be", "full and negative", "full, alternating", "largest numbers",
        "smallest allowed", "one too small",     "one too large",     "subnormal",         "zeros",
        "huge then tiny",   "tiny then huge",    "far apart",         "kinds sprinkled",   "wandering scale",
        "any bits",         "constant",          "at the clamps",     "half NaN",          "lognormal",
        "outliers",         "zero-inflated"};
  }

  std::vector<T> make(const std::string& name, std::size_t rows, std::size_t columns) {
    std::vector<T> x(rows * columns);
    std::vector<int> scales(columns);
    for (int& scale : scales) {
      scale = pick(-40, 40);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        x[r * columns + c] = element(name, r, c, rows, scales[c]);
      }
    }
    return x;
  }

  std::mt19937_64& random() { return random_; }

 private:
  static T power(int exponent) { return std::ldexp(T{1}, exponent); }
  static T below(T x) { return std::nextafter(x, T{0}); }
  // E - m of a tier.
  static int spread(std::size_t tier) { return scheme.capacity[tier] - scheme.fraction_bits; }
  int pick(int from, int to) {
    return from + static_cast<int>(random_() % static_cast<unsigned>(to - from + 1));
  }
  T sign() { return random_() % 2 == 0 ? T{1} : T{-1}; }
  // Any mantissa in [1, 2).
  T mantissa() {
    const auto one = std::bit_cast<Bits>(T{1});
    return std::bit_cast<T>(
        static_cast<Bits>(one | (random_() & ((Bits{1} << (std::numeric_limits<T>::digits - 1)) - 1))));
  }

  // The first row is 2^scale, so that the first exponent is E = scale + 2.
  T element(const std::string& name, std::size_t r, std::size_t c, std::size_t rows, int& scale) {
    // The smallest that the first or the second tier takes.
    const int smallest = scale + 2 - spread(1 + c % 2);
    if (name == "ordinary") {
      return static_cast<T>(std::normal_distribution<double>(static_cast<double>(c), 1)(random_));
    }
    if (name == "as full as can be") {
      return r == 0 ? power(scale) : below(power(scale + 2));
    }
    if (name == "full and negative") {
      return r == 0 ? power(scale) : -below(power(scale + 2));
    }
    if (name == "full, alternating") {
      return r == 0 ? power(scale) : r % 2 == 0 ? -below(power(scale + 2)) : below(power(scale + 2));
    }
    if (name == "largest numbers") {
      const T largest = sizeof(T) == 4 ? std::numeric_limits<T>::max() : below(power(scheme.max_exponent));
      return c % 3 == 0 ? largest : c % 3 == 1 ? -largest : sign() * largest;
    }
    if (name == "smallest allowed" || name == "one too small" || name == "one too large") {
      if (r == 0) {
        return power(scale);
      }
      if (r == rows / 2 && name == "one too small") {
        return below(power(smallest));
      }
      if (r == rows / 2 && name == "one too large") {
        return power(scale + 2);
      }
      const int exponent = random_() % 3 == 0   ? smallest
                           : random_() % 2 == 0 ? scale + 1
                                                : pick(smallest, scale + 1);
      return sign() * mantissa() * power(exponent);
    }
    if (name == "subnormal") {
      return sign() * std::bit_cast<T>(static_cast<Bits>(
                          random_() % (Bits{1} << (std::numeric_limits<T>::digits - 1 + (c % 2)))));
    }
    if (name == "zeros") {
      return r == rows / 2 && c % 4 == 0 ? mantissa() : sign() * T{0};
    }
    if (name == "huge then tiny" || name == "tiny then huge") {
      const bool huge = (r < 1 + rows / 3) == (name == "huge then tiny");
      return sign() * mantissa() * power(huge ? scale + 60 : scale - 60);
    }
    if (name == "far apart") {
      return sizeof(T) == 4 ? static_cast<T>((r + c) % 2 == 0 ? 1e38 : 1e-38)
                            : static_cast<T>((r + c) % 2 == 0 ? 1e300 : 1e-300);
    }
    if (name == "kinds sprinkled") {
      switch (random_() % 1500) {
        case 0:
          return std::numeric_limits<T>::quiet_NaN();
        case 1:
          return sign() * std::numeric_limits<T>::infinity();
        default:
          return sign() * mantissa() * power(scale);
      }
    }
    if (name == "wandering scale") {
      scale += random_() % 700 == 0 ? pick(-25, 25) : 0;
      return sign() * mantissa() * power(scale - pick(0, 3));
    }
    if (name == "any bits") {
      return std::bit_cast<T>(static_cast<Bits>(random_()));
    }
    if (name == "constant") {
      return static_cast<T>(static_cast<double>(c) + 0.1);
    }
    if (name == "half NaN") {
      return random_() % 2 == 0 ? std::numeric_limits<T>::quiet_NaN()
                                : static_cast<T>(std::normal_distribution<double>(5, 2)(random_));
    }
    if (name == "lognormal") {
      return static_cast<T>(std::lognormal_distribution<double>(0, 3)(random_));
    }
    if (name == "outliers") {
      return random_() % 300 == 0 ? sign() * mantissa() * power(pick(20, 90))
                                  : static_cast<T>(std::normal_distribution<double>(0, 1)(random_));
    }
    if (name == "zero-inflated") {
      return random_() % 10 != 0 ? T{0} : static_cast<T>(std::normal_distribution<double>(0, 1)(random_));
    }
    // "at the clamps": around the least and largest exponents that a column may have
    const int edge = c % 2 == 0 ? scheme.min_exponent : scheme.max_exponent;
    const int exponent = edge - 1 - pick(0, c % 4 < 2 ? 3 : spread(2) + 2) + pick(0, c % 8 < 4 ? 0 : 2);
    return exponent >= std::numeric_limits<T>::max_exponent ? sign() * std::numeric_limits<T>::max()
                                                            : sign() * mantissa() * power(exponent);
  }

  std::mt19937_64 random_;
};

}  // namespace families
