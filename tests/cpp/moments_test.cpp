// Updates and readings against the vectors, on every target and in several layouts; names, errors, failures.

#include <exactnorm/moments.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include <exactnorm/state.hpp>

#include "support/forced_target.hpp"
#include "support/list.hpp"
#include "support/oracle.hpp"
#include "support/vectors.hpp"

namespace exactnorm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;
using vectors::Json;

const Json& cases() {
  static const Json all = vectors::load("moments.json");
  return all;
}

// A case's arrays; the options' views point into them.
struct Case {
  arrays::StridedArray x;
  std::vector<arrays::StridedArray> masks;
  UpdateOptions options;
  Axes axis;

  Case(const Json& json, const arrays::Layout& layout) : x(vectors::array(json["x"], layout)) {
    masks.reserve(3);
    for (const auto& [key, view] :
         {std::pair{"where", &options.where}, {"weights", &options.weights}, {"valid", &options.valid}}) {
      if (json.contains(key)) {
        masks.push_back(vectors::array(json[key]));
        *view = masks.back().view();
      }
    }
    if (!json["axis"].is_null()) {
      axis = json["axis"].get<Axes>();
    }
  }
};

std::vector<std::string> names_of(const Json& json) {
  return json.contains("names") ? json["names"].get<std::vector<std::string>>() : std::vector<std::string>();
}

void expect_features(const Moments& moments, const Json& json) {
  ASSERT_EQ(moments.size(), json["features"].size());
  for (std::size_t i = 0; i < moments.size(); ++i) {
    const Json& expected = json["features"][i];
    const Feature& feature = moments.features()[i];
    EXPECT_EQ(feature.counts.finite, expected["count"]);
    EXPECT_EQ(feature.counts.nan, expected["nan"]);
    EXPECT_EQ(feature.counts.posinf, expected["posinf"]);
    EXPECT_EQ(feature.counts.neginf, expected["neginf"]);
    EXPECT_EQ(feature.counts.null, expected["null"]);
    EXPECT_EQ(feature.sum.to_string(), expected["sum"]);
    EXPECT_EQ(feature.sumsq.to_string(), expected["sumsq"]);
    EXPECT_EQ(moments.weighted(), expected.contains("weight"));
    if (moments.weighted()) {
      EXPECT_EQ(moments.weights()[i].to_string(), expected["weight"]);
    }
  }
}

template <class T>
void expect_reading(const Moments& moments, const Json& expected) {
  const Reading how{policy_named(expected["nan_policy"].get<std::string>(), "nan_policy"),
                    policy_named(expected["inf_policy"].get<std::string>(), "inf_policy"),
                    expected["ddof"].get<std::int64_t>()};
  EXPECT_TRUE(vectors::equal(moments.mean<T>(how), expected["mean"])) << "mean";
  EXPECT_TRUE(vectors::equal(moments.variance<T>(how), expected["variance"])) << "variance";
  EXPECT_TRUE(vectors::equal(moments.std<T>(how), expected["std"])) << "std";
  EXPECT_EQ(moments.empty_features(how), expected["empty"].get<std::vector<std::size_t>>());
}

// The layouts of x: C order; reversed axes order, running backwards, at an odd address.
std::vector<arrays::Layout> layouts(std::size_t rank) {
  arrays::Layout odd;
  for (std::size_t axis = rank; axis-- > 0;) {
    odd.order.push_back(axis);
    odd.steps.push_back(axis % 2 == 0 ? -1 : 2);
  }
  odd.offset = 1;
  return {{}, odd};
}

TEST(MomentsVectors, EveryCaseOnEveryTarget) {
  ASSERT_GT(cases().size(), 200U);
  for (const std::string& target : supported_targets()) {
    const ForcedTarget forced(target);
    for (const Json& json : cases()) {
      for (const arrays::Layout& layout : layouts(json["x"]["shape"].size())) {
        SCOPED_TRACE(target + ": " + json["name"].get<std::string>() +
                     (layout.order.empty() ? "" : ", strided"));
        const Case one(json, layout);
        if (json.contains("error")) {
          EXPECT_THROW(
              {
                const Axes kept = kept_axes(one.axis, one.x.shape().size());
                Moments(feature_shape(one.x.shape(), kept)).update(one.x.view(), one.axis, one.options);
              },
              std::invalid_argument);
          continue;
        }
        Moments moments(vectors::shape(json["shape"]), names_of(json));
        moments.update(one.x.view(), one.axis, one.options);
        expect_features(moments, json);
        EXPECT_EQ(digest(moments), json["digest"]);
        if (json.contains("json")) {
          EXPECT_EQ(to_json(moments), json["json"]);
        }
      }
    }
  }
}

