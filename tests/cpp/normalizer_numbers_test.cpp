// Every conversion and every step of the arithmetic against integer oracles, whatever the caller's control
// word.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <exactnorm/exact_sum.hpp>
#include <exactnorm/normalizer.hpp>

#include "control_word.hpp"
#include "strided_array.hpp"

namespace exactnorm {
namespace {

using arrays::bits_of;
using arrays::equal_bits;
using arrays::StridedArray;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// ---- an oracle in integers: one rounding of an exact number

template <class T>
T rounded(const ExactSum& exact) {
  return rounded_quotient<T>(exact, ExactSum::from_integer(1));
}

template <class T>
T exact_quotient(T a, T b) {  // b > 0
  return rounded_quotient<T>(ExactSum::from_double(static_cast<double>(a)),
                             ExactSum::from_double(static_cast<double>(b)));
}

template <class T>
std::optional<T> exact_forward(T x, T mean, T divisor) {
  ExactSum difference = ExactSum::from_double(static_cast<double>(x));
  difference -= ExactSum::from_double(static_cast<double>(mean));
  const T rounded_difference = rounded<T>(difference);
  if (!std::isfinite(rounded_difference)) {
    return {};
  }
  return exact_quotient(rounded_difference, divisor);
}

template <class T>
std::optional<T> exact_inverse(T x, T mean, T divisor) {
  const T product = rounded<T>(ExactSum::from_double(static_cast<double>(x)) *
                               ExactSum::from_double(static_cast<double>(divisor)));
  if (!std::isfinite(product)) {
    return {};
  }
  ExactSum sum = ExactSum::from_double(static_cast<double>(product));
  sum += ExactSum::from_double(static_cast<double>(mean));
  return rounded<T>(sum);
}

template <class T>
rc::Gen<T> finite_numbers() {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr int fraction = std::numeric_limits<T>::digits - 1;
  // Any exponent, and often the smallest: subnormals are where a flush shows.
  return rc::gen::oneOf(
      rc::gen::map(rc::gen::arbitrary<Bits>(),
                   [](Bits bits) {
                     const T value = std::bit_cast<T>(bits);
                     return std::isfinite(value) ? value : T{0};
                   }),
      rc::gen::map(
          rc::gen::arbitrary<Bits>(),
          [](Bits bits) { return std::bit_cast<T>(static_cast<Bits>(bits & ((Bits{4} << fraction) - 1))); }),
      rc::gen::map(rc::gen::inRange(-1000, 1000), [](int value) { return static_cast<T>(value) / T{8}; }));
}

template <class T>
void expect_exact_arithmetic() {
  const auto x = *rc::gen::container<std::vector<T>>(37, finite_numbers<T>());
  const T mean = *finite_numbers<T>();
  const T divisor = std::abs(*rc::gen::suchThat(finite_numbers<T>(), [](T value) { return value != 0; }));
  const control::Word word = *rc::gen::elementOf(control::all());
  const Normalizer normalizer =
      Normalizer::from_parts({}, {{static_cast<float>(mean)}, {1}, {static_cast<float>(divisor)}},
                             {{static_cast<double>(mean)}, {1}, {static_cast<double>(divisor)}}, {});
  std::vector<T> forward(x.size());
  std::vector<T> inverse(x.size());
  control::under(word, [&] {
    normalizer.apply(column(std::span<const T>(x)), column(std::span<T>(forward)));
    normalizer.inverse(column(std::span<const T>(x)), column(std::span<T>(inverse)));
  });
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (const std::optional<T> expected = exact_forward(x[i], mean, divisor)) {
      RC_ASSERT(forward[i] == *expected);
    }
    if (const std::optional<T> expected = exact_inverse(x[i], mean, divisor)) {
      RC_ASSERT(inverse[i] == *expected);
    }
  }
}

RC_GTEST_PROP(NormalizerArithmetic, Float32StepsAreCorrectlyRounded, ()) { expect_exact_arithmetic<float>(); }
RC_GTEST_PROP(NormalizerArithmetic, Float64StepsAreCorrectlyRounded, ()) {
  expect_exact_arithmetic<double>();
}

// ---- conversions, by the identity

const Normalizer& identity() {
  static const Normalizer normalizer = Normalizer::from({}, std::vector{0.0}, std::vector{1.0});
  return normalizer;
}

// Without a fraction, sign and exponent of a half-precision format; the oracle of the four tests below.
double value_of(DType dtype, unsigned bits) {
  const int fraction = dtype == DType::float16 ? 10 : 7;
  const int bias = dtype == DType::float16 ? 15 : 127;
  const int special = 2 * bias + 1;
  const int exponent = static_cast<int>((bits & 0x7fff) >> fraction);
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const double significand = bits & ((1U << fraction) - 1);
  if (exponent == special) {
    return significand != 0 ? not_a_number : sign * infinity;
  }
  const double hidden = exponent != 0 ? std::ldexp(1.0, fraction) : 0;
  return sign * std::ldexp(hidden + significand, std::max(exponent, 1) - bias - fraction);
}

TEST(NormalizerConversions, DecodeEveryFloat16AndBfloat16) {
  std::vector<std::uint64_t> bits(0x10000);
  std::iota(bits.begin(), bits.end(), std::uint64_t{0});
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    StridedArray x(dtype, {0x10000});
    x.set_bits(bits);
    std::vector<double> expected;
    for (unsigned i = 0; i < 0x10000; ++i) {
      expected.push_back(value_of(dtype, i));
    }
    const std::vector<float> narrow(expected.begin(), expected.end());
    std::vector<double> wide_out(bits.size());
    std::vector<float> narrow_out(bits.size());
    for (const control::Word word : control::all()) {
      control::under(word, [&] {
        identity().apply(x.view(), column(std::span(wide_out)));
        identity().apply(x.view(), column(std::span(narrow_out)));
      });
      ASSERT_TRUE(equal_bits(DType::float64, bits_of(wide_out), bits_of(expected)));
      ASSERT_TRUE(equal_bits(DType::float32, bits_of(narrow_out), bits_of(narrow)));
    }
  }
}

