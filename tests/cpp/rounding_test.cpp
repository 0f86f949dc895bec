// Quotients and roots rounded once: the vectors, and the definition of nearest even itself, in exact numbers.

#include <exactnorm/exact_sum.hpp>

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <type_traits>

#include "support/vectors.hpp"

namespace exactnorm {
namespace {

template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

ExactSum number(const vectors::Json& json) { return ExactSum::from_string(json.get<std::string>()); }

TEST(RoundingVectors, EveryRow) {
  std::size_t rows = 0;
  for (const vectors::Json& one : vectors::load("rounding.json")) {
    SCOPED_TRACE(one["name"].get<std::string>());
    for (const vectors::Json& row : one["rows"]) {
      SCOPED_TRACE(row["numerator"].get<std::string>() + " / " + row["denominator"].get<std::string>());
      const ExactSum numerator = number(row["numerator"]);
      const ExactSum denominator = number(row["denominator"]);
      EXPECT_EQ(vectors::bits_of(rounded_quotient<float>(numerator, denominator)),
                vectors::bits(row["float32"]));
      EXPECT_EQ(vectors::bits_of(rounded_quotient<double>(numerator, denominator)),
                vectors::bits(row["float64"]));
      if (row.contains("sqrt_float32")) {
        EXPECT_EQ(vectors::bits_of(rounded_sqrt_quotient<float>(numerator, denominator)),
                  vectors::bits(row["sqrt_float32"]));
        EXPECT_EQ(vectors::bits_of(rounded_sqrt_quotient<double>(numerator, denominator)),
                  vectors::bits(row["sqrt_float64"]));
      }
      ++rows;
    }
  }
  EXPECT_GT(rows, 500U);
}

// The non-negative number with these bits; for those of infinity the power of two beyond the largest number,
// where it would be if exponents went on.
template <class T>
ExactSum value_of(Bits<T> bits) {
  constexpr int fraction_bits = std::numeric_limits<T>::digits - 1;
  constexpr int least = std::numeric_limits<T>::min_exponent - 1 - fraction_bits;
  const auto field = static_cast<int>(bits >> fraction_bits);
  const auto fraction = static_cast<std::int64_t>(bits & ((Bits<T>{1} << fraction_bits) - 1));
  return field == 0
             ? ExactSum::from_integer(fraction, least)
             : ExactSum::from_integer(fraction | (std::int64_t{1} << fraction_bits), least + field - 1);
}

ExactSum sum(ExactSum a, const ExactSum& b) { return a += b; }
ExactSum half(const ExactSum& a) { return a * ExactSum::from_integer(1, -1); }

// Nearest even: value lies between the middles to both neighbours, and on one only if the result is even.
template <class T, class Compare>
void expect_nearest(T result, Compare&& compare_value_with) {
  ASSERT_FALSE(std::isnan(result));
  const auto bits = std::bit_cast<Bits<T>>(std::fabs(result));
  const bool even = bits % 2 == 0;
  if (bits != 0) {
    const auto below = compare_value_with(half(sum(value_of<T>(bits), value_of<T>(bits - 1))));
    ASSERT_TRUE(below > 0 || (below == 0 && even)) << "too large: " << result;
  }
  if (!std::isinf(result)) {
    const auto above = compare_value_with(half(sum(value_of<T>(bits), value_of<T>(bits + 1))));
    ASSERT_TRUE(above < 0 || (above == 0 && even)) << "too small: " << result;
  }
}

ExactSum magnitude(const ExactSum& a) {
  ExactSum negated;
  negated -= a;
  return a.sign() < 0 ? negated : a;
}

template <class T>
void check(const ExactSum& numerator, const ExactSum& denominator) {
  SCOPED_TRACE(numerator.to_string() + " / " + denominator.to_string());
  const ExactSum positive = magnitude(numerator);
  const T quotient = rounded_quotient<T>(numerator, denominator);
  EXPECT_EQ(std::signbit(quotient), numerator.sign() < 0);
  expect_nearest(quotient, [&](const ExactSum& middle) { return positive <=> middle * denominator; });
  expect_nearest(rounded_sqrt_quotient<T>(positive, denominator),
                 [&](const ExactSum& middle) { return positive <=> middle * middle * denominator; });
}

template <class T>
struct Rounding : ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Rounding, Types);

TYPED_TEST(Rounding, OfRandomQuotientsAtEveryScale) {
  std::mt19937_64 random(1);
  constexpr int range = std::numeric_limits<TypeParam>::max_exponent + 60;
  for (int i = 0; i < 3000; ++i) {
    const int scale = static_cast<int>(random() % (2U * range)) - range;
    ExactSum numerator = ExactSum::from_unsigned(random() >> (random() % 64), scale);
    if (random() % 2 == 0) {
      numerator.add(static_cast<std::int64_t>(random() % 5) - 2, scale - static_cast<int>(random() % 200));
    }
    const ExactSum sign = ExactSum::from_integer(random() % 2 == 0 ? -1 : 1);
    ExactSum denominator = ExactSum::from_unsigned((random() >> (random() % 64)) | 1);
    if (random() % 4 == 0) {
      denominator.add_wide(random(), random(), static_cast<int>(random() % 300));
    }
    check<TypeParam>(numerator * sign, denominator);
    if (this->HasFatalFailure()) {
      return;
    }
  }
}

// Numbers, middles of neighbours and a hair beside both, all times the denominator.
TYPED_TEST(Rounding, AtAndBesideEveryKindOfTie) {
  using B = Bits<TypeParam>;
  constexpr int digits = std::numeric_limits<TypeParam>::digits;
  const auto infinity = std::bit_cast<B>(std::numeric_limits<TypeParam>::infinity());
  const B normal = B{1} << (digits - 1);
  const auto one = std::bit_cast<B>(TypeParam{1});
  std::vector<B> patterns;
  for (const B center :
       {B{0}, B{8}, normal / 2, normal, 2 * normal, one, one + normal, infinity - 1, infinity}) {
    for (B near = center < 4 ? 0 : center - 4; near <= center + 4 && near <= infinity; ++near) {
      patterns.push_back(near);
    }
  }
  for (const B bits : patterns) {
    const ExactSum value = value_of<TypeParam>(bits);
    const ExactSum middle = half(sum(value, value_of<TypeParam>(bits + 1)));
    for (const ExactSum& center : {value, middle}) {
      for (const int hair : {0, 1, -1}) {
        for (const int exponent : {-1200, -2500}) {
          for (const std::int64_t denominator : {1, 3, 0x7fffffff}) {
            ExactSum numerator = center;
            numerator.add(hair, exponent);
            if (numerator.sign() >= 0) {
              check<TypeParam>(numerator * ExactSum::from_integer(denominator),
                               ExactSum::from_integer(denominator));
              // The same middles for roots.
              const ExactSum square = sum(center * center, ExactSum::from_integer(hair, 2 * exponent));
              if (square.sign() >= 0) {
                check<TypeParam>(square * ExactSum::from_integer(denominator),
                                 ExactSum::from_integer(denominator));
              }
            }
            if (this->HasFatalFailure()) {
              return;
            }
          }
        }
      }
    }
  }
}

// Roots a hair beside a tie whose square is so short that nothing is cut off before the root is taken.
TYPED_TEST(Rounding, OfRootsThatOnlyTheRestOfTheRootTellsFromATie) {
  constexpr int digits = std::numeric_limits<TypeParam>::digits;
  std::mt19937_64 random(4);
  for (int i = 0; i < 200; ++i) {
    const ExactSum middle =
        ExactSum::from_unsigned((random() >> (63 - digits)) | (std::uint64_t{1} << digits) | 1);
    for (const int below : {0, -1, -2, -7, -8}) {
      for (const int hair : {-1, 0, 1}) {
        const ExactSum square = sum(middle * middle, ExactSum::from_integer(hair, below));
        for (const int scale : {0, 1, -40, 41}) {
          check<TypeParam>(square * ExactSum::from_integer(1, scale), ExactSum::from_integer(1));
        }
      }
    }
    if (this->HasFatalFailure()) {
      return;
    }
  }
}

TEST(Rounding, GivesInfinityAndSignedZero) {
  const ExactSum one = ExactSum::from_integer(1);
  const ExactSum huge = ExactSum::from_integer(1, 1024);
  const ExactSum tiny = ExactSum::from_integer(-1, -1076);
  EXPECT_EQ(rounded_quotient<double>(huge, one), std::numeric_limits<double>::infinity());
  EXPECT_EQ(rounded_quotient<float>(ExactSum() -= huge, one), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::signbit(rounded_quotient<double>(tiny, one)));
  EXPECT_EQ(rounded_quotient<double>(tiny, one), 0);
  EXPECT_FALSE(std::signbit(rounded_quotient<double>({}, one)));
  EXPECT_EQ(rounded_sqrt_quotient<float>({}, one), 0);
}

}  // namespace
}  // namespace exactnorm
