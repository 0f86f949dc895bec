// The numbers: readings, divisors, every conversion and every step of the arithmetic, whatever the caller's
// control word.

#include <exactnorm/normalizer.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

using arrays::bits_of;
using arrays::equal_bits;
using arrays::StridedArray;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

std::vector<std::uint64_t> parse_bits(const json& texts) {
  std::vector<std::uint64_t> bits;
  for (const json& text : texts) {
    bits.push_back(std::stoull(text.get<std::string>(), nullptr, 16));
  }
  return bits;
}

std::vector<double> doubles(const json& texts) {
  std::vector<double> numbers;
  for (const std::uint64_t bits : parse_bits(texts)) {
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
  array.set_bits(parse_bits(x["bits"]));
  return array;
}

template <class T>
void expect_scale(const Normalizer& normalizer, const json& c, const std::string& type) {
  const DType dtype = dtype_of<T>();
  EXPECT_TRUE(equal_bits(dtype, bits_of(normalizer.scale<T>().mean), parse_bits(c["mean_" + type])));
  EXPECT_TRUE(equal_bits(dtype, bits_of(normalizer.scale<T>().divisor), parse_bits(c["divisor_" + type])));
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
    EXPECT_TRUE(equal_bits(out.dtype(), out.bits(), parse_bits(c["forward"])));
    normalizer.inverse(x.view(), out.mutable_view());
    EXPECT_TRUE(equal_bits(out.dtype(), out.bits(), parse_bits(c["inverse"])));
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
      EXPECT_TRUE(equal_bits(forward.dtype(), forward.bits(), parse_bits(c["forward"])));
      EXPECT_TRUE(equal_bits(inverse.dtype(), inverse.bits(), parse_bits(c["inverse"])));
    }
  }
}

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

TEST(Normalizer, UnitDivisorsOfGivenVariancesAreRoundedOnce) {
  // The root is just above the middle between 1 and the next float32; as a float64 it is the middle, which
  // would go to 1.
  const double middle = 1 + 0x1p-24;
  const std::vector<double> variance{std::nextafter(middle * middle, infinity)};
  const Normalizer normalizer =
      Normalizer::from({}, variance, variance, {.constant_policy = ConstantPolicy::unit});
  EXPECT_EQ(normalizer.scale<float>().divisor[0], 1 + 0x1p-23F);
  EXPECT_EQ(normalizer.scale<double>().divisor[0], middle);
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