// Between every two neighbours of the format: the lower one, its upper neighbourhood, just below the middle,
// the middle, just above it.
template <class T>
void expect_nearest_half(DType dtype) {
  const unsigned last = dtype == DType::float16 ? 0x7c00 : 0x7f80;  // infinity
  // Rounding takes infinity for the number that would follow the largest.
  const auto finite_value = [&](unsigned bits) {
    return bits == last ? std::ldexp(1.0, dtype == DType::float16 ? 16 : 128) : value_of(dtype, bits);
  };
  constexpr T up = std::numeric_limits<T>::infinity();
  std::vector<T> x;
  std::vector<std::uint64_t> expected;
  for (unsigned low = 0; low < last; ++low) {
    const auto middle = static_cast<T>((finite_value(low) + finite_value(low + 1)) / 2);
    const auto exact = static_cast<T>(finite_value(low));
    const std::pair<T, unsigned> cases[] = {{exact, low},
                                            {std::nextafter(exact, up), low},
                                            {std::nextafter(middle, T{0}), low},
                                            {middle, low + (low & 1)},
                                            {std::nextafter(middle, up), low + 1}};
    for (const auto& [value, bits] : cases) {
      x.insert(x.end(), {value, -value});
      expected.insert(expected.end(), {bits, bits | 0x8000});
    }
  }
  x.insert(x.end(), {std::numeric_limits<T>::max(), -std::numeric_limits<T>::max(), up, -up,
                     static_cast<T>(not_a_number)});
  expected.insert(expected.end(), {last, last | 0x8000, last, last | 0x8000, last + 1});
  StridedArray out(dtype, {static_cast<std::int64_t>(x.size())});
  for (const control::Word word : control::all()) {
    control::under(word, [&] { identity().apply(column(std::span<const T>(x)), out.mutable_view()); });
    ASSERT_TRUE(equal_bits(dtype, out.bits(), expected)) << "control word " << word;
  }
}

TEST(NormalizerConversions, RoundFloat32ToTheNearestFloat16) { expect_nearest_half<float>(DType::float16); }
TEST(NormalizerConversions, RoundFloat32ToTheNearestBfloat16) { expect_nearest_half<float>(DType::bfloat16); }
TEST(NormalizerConversions, RoundFloat64ToTheNearestFloat16) { expect_nearest_half<double>(DType::float16); }
TEST(NormalizerConversions, RoundFloat64ToTheNearestBfloat16) {
  expect_nearest_half<double>(DType::bfloat16);
}

TEST(NormalizerConversions, RoundFloat64OnceAndNotThroughFloat32) {
  // Just above the middle between 1 and the next number of the format; the float32 between is the middle
  // itself, which would go to 1.
  const std::vector<double> x{1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-8 + 0x1p-40};
  StridedArray half(DType::float16, {2});
  StridedArray bfloat(DType::bfloat16, {2});
  identity().apply(column(std::span(x)), half.mutable_view());
  identity().apply(column(std::span(x)), bfloat.mutable_view());
  EXPECT_EQ(half.bits()[0], 0x3c01U);
  EXPECT_EQ(bfloat.bits()[1], 0x3f81U);
}

template <class Integer>
void expect_integers() {
  using Unsigned = std::make_unsigned_t<Integer>;
  auto x = *rc::gen::container<std::vector<Integer>>(40, rc::gen::arbitrary<Integer>());
  const int shift = *rc::gen::inRange(0, static_cast<int>(sizeof(Integer) * 8));
  for (Integer& value : x) {
    // Near powers of two as well; the difference wraps around.
    value = static_cast<Integer>(static_cast<Unsigned>(std::numeric_limits<Integer>::max()) -
                                 static_cast<Unsigned>(value >> shift));
  }
  x.insert(x.end(), {std::numeric_limits<Integer>::min(), std::numeric_limits<Integer>::max(), Integer{0},
                     Integer{1}});
  std::vector<double> out(x.size());
  control::under(*rc::gen::elementOf(control::all()),
                 [&] { identity().apply(column(std::span<const Integer>(x)), column(std::span(out))); });
  for (std::size_t i = 0; i < x.size(); ++i) {
    const ExactSum exact = std::is_signed_v<Integer>
                               ? ExactSum::from_integer(static_cast<std::int64_t>(x[i]))
                               : ExactSum::from_unsigned(static_cast<std::uint64_t>(x[i]));
    RC_ASSERT(out[i] == rounded<double>(exact));
  }
}

RC_GTEST_PROP(NormalizerConversions, TakeEveryInteger, ()) {
  expect_integers<std::int8_t>();
  expect_integers<std::int16_t>();
  expect_integers<std::int32_t>();
  expect_integers<std::int64_t>();
  expect_integers<std::uint8_t>();
  expect_integers<std::uint16_t>();
  expect_integers<std::uint32_t>();
  expect_integers<std::uint64_t>();
}

TEST(NormalizerConversions, TakeAnyByteButZeroForTrue) {
  const std::vector<std::uint8_t> bytes{0, 1, 2, 0x80, 0xff};
  std::vector<float> out(bytes.size());
  identity().apply({bytes.data(), DType::boolean, {5}, {1}}, column(std::span(out)));
  EXPECT_EQ(out, (std::vector<float>{0, 1, 1, 1, 1}));
}

}  // namespace
}  // namespace exactnorm
