#include <gmock/gmock.h>

#include <rapidcheck/gtest.h>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>

#include "documents.hpp"

namespace {

using documents::error_of;
using documents::Json;
using exactnorm::Normalization;
using exactnorm::NormalizationOptions;
using testing::HasSubstr;
using testing::StartsWith;

const std::vector<float> data = {1, 7, 2, 7, 4, 9};

Normalization adapted_layer(NormalizationOptions options = {}) {
  Normalization layer(std::move(options));
  layer.adapt(exactnorm::rows(data.data(), 3, 2));
  return layer;
}

Normalization given_layer() {
  NormalizationOptions options;
  options.axis = exactnorm::Axes{1, -1};
  options.axis_is_list = true;
  options.mean = {{2, 1}, {1, -0.0}};
  options.variance = {{}, {1e-300}};
  options.invert = true;
  options.epsilon = 0;
  options.dtype = exactnorm::DType::float16;
  options.nan_policy = exactnorm::Policy::omit;
  options.inf_policy = exactnorm::Policy::raise;
  options.constant_policy = exactnorm::ConstantPolicy::unit;
  options.name = "a \"name\"\n\t\x01 é";
  return Normalization(options);
}

/// The results of calls with float32 and float64 data, as bits.
std::vector<std::uint64_t> results(Normalization& layer) {
  const std::vector<double> wide(data.begin(), data.end());
  std::vector<float> narrow_out(data.size());
  std::vector<double> wide_out(data.size());
  layer(exactnorm::rows(data.data(), 3, 2), exactnorm::rows(narrow_out.data(), 3, 2));
  layer(exactnorm::rows(wide.data(), 3, 2), exactnorm::rows(wide_out.data(), 3, 2));
  std::vector<std::uint64_t> bits;
  bits.reserve(wide_out.size() + narrow_out.size());
  for (const double x : wide_out) {
    bits.push_back(std::bit_cast<std::uint64_t>(x));
  }
  for (const float x : narrow_out) {
    bits.push_back(std::bit_cast<std::uint32_t>(x));
  }
  return bits;
}

/// Both encodings, there and back.
Normalization reloaded(const Normalization& layer) {
  const std::string json = exactnorm::to_json(layer);
  const std::string cbor = exactnorm::to_cbor(layer);
  Normalization copy = exactnorm::normalization_from_bytes(json);
  EXPECT_EQ(exactnorm::to_json(copy), json);
  EXPECT_EQ(exactnorm::to_cbor(copy), cbor);
  EXPECT_EQ(exactnorm::to_json(exactnorm::normalization_from_bytes(cbor)), json);
  const Json tree = Json::parse(json);
  const std::vector<std::uint8_t> other = Json::to_cbor(tree);
  EXPECT_EQ(std::string(other.begin(), other.end()), cbor);
  return copy;
}

TEST(Layer, TheText) {
  const std::string text = exactnorm::to_json(adapted_layer());
  EXPECT_THAT(text, StartsWith(R"({"format": "exactnorm", "version": 1, "kind": "normalization",
 "config": {
  "axis": -1,
  "constant_policy": "epsilon",
  "dtype": "float32",
  "epsilon": "1e-07",
  "inf_policy": "propagate",
  "invert": false,
  "mean": null,
  "name": null,
  "nan_policy": "propagate",
  "variance": null
 },
 "build": {"adapted": true, "axes": [1], "rank": 2, "shape": [2]},
 "readings": {
  "divisor": ["1.247219128924647", "0.9428090415820634"],
  "divisor32": ["1.2472191", "0.94280905"],
  "mean": ["2.3333333333333335", "7.666666666666667"],
  "mean32": ["2.3333333", "7.6666665"],
  "variance": ["1.5555555555555556", "0.8888888888888888"],
  "variance32": ["1.5555556", "0.8888889"]
 },
 "shape": [2],
 "features": [
  {"count": 3, "nan": 0, "neginf": 0, "null": 0, "posinf": 0, "sum": "0x7p+0", "sumsq": "0x15p+0"},
  {"count": 3, "nan": 0, "neginf": 0, "null": 0, "posinf": 0, "sum": "0x17p+0", "sumsq": "0xb3p+0"}
 ],
 "digest": "xxh3-128:)"));
  EXPECT_EQ(Json::parse(text)["digest"], exactnorm::digest(adapted_layer().moments()));
}

TEST(Layer, GivesTheSameBitsAndGoesOnLearning) {
  Normalization layer = adapted_layer();
  Normalization copy = reloaded(layer);
  EXPECT_TRUE(copy.is_adapted());
  EXPECT_EQ(results(copy), results(layer));
  for (Normalization* each : {&layer, &copy}) {
    each->update_state(exactnorm::rows(data.data(), 2, 2));
  }
  EXPECT_EQ(results(copy), results(layer));
  EXPECT_EQ(copy.moments(), layer.moments());
}

TEST(Layer, APendingUpdateStaysPending) {
  Normalization layer = adapted_layer();
  const auto before = results(layer);
  layer.update_state(exactnorm::rows(data.data(), 1, 2));
  Normalization copy = reloaded(layer);
  EXPECT_EQ(results(copy), before);
  layer.finalize_state();
  copy.finalize_state();
  EXPECT_EQ(results(copy), results(layer));
  EXPECT_NE(results(copy), before);
}

TEST(Layer, ReadingsThatAreNoNumbers) {
  NormalizationOptions options;
  options.dtype = exactnorm::DType::float64;
  const std::vector<double> x = {NAN, INFINITY, 1.7e308, 3, 4, -1.7e308};
  Normalization layer(options);
  layer.adapt(exactnorm::rows(x.data(), 2, 3));
  const Json readings = Json::parse(exactnorm::to_json(layer))["readings"];
  EXPECT_EQ(readings["mean"], Json({"nan", "inf", "0"}));
  EXPECT_EQ(readings["variance"], Json({"nan", "nan", "inf"}));
  reloaded(layer);
}

TEST(Layer, EveryOption) {
  Normalization layer = given_layer();
  Normalization copy = reloaded(layer);
  EXPECT_FALSE(copy.built());
  const NormalizationOptions& options = copy.options();
  EXPECT_EQ(options.axis, (exactnorm::Axes{1, -1}));
  EXPECT_TRUE(options.axis_is_list);
  EXPECT_EQ(options.mean, layer.options().mean);
  EXPECT_TRUE(std::signbit(options.mean->values[1]));
  EXPECT_EQ(options.variance, layer.options().variance);
  EXPECT_TRUE(options.invert);
  EXPECT_EQ(options.epsilon, 0);
  EXPECT_EQ(options.dtype, exactnorm::DType::float16);
  EXPECT_EQ(options.nan_policy, exactnorm::Policy::omit);
  EXPECT_EQ(options.inf_policy, exactnorm::Policy::raise);
  EXPECT_EQ(options.constant_policy, exactnorm::ConstantPolicy::unit);
  EXPECT_EQ(options.name, layer.options().name);
  layer.build({-1, 2, 1});
  copy = reloaded(layer);
  EXPECT_TRUE(copy.built());
  EXPECT_EQ(copy.axes(), (exactnorm::Axes{1, 2}));
  EXPECT_EQ(copy.normalizer().scale<float>(), layer.normalizer().scale<float>());
  EXPECT_EQ(copy.normalizer().scale<double>(), layer.normalizer().scale<double>());
}

TEST(Layer, AxisAsItWasGiven) {
  const auto axis_of = [](std::optional<exactnorm::Axes> axis, bool is_list) {
    NormalizationOptions options;
    options.axis = std::move(axis);
    options.axis_is_list = is_list;
    const Json text = Json::parse(exactnorm::to_json(reloaded(Normalization(options))));
    return text["config"]["axis"].dump();
  };
  EXPECT_EQ(axis_of({}, false), "null");
  EXPECT_EQ(axis_of(exactnorm::Axes{0}, false), "0");
  EXPECT_EQ(axis_of(exactnorm::Axes{-1}, false), "-1");
  EXPECT_EQ(axis_of(exactnorm::Axes{-1}, true), "[-1]");
  EXPECT_EQ(axis_of(exactnorm::Axes{-1, 0}, false), "[-1,0]");
  EXPECT_EQ(axis_of(exactnorm::Axes{}, true), "[]");
}

// NaN is one number here.
std::uint64_t bits(double value) {
  return std::isnan(value) ? 0x7ff8'0000'0000'0000 : std::bit_cast<std::uint64_t>(value);
}
std::uint32_t bits(float value) {
  return std::isnan(value) ? 0x7fc0'0000 : std::bit_cast<std::uint32_t>(value);
}

RC_GTEST_PROP(Layer, AnyRealNumberKeepsItsBits, ()) {
  const auto mean =
      std::bit_cast<double>(*rc::gen::resize(rc::kNominalSize, rc::gen::arbitrary<std::uint64_t>()));
  const double drawn = std::abs(
      std::bit_cast<double>(*rc::gen::resize(rc::kNominalSize, rc::gen::arbitrary<std::uint64_t>())));
  const double variance = std::isnan(drawn) ? 0.0 : drawn;
  NormalizationOptions options;
  options.mean = {{}, {mean}};
  options.variance = {{}, {variance}};
  Normalization layer(options);
  layer.build({1});
  const Normalization copy = exactnorm::normalization_from_bytes(exactnorm::to_json(layer));
  RC_ASSERT(bits(copy.options().mean->values[0]) == bits(mean));
  RC_ASSERT(bits(copy.options().variance->values[0]) == bits(variance));
  const auto same_readings = [&]<class T>(T /*tag*/) {
    const auto& a = copy.normalizer().scale<T>();
    const auto& b = layer.normalizer().scale<T>();
    return bits(a.mean[0]) == bits(b.mean[0]) && bits(a.variance[0]) == bits(b.variance[0]) &&
           bits(a.divisor[0]) == bits(b.divisor[0]);
  };
  RC_ASSERT(same_readings(0.0F));
  RC_ASSERT(same_readings(0.0));
}

TEST(LayerErrors, NameThePlace) {
  const Json good = Json::parse(exactnorm::to_json(adapted_layer()));
  const auto error = [&](const char* pointer, const Json& value) {
    Json changed = good;
    changed[Json::json_pointer(pointer)] = value;
    return error_of(documents::sealed(changed));
  };
  ASSERT_EQ(error("/config/name", "x"), "");
  EXPECT_THAT(error("/config/epsilon", 1e-7),
              StartsWith("config.epsilon: expected a number, as a string, got the number"));
  for (const char* text :
       {"1e-7", "0.0000001", "+1", "1.0", " 1", "1 ", "", "0x1p+0", "NaN", "-nan", "infinity", "1e999"}) {
    EXPECT_EQ(error("/config/epsilon", text), "config.epsilon: expected the shortest decimal of a float64")
        << text;
  }
  EXPECT_THAT(error("/config/epsilon", "-1"), HasSubstr("epsilon"));
  EXPECT_EQ(error("/readings/mean32/1", "7.666666666666667"),
            "readings.mean32[1]: expected the shortest decimal of a float32");
  EXPECT_THAT(error("/readings/mean32", {"0"}), HasSubstr("mean"));
  EXPECT_THAT(error("/readings/divisor/0", "-1"), HasSubstr("divisor"));
  EXPECT_THAT(error("/config/dtype", "float31"), StartsWith("config.dtype: "));
  EXPECT_THAT(error("/config/dtype", "int8"), HasSubstr("int8"));
  EXPECT_THAT(error("/config/dtype", std::string(100, 'x')),
              StartsWith("config.dtype: expected a known name"));
  EXPECT_THAT(error("/config/nan_policy", "ignore"), StartsWith("config.nan_policy: "));
  EXPECT_THAT(error("/config/constant_policy", "ignore"), StartsWith("config.constant_policy: "));
  EXPECT_EQ(error("/config/axis", 32), "config.axis: expected an axis from -32 to 31, got 32");
  EXPECT_EQ(error("/config/axis", {0, -33}), "config.axis[1]: expected an axis from -32 to 31, got -33");
  EXPECT_EQ(error("/config/axis", "0"),
            "config.axis: expected null, an integer or an array of integers, got a string");
  EXPECT_EQ(error("/config/axis", Json::object()),
            "config.axis: expected null, an integer or an array of integers, got an object");
  EXPECT_THAT(error("/config/axis", 0), HasSubstr("axes do not agree"));
  EXPECT_EQ(error("/config/name", true), "config.name: expected a string, got true");
  EXPECT_EQ(error("/config/invert", 1), "config.invert: expected true or false, got an integer");
  EXPECT_EQ(error("/config/mean", 1), "config.mean: expected null or an object, got an integer");
  EXPECT_EQ(error("/config/mean", {{"shape", {3}}, {"values", {"1"}}}),
            "config.mean: expected 3 values for shape (3,), got 1");
  EXPECT_EQ(error("/build/rank", -1),
            "build.rank: expected an integer from 0 to 9223372036854775807, got a negative integer");
  EXPECT_THAT(error("/build/rank", 1), HasSubstr("do not agree"));
  EXPECT_THAT(error("/build/rank", std::uint64_t{1} << 62), HasSubstr("do not agree"));
  EXPECT_THAT(error("/build/axes", {-1}), HasSubstr("do not agree"));
  EXPECT_THAT(error("/build/shape", {3}), HasSubstr("mean"));
  EXPECT_THAT(error("/shape", {2, 1}), HasSubstr("(2, 1)"));
  EXPECT_THAT(error("/features/0/sum", "0xffp+0"), HasSubstr("feature 0"));
}

TEST(LayerErrors, KeysThatGoTogether) {
  const auto without = [](const Normalization& layer, const std::vector<std::string>& keys) {
    Json changed = Json::parse(exactnorm::to_json(layer));
    for (const std::string& key : keys) {
      changed.erase(key);
    }
    return error_of(documents::sealed(changed));
  };
  const Normalization layer = adapted_layer();
  EXPECT_EQ(without(layer, {"config"}), "document: the key \"config\" is missing");
  EXPECT_EQ(without(layer, {"readings"}), "document: the key \"readings\" is missing");
  EXPECT_EQ(without(layer, {"build"}), "document: the key \"readings\" does not belong into this document");
  EXPECT_EQ(without(layer, {"shape"}), "document: the key \"shape\" is missing");
  EXPECT_EQ(without(layer, {"kind"}), "document: the key \"config\" does not belong into this document");
  EXPECT_EQ(without(layer, {"build", "readings"}),
            "document: the key \"shape\" does not belong into this document");
  EXPECT_EQ(without(layer, {"kind", "config", "build", "readings"}), "")
      << "what is left is a document of Moments";
  Json given = Json::parse(exactnorm::to_json(given_layer()));
  given["names"] = {"a"};
  EXPECT_EQ(error_of(documents::sealed(given)),
            "document: the key \"names\" does not belong into this document");
}

TEST(LayerErrors, TheOtherKind) {
  EXPECT_THROW(exactnorm::moments_from_bytes(exactnorm::to_json(adapted_layer())), exactnorm::StateError);
  EXPECT_THROW(exactnorm::normalization_from_bytes(exactnorm::to_json(exactnorm::Moments())),
               exactnorm::StateError);
}

TEST(LayerErrors, ANameThatIsNoText) {
  NormalizationOptions options;
  options.name = "\xff";
  EXPECT_THROW(exactnorm::to_json(Normalization(options)), std::invalid_argument);
}

}  // namespace