TEST(MomentsVectors, EveryReading) {
  std::size_t readings = 0;
  for (const Json& json : cases()) {
    if (json.contains("error")) {
      continue;
    }
    SCOPED_TRACE(json["name"].get<std::string>());
    const Case one(json, {});
    Moments moments(vectors::shape(json["shape"]));
    moments.update(one.x.view(), one.axis, one.options);
    for (const Json& expected : json["readings"]) {
      SCOPED_TRACE(expected["dtype"].get<std::string>() + " ddof " + expected["ddof"].dump());
      expected["dtype"] == "float32" ? expect_reading<float>(moments, expected)
                                     : expect_reading<double>(moments, expected);
      ++readings;
    }
    const bool nan = std::any_of(moments.features().begin(), moments.features().end(),
                                 [](const Feature& f) { return f.counts.nan > 0; });
    const bool inf = std::any_of(moments.features().begin(), moments.features().end(),
                                 [](const Feature& f) { return f.counts.posinf + f.counts.neginf > 0; });
    for (const auto& [how, refused] : {std::pair{Reading{Policy::raise, Policy::omit}, nan},
                                       {Reading{Policy::omit, Policy::raise}, inf}}) {
      if (refused) {
        EXPECT_THROW((void)moments.mean<float>(how), std::invalid_argument);
        EXPECT_THROW((void)moments.variance<double>(how), std::invalid_argument);
        EXPECT_THROW((void)moments.std<double>(how), std::invalid_argument);
      } else {
        EXPECT_NO_THROW((void)moments.std<double>(how));
      }
    }
  }
  EXPECT_GT(readings, 500U);
}

// Row by row, and in chunks, in any order: the same state.
TEST(MomentsVectors, AnyChunking) {
  for (const Json& json : cases()) {
    if (json.contains("error") || json.contains("where") || json.contains("weights") ||
        json.contains("valid") || json["x"]["shape"].size() != 2 || json["axis"] != Json{-1}) {
      continue;
    }
    SCOPED_TRACE(json["name"].get<std::string>());
    const Case one(json, {});
    for (const std::int64_t chunk : {1, 7, 32}) {
      Moments moments(vectors::shape(json["shape"]), names_of(json));
      const TensorView x = one.x.view();
      for (std::int64_t row = (x.shape[0] - 1) / chunk * chunk; row >= 0; row -= chunk) {
        TensorView part = x;
        part.data = static_cast<const std::byte*>(x.data) + row * x.strides[0];
        part.shape[0] = std::min(chunk, x.shape[0] - row);
        moments.update(part);
      }
      expect_features(moments, json);
    }
  }
}

TEST(Moments, ConstantFeaturesAreThoseOfExactVarianceZero) {
  const float x[][4] = {{1, 0.1F, 3, NAN}, {2, 0.1F, NAN, NAN}, {3, 0.1F, 3, NAN}};
  Moments moments({4});
  moments.update(rows(&x[0][0], 3, 4));
  EXPECT_THAT(moments.constant_features(), ElementsAre(false, true, true, false));
  EXPECT_EQ(moments.variance<double>({Policy::omit})[1], 0);
}

TEST(Moments, OneFloat64UlpIsNotConstant) {
  const double x[] = {1e300, std::nextafter(1e300, 0)};
  Moments moments;
  moments.update(list(x));
  EXPECT_THAT(moments.constant_features(), ElementsAre(false));
}

TEST(Moments, ReadsADdofAtTheNumberOfValues) {
  const std::int64_t x[] = {1, 2};
  Moments moments;
  moments.update(list(x));
  EXPECT_EQ(moments.variance<double>({{}, {}, 1})[0], 0.5);
  EXPECT_TRUE(std::isnan(moments.variance<double>({{}, {}, 2})[0]));
  EXPECT_TRUE(std::isnan(moments.std<float>({{}, {}, std::numeric_limits<std::int64_t>::max()})[0]));
  EXPECT_THAT(moments.empty_features({{}, {}, 2}), ElementsAre(0));
  EXPECT_THAT(
      [&] {
        (void)moments.variance<float>({{}, {}, -1});
      },
      ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("ddof"), HasSubstr("-1"))));
}

