// The numbers: readings, divisors, every conversion and every step of the arithmetic, whatever the caller's
// control word.

#include <exactnorm/normalizer.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include <exactnorm/state.hpp>

#include "control_word.hpp"
#include "strided_array.hpp"

namespace exactnorm {
namespace {

using arrays::equal_bits;
using arrays::StridedArray;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

std::vector<std::uint64_t> bits_of(const json& texts) {
  std::vector<std::uint64_t> bits;
  for (const json& text : texts) {
    bits.push_back(std::stoull(text.get<std::string>(), nullptr, 16));
  }
  return bits;
}

template <class T>
std::vector<std::uint64_t> bits_of(const std::vector<T>& numbers) {
  std::vector<std::uint64_t> bits;
  for (const T number : numbers) {
    bits.push_back(std::bit_cast<std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>(number));
  }
  return bits;
}

std::vector<double> doubles(const json& texts) {
  std::vector<double> numbers;
  for (const std::uint64_t bits : bits_of(texts)) {
    numbers.push_back(std::bit_cast<double>(bits));
  }
  return numbers;
}

const json& vectors() {
  static const json cases = json::parse(std::ifstream(EXACTNORM_VECTORS_DIR "/apply.json"));
  return cases;
}

std::optional<Moments> moments_of(const json& c) {
  return c.contains("state") ? std::optional(moments_from_bytes(c["state"].get<std::string>()))
                             : std::nullopt;
}

Normalizer build(const json& c, const Shape& shape, const std::optional<Moments>& moments) {
  NormalizerOptions options{.axis = c["axis"].is_null() ? Axes{} : c["axis"].get<Axes>(),
                            .constant_policy = constant_policy_named(c["constant_policy"].get<std::string>()),
                            .epsilon = doubles(json::array({c["epsilon"]}))[0]};
  if (moments) {
    options.nan_policy = policy_named(c["nan_policy"].get<std::string>(), "nan_policy");
    options.inf_policy = policy_named(c["inf_policy"].get<std::string>(), "inf_policy");
    return Normalizer::from(*moments, options);
  }
  const Shape features = feature_shape(shape, kept_axes(*options.axis, shape.size()));
  return Normalizer::from(features, doubles(c["mean"]), doubles(c["variance"]), options);
}

StridedArray array_of(const json& x) {
  const auto extents = x["shape"].get<std::vector<std::int64_t>>();
  StridedArray array(dtype_named(x["dtype"].get<std::string>()), Shape(extents));
  array.set_bits(bits_of(x["bits"]));
  return array;
}

template <class T>
void expect_scale(const Normalizer& normalizer, const json& c, const std::string& type) {
  const DType dtype = dtype_of<T>();
  EXPECT_TRUE(equal_bits(dtype, bits_of(normalizer.scale<T>().mean), bits_of(c["mean_" + type])));
  EXPECT_TRUE(equal_bits(dtype, bits_of(normalizer.scale<T>().divisor), bits_of(c["divisor_" + type])));
  EXPECT_EQ(normalizer.overflowing_features<T>(), c["overflows_" + type].get<std::vector<std::size_t>>());
}

TEST(NormalizerVectors, Hold) {
  ASSERT_GT(vectors().size(), 100U);
  for (const json& c : vectors()) {
    SCOPED_TRACE(c["name"].get<std::string>());
    const StridedArray x = array_of(c["x"]);
    if (c.contains("error")) {
      EXPECT_THROW(build(c, x.shape(), moments_of(c)), std::invalid_argument);
      continue;
    }
    const Normalizer normalizer = build(c, x.shape(), moments_of(c));
    expect_scale<float>(normalizer, c, "float32");
    expect_scale<double>(normalizer, c, "float64");
    StridedArray out(dtype_named(c["out"].get<std::string>()), x.shape());
    EXPECT_EQ(name_of(compute_type(x.dtype(), out.dtype())), c["compute_type"].get<std::string>());
    normalizer.apply(x.view(), out.mutable_view());
    EXPECT_TRUE(equal_bits(out.dtype(), out.bits(), bits_of(c["forward"])));
    normalizer.inverse(x.view(), out.mutable_view());
    EXPECT_TRUE(equal_bits(out.dtype(), out.bits(), bits_of(c["inverse"])));
  }
}

TEST(NormalizerVectors, HoldUnderEveryControlWordAndLeaveIt) {
  for (const control::Word word : control::all()) {
    for (const json& c : vectors()) {
      if (c.contains("error")) {
        continue;
      }
      SCOPED_TRACE(c["name"].get<std::string>() + ", control word " + std::to_string(word));
      const StridedArray x = array_of(c["x"]);
      StridedArray forward(dtype_named(c["out"].get<std::string>()), x.shape());
      StridedArray inverse = forward;
      const std::optional<Moments> moments = moments_of(c);
      std::optional<Normalizer> normalizer;
      const control::Word after = control::under(word, [&] {
        normalizer = build(c, x.shape(), moments);
        normalizer->apply(x.view(), forward.mutable_view());
        normalizer->inverse(x.view(), inverse.mutable_view());
      });
      EXPECT_EQ(after, word);
      expect_scale<float>(*normalizer, c, "float32");
      expect_scale<double>(*normalizer, c, "float64");
      EXPECT_TRUE(equal_bits(forward.dtype(), forward.bits(), bits_of(c["forward"])));
      EXPECT_TRUE(equal_bits(inverse.dtype(), inverse.bits(), bits_of(c["inverse"])));
    }
  }
}

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
  auto x = *rc::gen::container<std::vector<Integer>>(40, rc::gen::arbitrary<Integer>());
  const int shift = *rc::gen::inRange(0, static_cast<int>(sizeof(Integer) * 8));
  for (Integer& value : x) {
    value = static_cast<Integer>(std::numeric_limits<Integer>::max() -
                                 (value >> shift));  // near powers of two as well
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

// ---- policies

TEST(Normalizer, ReadsMomentsAtBothTypes) {
  Moments m({2});
  const std::vector<double> x{0.1, 5, 0.2, 5, 0.3, 5};
  m.update(rows(x.data(), 3, 2));
  const Normalizer normalizer = Normalizer::from(m);
  EXPECT_EQ(normalizer.scale<float>().mean, m.mean<float>());
  EXPECT_EQ(normalizer.scale<float>().variance, m.variance<float>());
  EXPECT_EQ(normalizer.scale<double>().mean, m.mean<double>());
  EXPECT_EQ(normalizer.scale<double>().variance, m.variance<double>());
  EXPECT_EQ(normalizer.scale<double>().divisor, (std::vector{std::sqrt(m.variance<double>()[0]), 1e-7}));
  EXPECT_EQ(normalizer.scale<float>().divisor, (std::vector{std::sqrt(m.variance<float>()[0]), 1e-7F}));
  const Normalizer unit = Normalizer::from(m, {.constant_policy = ConstantPolicy::unit});
  EXPECT_EQ(unit.scale<double>().divisor, (std::vector{m.std<double>()[0], 1.0}));
  EXPECT_EQ(unit.scale<float>().divisor, (std::vector{m.std<float>()[0], 1.0F}));
  m.set_names({"age", "height"});
  EXPECT_THAT([&] { Normalizer::from(m, {.constant_policy = ConstantPolicy::raise}); },
              ThrowsMessage<std::invalid_argument>(
                  "constant_policy is 'raise', and the variance is exactly 0 for 'height' (feature 1)"));
}

TEST(Normalizer, RefusesWhatAPolicyRefuses) {
  Moments m({2});
  const std::vector<double> x{1, not_a_number, 2, infinity};
  m.update(rows(x.data(), 2, 2));
  EXPECT_THAT([&] { Normalizer::from(m, {.nan_policy = Policy::raise}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("feature 1")));
  EXPECT_THAT([&] { Normalizer::from(m, {.inf_policy = Policy::raise}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("feature 1")));
  const Normalizer normalizer = Normalizer::from(m);
  EXPECT_TRUE(std::isnan(normalizer.scale<float>().divisor[1]));
}

TEST(Normalizer, OfSubnormalVariancesIsIndependentOfFlushing) {
  // Constant or not: by comparison under denormals-are-zero, the first would be 0, and the second not
  // negative.
  const std::vector<double> tiny{5e-324};
  const std::vector<double> below{-5e-324};
  for (const control::Word word : control::all()) {
    std::optional<Normalizer> unit;
    bool thrown = false;
    control::under(word, [&] {
      unit = Normalizer::from({}, tiny, tiny, {.constant_policy = ConstantPolicy::unit});
      try {
        Normalizer::from({}, tiny, below);
      } catch (const std::invalid_argument&) {
        thrown = true;
      }
    });
    EXPECT_EQ(unit->scale<double>().divisor[0], 0x1p-537);  // sqrt(2^-1074)
    EXPECT_EQ(unit->scale<float>().divisor[0], 0);          // below half of 2^-149
    EXPECT_TRUE(thrown);
  }
}

TEST(Normalizer, RefusesBadNumbers) {
  const std::vector<double> two{1, 2};
  const std::vector<double> one{1};
  const auto from = [](const Shape& shape, const std::vector<double>& mean,
                       const std::vector<double>& variance, const NormalizerOptions& options = {}) {
    return [=] { Normalizer::from(shape, mean, variance, options); };
  };
  EXPECT_THAT(from({2}, one, two), ThrowsMessage<std::invalid_argument>(
                                       "mean needs 2 values, one for each feature of shape (2,), got 1"));
  EXPECT_THAT(from({2}, two, one),
              ThrowsMessage<std::invalid_argument>(HasSubstr("variance needs 2 values")));
  EXPECT_THAT(
      from({1, 2}, two, {1, -2}),
      ThrowsMessage<std::invalid_argument>("variance of feature (0, 1) must not be negative or NaN, got -2"));
  EXPECT_THAT(from({2}, two, {not_a_number, 1}),
              ThrowsMessage<std::invalid_argument>(HasSubstr("variance of feature 0")));
  EXPECT_THAT(from({2}, two, {1, 0}, {.constant_policy = ConstantPolicy::raise}),
              ThrowsMessage<std::invalid_argument>(
                  "constant_policy is 'raise', and the variance is exactly 0 for feature 1"));
  for (const double epsilon : {-1e-7, -5e-324, infinity, not_a_number}) {
    EXPECT_THAT(
        from({2}, two, two, {.epsilon = epsilon}),
        ThrowsMessage<std::invalid_argument>(HasSubstr("epsilon must be finite and not negative, got ")));
    EXPECT_THROW(Normalizer::from(Moments(), {.epsilon = epsilon}), std::invalid_argument);
  }
}

TEST(Normalizer, EpsilonMayBeZero) {
  const Normalizer normalizer = Normalizer::from({}, std::vector{1.0}, std::vector{0.0}, {.epsilon = 0});
  const std::vector<float> x{0, 1, 2};
  std::vector<float> out(3);
  normalizer.apply(column(std::span(x)), column(std::span(out)));
  EXPECT_EQ(out[0], -infinity);
  EXPECT_TRUE(std::isnan(out[1]));
  EXPECT_EQ(out[2], infinity);
}

TEST(Normalizer, FromPartsHoldsThePartsAndRefusesImpossibleOnes) {
  const Scale<float> narrow{{1, 2}, {4, 0}, {2, 1}};
  const Scale<double> wide{{1, 2}, {4, 0}, {2, 1}};
  const Normalizer normalizer = Normalizer::from_parts({2}, narrow, wide, Axes{0});
  EXPECT_EQ(normalizer.scale<float>(), narrow);
  EXPECT_EQ(normalizer.scale<double>(), wide);
  EXPECT_EQ(normalizer.shape(), Shape{2});
  EXPECT_EQ(normalizer.axis(), Axes{0});
  Scale<double> bad = wide;
  bad.divisor.pop_back();
  EXPECT_THAT([&] { Normalizer::from_parts({2}, narrow, bad, {}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("divisor needs 2 values")));
  bad = wide;
  bad.variance[1] = -1;
  EXPECT_THAT([&] { Normalizer::from_parts({2}, narrow, bad, {}); },
              ThrowsMessage<std::invalid_argument>("variance of feature 1 must not be negative, got -1"));
  Scale<float> bad_narrow = narrow;
  bad_narrow.divisor[0] = -2;
  EXPECT_THAT([&] { Normalizer::from_parts({2}, bad_narrow, wide, {}); },
              ThrowsMessage<std::invalid_argument>("divisor of feature 0 must not be negative, got -2"));
}

TEST(Normalizer, SelectsOneFeature) {
  const Normalizer both = Normalizer::from({2}, std::vector{1.0, 10.0}, std::vector{4.0, 25.0});
  const Normalizer second = both.select(1);
  EXPECT_EQ(second.shape(), Shape());
  EXPECT_EQ(second.scale<double>(), (Scale<double>{{10}, {25}, {5}}));
  EXPECT_EQ(second.scale<float>(), (Scale<float>{{10}, {25}, {5}}));
  EXPECT_THROW(static_cast<void>(both.select(2)), std::out_of_range);
}

TEST(Normalizer, NamesItsPolicies) {
  for (const ConstantPolicy policy : {ConstantPolicy::epsilon, ConstantPolicy::unit, ConstantPolicy::raise}) {
    EXPECT_EQ(constant_policy_named(name_of(policy)), policy);
  }
  EXPECT_THAT([] { constant_policy_named("none"); },
              ThrowsMessage<std::invalid_argument>(
                  "constant_policy must be 'epsilon', 'unit' or 'raise', got 'none'"));
}

}  // namespace
}  // namespace exactnorm