TEST(Moments, WeightedDataHaveNoDdof) {
  const float x[] = {1, 2};
  Moments moments;
  UpdateOptions options;
  options.weights = list(x);
  moments.update(list(x), {}, options);
  EXPECT_THAT(
      [&] {
        (void)moments.variance<float>({{}, {}, 1});
      },
      ThrowsMessage<std::invalid_argument>(HasSubstr("weighted")));
}

TEST(Moments, RaiseNamesFeaturesAndCounts) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const float x[][3] = {{NAN, 1, inf}, {NAN, 1, -inf}};
  Moments moments({3}, {"a", "b", "c"});
  moments.update(rows(&x[0][0], 2, 3));
  EXPECT_THAT(
      [&] {
        (void)moments.mean<float>({Policy::raise, Policy::omit});
      },
      ThrowsMessage<std::invalid_argument>(
          AllOf(HasSubstr("nan_policy"), HasSubstr("'a' (feature 0) has 2 NaN"), Not(HasSubstr("'b'")))));
  EXPECT_THAT(
      [&] {
        (void)moments.mean<float>({Policy::omit, Policy::raise});
      },
      ThrowsMessage<std::invalid_argument>(
          AllOf(HasSubstr("inf_policy"), HasSubstr("'c' (feature 2) has 2 infinite"))));
}

TEST(Moments, RaiseCountsInfinitiesOfBothSignsWithoutOverflow) {
  Feature feature;
  feature.counts.posinf = feature.counts.neginf = std::numeric_limits<std::int64_t>::max();
  const Moments moments = Moments::from_parts({}, {}, {feature});
  EXPECT_THAT(
      [&] {
        (void)moments.mean<float>({Policy::omit, Policy::raise});
      },
      ThrowsMessage<std::invalid_argument>(HasSubstr("18446744073709551614")));
}

TEST(Moments, NamesAreOnePerFeatureDistinctAndUtf8) {
  EXPECT_THAT(Moments({2}, {"a", "b"}).describe(1), "'b' (feature 1)");
  EXPECT_THAT(Moments({2}).describe(1), "feature 1");
  EXPECT_THAT(Moments({2, 3}).describe(5), "feature (1, 2)");
  EXPECT_THAT(Moments().describe(0), "feature 0");
  EXPECT_THAT([] { Moments({2}, {"a"}); },
              ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("2 features"), HasSubstr("1 name"))));
  EXPECT_THAT([] { Moments({2}, {"a", "a"}); }, ThrowsMessage<std::invalid_argument>(HasSubstr("'a' twice")));
  EXPECT_THAT([] { Moments({1}, {"\xff"}); }, ThrowsMessage<std::invalid_argument>(HasSubstr("UTF-8")));
  Moments moments({2}, {"a", "b"});
  EXPECT_THROW(moments.set_names({"c", "c"}), std::invalid_argument);
  EXPECT_THAT(moments.names(), ElementsAre("a", "b"));
  moments.set_names({});
  EXPECT_THAT(moments.names(), IsEmpty());
}

TEST(Moments, RefusesShapesThatDoNotFit) {
  const float x[6] = {};
  Moments moments({3});
  EXPECT_THAT([&] { moments.update(rows(x, 3, 2)); },
              ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("(3,)"), HasSubstr("(2,)"))));
  EXPECT_THAT(
      [&] {
        moments.update({x, DType::float32, {}, {}});
      },
      ThrowsMessage<std::invalid_argument>(HasSubstr("fewer axes")));
  EXPECT_THROW(Moments(Shape{1LL << 40, 1LL << 40}), std::invalid_argument);
  EXPECT_THROW(Moments(Shape{1LL << 60}), std::invalid_argument);
  EXPECT_THROW(Moments(Shape{-1}), std::invalid_argument);
  EXPECT_TRUE(moments.empty());
}

TEST(Moments, MasksOfAnotherTypeOrShapeAreRefused) {
  const float x[6] = {};
  const bool six[6] = {};
  Moments moments({3});
  UpdateOptions options;
  options.where = contiguous(x, {2});
  EXPECT_THAT(
      [&] { moments.update(rows(x, 2, 3), {}, options); },
      ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("where must be boolean"), HasSubstr("float32"))));
  options = {};
  options.valid = contiguous(six, {2});
  EXPECT_THAT([&] { moments.update(rows(x, 2, 3), {}, options); },
              ThrowsMessage<std::invalid_argument>(
                  AllOf(HasSubstr("valid"), HasSubstr("(2, 3)"), HasSubstr("(2,)"))));
  options.valid = contiguous(x, {2, 3});
  EXPECT_THAT([&] { moments.update(rows(x, 2, 3), {}, options); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("valid must be boolean")));
  EXPECT_TRUE(moments.empty());
}

TEST(Moments, AFailedUpdateChangesNothing) {
  const double x[][2] = {{1, 2}, {3, 4}, {5, 6}};
  const double good[] = {1, 2, 0.5};
  const double bad[] = {1, 2, -1};
  Moments moments({2}, {"a", "b"});
  UpdateOptions options;
  options.weights = list(good);
  moments.update(rows(&x[0][0], 3, 2), {}, options);
  const Moments before = moments;
  const std::string document = to_json(moments);
  options.weights = list(bad);
  EXPECT_THAT([&] { moments.update(rows(&x[0][0], 3, 2), {}, options); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("weights")));
  EXPECT_THAT([&] { moments.update(rows(&x[0][0], 3, 2)); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("unweighted")));
  EXPECT_EQ(moments, before);
  EXPECT_EQ(to_json(moments), document);
}

// What is empty is summed into directly, rows before the bad weight included.
TEST(Moments, AFailedFirstUpdateLeavesNothing) {
  std::vector<double> x(100000, 1.5);
  std::vector<double> weights(x.size(), 2);
  weights[90000] = -1;
  Moments moments({1}, {"a"});
  UpdateOptions options;
  const Shape shape{static_cast<std::int64_t>(x.size())};
  options.weights = contiguous(weights.data(), shape);
  const TensorView column = rows(x.data(), x.size(), 1);
  EXPECT_THAT([&] { moments.update(column, {}, options); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("weights")));
  EXPECT_EQ(moments, Moments({1}, {"a"}));
  EXPECT_FALSE(moments.weighted());
  moments.update(column);
  EXPECT_EQ(moments.features()[0].sum, ExactSum::from_integer(150000));
}

TEST(Moments, ABadWeightWhereNothingCountsDoesNotMatter) {
  const float x[] = {1, 2, 3};
  const float weights[] = {2, NAN, 1};
  const bool where[] = {true, false, true};
  UpdateOptions options;
  options.weights = list(weights);
  options.where = list(where);
  Moments moments;
  moments.update(list(x), {}, options);
  EXPECT_EQ(moments.features()[0].sum, ExactSum::from_integer(5));
  EXPECT_EQ(moments.weights()[0], ExactSum::from_integer(3));
}

TEST(Moments, WeightKIsKRepetitions) {
  const double x[] = {0.1, -7e100, 3e-200};
  const std::int32_t weights[] = {3, 1, 1000};
  Moments weighted;
  UpdateOptions options;
  options.weights = list(weights);
  weighted.update(list(x), {}, options);
  Moments repeated;
  for (std::size_t i = 0; i < 3; ++i) {
    for (int k = 0; k < weights[i]; ++k) {
      repeated.update({&x[i], DType::float64, {}, {}});
    }
  }
  EXPECT_EQ(weighted.features()[0].sum, repeated.features()[0].sum);
  EXPECT_EQ(weighted.features()[0].sumsq, repeated.features()[0].sumsq);
  EXPECT_EQ(weighted.mean<double>(), repeated.mean<double>());
  EXPECT_EQ(weighted.variance<float>(), repeated.variance<float>());
  EXPECT_EQ(weighted.std<double>(), repeated.std<double>());
  EXPECT_EQ(weighted.features()[0].counts.finite, 3);
}

TEST(Moments, NothingButWeightZeroIsEmpty) {
  const double x[] = {1, NAN};
  const double weights[] = {0, -0.0};
  UpdateOptions options;
  options.weights = list(weights);
  Moments moments;
  moments.update(list(x), {}, options);
  EXPECT_TRUE(moments.empty());
  EXPECT_FALSE(moments.weighted());
  EXPECT_EQ(moments, Moments());
  moments.update(list(x));  // so it is still free to become unweighted
  EXPECT_EQ(moments.features()[0].counts.nan, 1);
}

TEST(MomentsColumns, AreTheFeaturesSideBySide) {
  const float a[] = {1, 2, NAN};
  const std::int8_t b[][2] = {{-1, 2}, {3, -128}, {5, 6}};
  const bool valid[][2] = {{true, false}, {true, true}, {false, true}};
  const bool where[] = {true, true, false};
  const Column columns[] = {{list(a), {}}, {rows(&b[0][0], 3, 2), rows(&valid[0][0], 3, 2)}};
  Moments moments({3});
  moments.update_columns(columns);
  EXPECT_EQ(moments.features()[0], oracle::moments(columns[0].values, {}).features()[0]);
  UpdateOptions options;
  options.valid = columns[1].valid;
  const Moments second = oracle::moments(columns[1].values, {1}, options);
  EXPECT_EQ(moments.features()[1], second.features()[0]);
  EXPECT_EQ(moments.features()[2], second.features()[1]);

  Moments masked({3});
  UpdateOptions rows_only;
  rows_only.where = list(where);
  masked.update_columns(columns, rows_only);
  EXPECT_EQ(masked.features()[0].counts, (Counts{2, 0, 0, 0, 0}));
  EXPECT_EQ(masked.features()[1].counts, (Counts{2, 0, 0, 0, 0}));
  EXPECT_EQ(masked.features()[2].counts, (Counts{1, 0, 0, 0, 1}));

  Moments weighted({3});
  const float weights[] = {1, 0.5F, 2};
  UpdateOptions with_weights;
  with_weights.weights = list(weights);
  weighted.update_columns(columns, with_weights);
  EXPECT_EQ(weighted.weights()[0], ExactSum::from_double(1.5));
  EXPECT_EQ(weighted.weights()[1], ExactSum::from_double(1.5));
  EXPECT_EQ(weighted.weights()[2], ExactSum::from_double(2.5));
  EXPECT_EQ(weighted.features()[2].sum, ExactSum::from_integer(-52));
}

TEST(MomentsColumns, OneColumnIsAlsoAFeatureOfNoAxes) {
  const double x[] = {1, 2};
  Moments moments;
  const Column columns[] = {{list(x), {}}};
  moments.update_columns(columns);
  EXPECT_EQ(moments.mean<double>()[0], 1.5);
}

TEST(MomentsColumns, MustFit) {
  const float x[6] = {};
  const bool valid[6] = {};
  Moments moments({2});
  const Column uneven[] = {{contiguous(x, {3}), {}}, {contiguous(x, {2}), {}}};
  EXPECT_THAT([&] { moments.update_columns(uneven); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("(2,)")));
  const Column three[] = {{contiguous(x, {2, 3}), {}}};
  EXPECT_THAT([&] { moments.update_columns(three); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("3 features")));
  const Column deep[] = {{contiguous(x, {1, 2, 3}), {}}};
  EXPECT_THROW(moments.update_columns(deep), std::invalid_argument);
  const Column flat[] = {{{x, DType::float32, {}, {}}, {}}};
  EXPECT_THROW(moments.update_columns(flat), std::invalid_argument);
  UpdateOptions options;
  options.valid = contiguous(valid, {3, 2});
  const Column two[] = {{contiguous(x, {3, 2}), {}}};
  EXPECT_THAT([&] { moments.update_columns(two, options); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("options.valid")));
  EXPECT_THROW(moments.update_columns({}), std::invalid_argument);
  EXPECT_TRUE(moments.empty());
  Moments none({0});
  none.update_columns({});
  EXPECT_TRUE(none.empty());
}

TEST(Moments, FromPartsTakesOnlyWhatDataCanGive) {
  const auto of = [](std::int64_t n, const char* sum, const char* sumsq) {
    return Feature{{n, 0, 0, 0, 0}, ExactSum::from_string(sum), ExactSum::from_string(sumsq)};
  };
  EXPECT_NO_THROW(Moments::from_parts({1}, {}, {of(2, "0x1p+1", "0x1p+1")}));
  EXPECT_THAT(
      [&] { Moments::from_parts({1}, {"x"}, {of(2, "0x1p+1", "0x7p-2")}); },
      ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("'x' (feature 0)"), HasSubstr("variance"))));
  EXPECT_THROW(Moments::from_parts({1}, {}, {of(-1, "0x0p+0", "0x0p+0")}), std::invalid_argument);
  EXPECT_THROW(Moments::from_parts({1}, {}, {of(0, "0x1p+0", "0x1p+0")}), std::invalid_argument);
  EXPECT_THROW(Moments::from_parts({1}, {}, {of(1, "0x0p+0", "-0x1p+0")}), std::invalid_argument);
  EXPECT_THROW(Moments::from_parts({2}, {}, {of(1, "0x0p+0", "0x1p+0")}), std::invalid_argument);
  EXPECT_THROW(Moments::from_parts({1}, {}, {of(1, "0x1p+0", "0x1p+0")}, {ExactSum(), ExactSum()}),
               std::invalid_argument);
  EXPECT_THROW(Moments::from_parts({1}, {}, {of(1, "0x1p+0", "0x1p+0")}, {ExactSum()}),
               std::invalid_argument);
}

}  // namespace
}  // namespace exactnorm
