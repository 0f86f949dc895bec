// Keras's semantics, point by point.

#include <exactnorm/normalization.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "control_word.hpp"

namespace exactnorm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;
using Floats = std::vector<float>;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr float nan_float = std::numeric_limits<float>::quiet_NaN();
constexpr float inf_float = std::numeric_limits<float>::infinity();

GivenValues scalar(double value) { return {{}, {value}}; }
GivenValues list(std::vector<double> values) {
  return {{static_cast<std::int64_t>(values.size())}, std::move(values)};
}

template <class T>
TensorView array(const std::vector<T>& values, const Shape& shape) {
  return contiguous(values.data(), shape);
}
TensorView table(const Floats& values, std::int64_t features) {
  return contiguous(values.data(), {static_cast<std::int64_t>(values.size()) / features, features});
}

template <class T>
Floats call(Normalization& layer, const std::vector<T>& values, const Shape& shape, bool inverse = false) {
  const Shape out_shape = layer.prepare_call(shape);
  Floats out(static_cast<std::size_t>(element_count(out_shape)), -99);
  if (inverse) {
    layer.inverse(array(values, shape), contiguous(out.data(), out_shape));
  } else {
    layer(array(values, shape), contiguous(out.data(), out_shape));
  }
  return out;
}

// Everything that one can see of a layer; warnings apart, since looking takes them away.
struct Look {
  bool built;
  bool adapted;
  std::int64_t count;
  std::size_t rank = 0;
  Axes axes = {};
  Moments moments = Moments();
  Scale<float> narrow = {};
  Scale<double> wide = {};

  explicit Look(const Normalization& layer)
      : built(layer.built()), adapted(layer.is_adapted()), count(layer.count()) {
    if (built) {
      rank = layer.rank();
      axes = layer.axes();
      moments = layer.options().mean ? Moments() : layer.moments();
      narrow = layer.normalizer().scale<float>();
      wide = layer.normalizer().scale<double>();
    }
  }
  friend bool operator==(const Look&, const Look&) = default;
};

// f throws that and leaves the layer, its warnings included, as it was.
template <class Error>
void expect_refused(Normalization& layer, const std::function<void()>& f, const std::string& message) {
  const Look before(layer);
  layer.take_warnings();
  EXPECT_THAT(f, ThrowsMessage<Error>(HasSubstr(message)));
  EXPECT_EQ(Look(layer), before);
  EXPECT_THAT(layer.take_warnings(), IsEmpty());
}
using Invalid = std::invalid_argument;

const Floats three_columns{0, 7, 4, 2, 9, 6, 0, 7, 4, 2, 9, 6};

// ---- the documented examples

TEST(KerasExamples, AGlobalMeanAndVariance) {
  Normalization layer({.axis = {}});
  layer.adapt(array(Floats{1, 2, 3, 4, 5}, {5}));
  EXPECT_EQ(call(layer, Floats{1, 2, 3}, {3}), (Floats{-1.4142135F, -0.70710677F, 0}));
  EXPECT_THAT(layer.take_warnings(), IsEmpty());
}

TEST(KerasExamples, AMeanAndVarianceForEachIndexOnTheLastAxis) {
  Normalization layer;
  layer.adapt(table(three_columns, 3));
  EXPECT_EQ(call(layer, Floats{0, 7, 4}, {1, 3}), (Floats{-1, -1, -1}));
  EXPECT_EQ(layer.broadcast_shape(), (Shape{1, 3}));
}

TEST(KerasExamples, MeanAndVarianceGiven) {
  Normalization layer({.mean = scalar(3), .variance = scalar(2)});
  EXPECT_EQ(call(layer, Floats{1, 2, 3}, {3, 1}), (Floats{-1.4142135F, -0.70710677F, 0}));
  EXPECT_THAT(layer.take_warnings(), IsEmpty());
}

TEST(KerasExamples, Inversion) {
  Normalization layer({.invert = true});
  layer.adapt(table(three_columns, 3));
  EXPECT_EQ(call(layer, Floats{1, 2, 3}, {1, 3}), (Floats{2, 10, 8}));
  EXPECT_EQ(call(layer, Floats{2, 10, 8}, {1, 3}, true), (Floats{1, 2, 3}));
}

TEST(KerasExamples, AdaptingTwice) {
  Normalization layer({.axis = {}});
  layer.adapt(array(Floats{0, 2}, {2}));
  EXPECT_EQ(call(layer, Floats{0, 1, 2}, {3}), (Floats{-1, 0, 1}));
  layer.adapt(array(Floats{-1, 1}, {2}));
  EXPECT_EQ(call(layer, Floats{0, 1, 2}, {3}), (Floats{0, 1, 2}));
}

TEST(KerasExamples, ScalarsIntoALayerOfRankOne) {
  Normalization layer({.axis = {}});
  layer.adapt(array(Floats{0, 2}, {2}));
  EXPECT_EQ(layer.prepare_call({}), Shape{1});
  EXPECT_EQ(call(layer, std::vector<std::int64_t>{0}, {}), Floats{-1});
  EXPECT_EQ(call(layer, std::vector<std::int64_t>{2}, {}, true), Floats{3});
}

// ---- axis and build

TEST(NormalizationBuild, KeepsSortedNonNegativeAxes) {
  Normalization layer({.axis = Axes{-1, 0}});
  layer.build({2, -1, 3});
  EXPECT_EQ(layer.axes(), (Axes{0, 2}));
  EXPECT_EQ(layer.feature_shape(), (Shape{2, 3}));
  EXPECT_EQ(layer.broadcast_shape(), (Shape{2, 1, 3}));
  EXPECT_EQ(layer.rank(), 3U);
  Normalization none({.axis = {}});
  none.build({-1, -1});
  EXPECT_EQ(none.axes(), Axes());
  EXPECT_EQ(none.feature_shape(), Shape());
  EXPECT_EQ(none.broadcast_shape(), (Shape{1, 1}));
}

TEST(NormalizationBuild, RefusesBadAxes) {
  Normalization outside({.axis = Axes{3}});
  expect_refused<Invalid>(
      outside,
      [&] {
        outside.build({2, 3});
      },
      "axis 3 is out of range");
  Normalization below({.axis = Axes{-3}});
  expect_refused<Invalid>(
      below,
      [&] {
        below.build({2, 3});
      },
      "axis -3 is out of range");
  Normalization twice({.axis = Axes{-1, 3}});
  expect_refused<Invalid>(
      twice,
      [&] {
        twice.build({2, 3, 4, 5});
      },
      "twice");
  Normalization unknown({.axis = Axes{0, -1}});
  expect_refused<Invalid>(
      unknown,
      [&] {
        unknown.build({5, -1});
      },
      "all `axis` values to be kept must have known extents; got axis (0, -1) and input shape (5, None), "
      "whose extent at index 1 is unknown");
  Normalization layer;
  expect_refused<Invalid>(
      layer, [&] { layer.build({}); }, "axis -1 is out of range");
}

TEST(NormalizationBuild, AgainMustFit) {
  Normalization layer;
  layer.build({-1, 3});
  layer.update_state(table(three_columns, 3));
  layer.finalize_state();
  const Look before(layer);
  layer.build({-1, 3});
  layer.build({17, 3});
  EXPECT_EQ(Look(layer), before);
  const std::string built = "the layer was built for inputs of shape (None, 3), got shape ";
  expect_refused<Invalid>(
      layer,
      [&] {
        layer.build({-1, 4});
      },
      built + "(None, 4)");
  expect_refused<Invalid>(
      layer,
      [&] {
        layer.build({-1, -1});
      },
      built + "(None, None)");
  expect_refused<Invalid>(
      layer, [&] { layer.build({3}); }, built + "(3,)");
}

TEST(NormalizationBuild, WarnsThatIndicesOf1dDataBecomeFeatures) {
  Normalization layer;
  layer.adapt(array(Floats{1, 2, 3, 4, 5}, {5}));
  EXPECT_EQ(layer.feature_shape(), Shape{5});
  EXPECT_THAT(layer.take_warnings(),
              ElementsAre("axis -1 of 1-d data makes each of the 5 indices a feature of its own; "
                          "axis=None gives one mean and variance of all values"));
  layer.adapt(array(Floats{1, 2, 3, 4, 5}, {5}));
  EXPECT_THAT(layer.take_warnings(), IsEmpty());
}

TEST(NormalizationBuild, IsNeededFirst) {
  const Normalization layer;
  const std::string message = "not built";
  EXPECT_THAT([&] { static_cast<void>(layer.axes()); }, ThrowsMessage<std::logic_error>(HasSubstr(message)));
  EXPECT_THAT([&] { static_cast<void>(layer.rank()); }, ThrowsMessage<std::logic_error>(HasSubstr(message)));
  EXPECT_THAT([&] { static_cast<void>(layer.feature_shape()); },
              ThrowsMessage<std::logic_error>(HasSubstr(message)));
  EXPECT_THAT([&] { static_cast<void>(layer.broadcast_shape()); },
              ThrowsMessage<std::logic_error>(HasSubstr(message)));
  EXPECT_THAT([&] { static_cast<void>(layer.normalizer()); },
              ThrowsMessage<std::logic_error>(HasSubstr(message)));
  EXPECT_THAT([&] { static_cast<void>(layer.moments()); },
              ThrowsMessage<std::logic_error>(HasSubstr(message)));
  EXPECT_EQ(layer.count(), 0);
  EXPECT_FALSE(layer.is_adapted());
  EXPECT_FALSE(layer.built());
}

TEST(NormalizationOptions, AreChecked) {
  const auto make = [](const NormalizationOptions& options) { return [=] { Normalization{options}; }; };
  EXPECT_THAT(make({.mean = scalar(3)}),
              ThrowsMessage<Invalid>(AllOf(HasSubstr("both `mean` and `variance` must be set"),
                                           HasSubstr("mean 3 and variance None"))));
  EXPECT_THAT(make({.variance = list({3, 4})}),
              ThrowsMessage<Invalid>(AllOf(HasSubstr("both `mean` and `variance` must be set"),
                                           HasSubstr("mean None and variance [3, 4]"))));
  EXPECT_THAT(make({.mean = scalar(3), .variance = list({1, -0.5})}),
              ThrowsMessage<Invalid>("variance must not be negative or NaN; value 1 is -0.5"));
  EXPECT_THAT(make({.mean = scalar(3), .variance = scalar(std::nan(""))}),
              ThrowsMessage<Invalid>("variance must not be negative or NaN; value 0 is nan"));
  EXPECT_THAT(make({.mean = GivenValues{{2}, {1}}, .variance = scalar(1)}),
              ThrowsMessage<Invalid>("mean of shape (2,) must have 2 values, got 1"));
  EXPECT_THAT(make({.mean = scalar(1), .variance = GivenValues{{}, {}}}),
              ThrowsMessage<Invalid>("variance of shape () must have 1 values, got 0"));
  EXPECT_THAT(make({.epsilon = -1}), ThrowsMessage<Invalid>(HasSubstr("epsilon")));
  EXPECT_THAT(make({.dtype = DType::int32}),
              ThrowsMessage<Invalid>("dtype must be float16, bfloat16, float32 or float64, got int32"));
}

// ---- given mean and variance

TEST(GivenMean, BroadcastsToTheKeptShape) {
  const auto mean_for = [](const GivenValues& mean, const Shape& shape, const Axes& axis) {
    Normalization layer({.axis = axis, .mean = mean, .variance = scalar(1)});
    layer.build(shape);
    return layer.normalizer().scale<double>().mean;
  };
  const Axes both{0, 1};
  EXPECT_EQ(mean_for(scalar(5), {2, 3}, both), (std::vector<double>{5, 5, 5, 5, 5, 5}));
  EXPECT_EQ(mean_for(list({5}), {2, 3}, both), (std::vector<double>{5, 5, 5, 5, 5, 5}));
  EXPECT_EQ(mean_for(list({1, 2, 3}), {2, 3}, both), (std::vector<double>{1, 2, 3, 1, 2, 3}));
  EXPECT_EQ(mean_for({{2, 1}, {1, 2}}, {2, 3}, both), (std::vector<double>{1, 1, 1, 2, 2, 2}));
  EXPECT_EQ(mean_for({{1, 3}, {1, 2, 3}}, {2, 3}, both), (std::vector<double>{1, 2, 3, 1, 2, 3}));
  EXPECT_EQ(mean_for({{2, 3}, {1, 2, 3, 4, 5, 6}}, {2, 3}, both), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(mean_for({{1, 1, 3}, {1, 2, 3}}, {9, 9, 3}, {-1}),
            (std::vector<double>{1, 2, 3}));  // Keras 2.7 alone
  EXPECT_EQ(mean_for({{1, 1}, {7}}, {4}, {}), std::vector<double>{7});
  for (const auto& [given, shape] : {std::pair{Shape{2}, Shape{2, 3}},
                                     {Shape{3, 1}, Shape{2, 3}},
                                     {Shape{2, 1, 3}, Shape{2, 3}},
                                     {Shape{3}, Shape{1, 1}}}) {
    const GivenValues mean{given, std::vector<double>(static_cast<std::size_t>(element_count(given)), 1)};
    Normalization layer({.axis = both, .mean = mean, .variance = scalar(1)});
    expect_refused<Invalid>(
        layer, [&, shape = shape] { layer.build(shape); },
        "the given mean of shape " + to_string(given) +
            " does not broadcast to the shape of the kept axes, " + to_string(shape));
    Normalization other({.axis = both, .mean = scalar(1), .variance = mean});
    expect_refused<Invalid>(
        other, [&, shape = shape] { other.build(shape); }, "the given variance of shape " + to_string(given));
  }
}

TEST(GivenMean, LearnsNothing) {
  Normalization layer({.mean = list({3, 1}), .variance = GivenValues{{1, 2}, {2, 4}}});
  const Floats x{1, 2, 3, 4};
  const std::string message =
      "a Normalization layer that is initialized with static `mean` and `variance`, you passed mean [3, 1] "
      "and variance [2, 4] of shape (1, 2)";
  for (const bool built : {false, true}) {
    if (built) {
      layer.build({-1, 2});
    }
    expect_refused<Invalid>(
        layer, [&] { layer.adapt(table(x, 2)); }, "Cannot `adapt` " + message);
    expect_refused<Invalid>(
        layer, [&] { Adaptation{layer}; }, "Cannot `adapt` " + message);
    expect_refused<Invalid>(
        layer, [&] { layer.update_state(table(x, 2)); }, "Cannot `adapt` " + message);
    expect_refused<Invalid>(
        layer, [&] { layer.update_state(Moments({2})); }, "Cannot `adapt` " + message);
    expect_refused<Invalid>(
        layer, [&] { layer.merge_state({}); }, "Cannot `merge_state` " + message);
    expect_refused<Invalid>(
        layer, [&] { layer.forget(Moments({2})); }, "Cannot `forget` " + message);
    expect_refused<Invalid>(
        layer, [&] { layer.forget(table(x, 2)); }, "Cannot `forget` " + message);
    const Look before(layer);
    layer.finalize_state();
    layer.reset_state();
    EXPECT_EQ(Look(layer), before);
    EXPECT_EQ(layer.count(), 0);
    EXPECT_FALSE(layer.is_adapted());
  }
  EXPECT_THAT([&] { static_cast<void>(layer.moments()); },
              ThrowsMessage<std::logic_error>(HasSubstr("given mean and variance")));
  Normalization learner;
  learner.build({-1, 2});
  const Normalization* const given[] = {&layer};
  expect_refused<Invalid>(
      learner, [&] { learner.merge_state(given); }, "given mean and variance");
}

TEST(GivenMean, ShowsLongListsInPart) {
  Normalization layer(
      {.mean = list(std::vector<double>(100, 1)), .variance = list(std::vector<double>(100, 1))});
  EXPECT_THAT([&] { layer.adapt(table({1}, 1)); },
              ThrowsMessage<Invalid>(HasSubstr("mean [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, …] and")));
}

TEST(GivenMean, ObeysTheConstantPolicy) {
  Normalization raising(
      {.mean = scalar(0), .variance = list({1, 0}), .constant_policy = ConstantPolicy::raise});
  expect_refused<Invalid>(
      raising,
      [&] {
        raising.build({-1, 2});
      },
      "exactly 0 for feature 1");
  Normalization unit({.mean = scalar(1), .variance = list({4, 0}), .constant_policy = ConstantPolicy::unit});
  EXPECT_EQ(call(unit, Floats{5, 6}, {1, 2}), (Floats{2, 5}));
}

// ---- adapt, update, finalize, reset

TEST(Adapt, ForgetsWhatWasThere) {
  Normalization layer;
  layer.adapt(table({100, 200, 300}, 3));
  layer.adapt(table(three_columns, 3));
  EXPECT_EQ(layer.normalizer().scale<float>().mean, (Floats{1, 8, 5}));
  EXPECT_EQ(layer.normalizer().scale<float>().variance, (Floats{1, 1, 1}));
  EXPECT_EQ(layer.count(), 4);
  EXPECT_TRUE(layer.is_adapted());
  EXPECT_EQ(layer.moments().features()[0].counts.finite, 4);
}

TEST(Adapt, RefusesDataWithoutValuesAndKeepsTheOldState) {
  const Floats x{1, nan_float, 2, nan_float};
  for (const bool adapted : {false, true}) {
    Normalization layer({.nan_policy = Policy::omit});
    if (adapted) {
      layer.adapt(table({1, 2, 3, 4}, 2));
    }
    expect_refused<Invalid>(
        layer,
        [&] {
          layer.adapt(array(x, {0, 2}));
        },
        "nothing to learn from");
    expect_refused<Invalid>(
        layer, [&] { layer.adapt(table(x, 2)); }, "there is no value to learn from for feature 1");
    expect_refused<Invalid>(
        layer, [&] { Adaptation(layer).commit(); }, "nothing to learn from");
    const std::vector<std::uint8_t> none{0, 0};
    const UpdateOptions nowhere{.where = TensorView{none.data(), DType::boolean, {2}, {1}}};
    expect_refused<Invalid>(
        layer, [&] { layer.adapt(table(x, 2), nowhere); }, "nothing to learn from");
  }
  Normalization zero;
  expect_refused<Invalid>(
      zero,
      [&] {
        zero.adapt(array(x, {4, 0}));
      },
      "nothing to learn from");
}

TEST(Adapt, NamesManyEmptyFeaturesInPart) {
  Normalization layer({.nan_policy = Policy::omit});
  const Floats x(8, nan_float);
  expect_refused<Invalid>(
      layer, [&] { layer.adapt(table(x, 8)); },
      "feature 0, feature 1, feature 2, feature 3, feature 4 and 3 more");
}

TEST(Adapt, ThatFailsLeavesTheLayer) {
  Normalization layer({.nan_policy = Policy::raise, .name = "ages"});
  const Floats bad{1, nan_float};
  expect_refused<Invalid>(
      layer, [&] { layer.adapt(table(bad, 2)); }, "feature 1");
  EXPECT_FALSE(layer.built());
  layer.adapt(table({1, 2, 3, 5}, 2));
  expect_refused<Invalid>(
      layer, [&] { layer.adapt(table(bad, 2)); }, "feature 1");
  expect_refused<Invalid>(
      layer, [&] { layer.adapt(table(three_columns, 3)); },
      "Normalization layer 'ages': the layer was built for inputs of shape (None, 2), got shape (4, 3)");
  Normalization constant({.constant_policy = ConstantPolicy::raise});
  expect_refused<Invalid>(
      constant,
      [&] {
        constant.adapt(table({1, 2, 1, 3}, 2));
      },
      "exactly 0 for feature 0");
  Normalization one_dimensional({.nan_policy = Policy::raise});
  expect_refused<Invalid>(
      one_dimensional, [&] { one_dimensional.adapt(array(bad, {2})); }, "feature 1");
}

TEST(UpdateState, IsSeenByCallsAfterFinalizeState) {
  Normalization layer;
  expect_refused<std::logic_error>(
      layer, [&] { layer.update_state(table(three_columns, 3)); },
      "`build` must be called before `update_state`");
  layer.build({-1, 3});
  layer.update_state(table({0, 7, 4, 2, 9, 6}, 3));
  EXPECT_EQ(call(layer, Floats{0, 7, 4}, {1, 3}), (Floats{0, 7, 4}));
  layer.update_state(table({0, 7, 4, 2, 9, 6}, 3));
  EXPECT_EQ(layer.count(), 4);
  layer.finalize_state();
  EXPECT_EQ(call(layer, Floats{0, 7, 4}, {1, 3}), (Floats{-1, -1, -1}));
  EXPECT_FALSE(layer.is_adapted());
  Normalization adapted;
  adapted.adapt(table(three_columns, 3));
  EXPECT_EQ(layer.moments(), adapted.moments());
  expect_refused<Invalid>(
      layer,
      [&] {
        layer.update_state(table({1, 2}, 2));
      },
      "the layer was built for inputs of shape (None, 3), got shape (1, 2)");
  expect_refused<Invalid>(
      layer,
      [&] {
        layer.update_state(array(Floats{1, 2, 3}, {3}));
      },
      "(None, 3), got shape (3,)");
}

TEST(UpdateState, GoesOnAfterAdapt) {
  Normalization layer;
  layer.adapt(table({1, 3}, 1));
  layer.update_state(table({5, 7}, 1));
  EXPECT_EQ(layer.normalizer().scale<float>().mean, Floats{2});
  layer.finalize_state();
  EXPECT_EQ(layer.normalizer().scale<float>().mean, Floats{4});
  EXPECT_TRUE(layer.is_adapted());
}

TEST(ResetState, IsSeenByCallsAfterFinalizeState) {
  Normalization layer;
  layer.reset_state();
  layer.finalize_state();
  EXPECT_FALSE(layer.built());
  layer.adapt(table(three_columns, 3));
  layer.reset_state();
  EXPECT_FALSE(layer.is_adapted());
  EXPECT_EQ(layer.count(), 0);
  EXPECT_TRUE(layer.moments().empty());
  EXPECT_EQ(call(layer, Floats{0, 7, 4}, {1, 3}), (Floats{-1, -1, -1}));
  EXPECT_THAT(layer.take_warnings(), IsEmpty());
  layer.finalize_state();
  EXPECT_EQ(call(layer, Floats{0, 7, 4}, {1, 3}), (Floats{0, 7, 4}));
  EXPECT_EQ(layer.normalizer().scale<double>(), (Scale<double>{{0, 0, 0}, {1, 1, 1}, {1, 1, 1}}));
  EXPECT_THAT(layer.take_warnings(), ElementsAre(HasSubstr("not adapted")));
  layer.update_state(table(three_columns, 3));
  layer.finalize_state();
  EXPECT_EQ(call(layer, Floats{0, 7, 4}, {1, 3}), (Floats{-1, -1, -1}));
}

TEST(FinalizeState, ThatFailsLeavesTheLayer) {
  Normalization layer({.nan_policy = Policy::raise});
  layer.adapt(table({1, 2, 3, 5}, 2));
  layer.update_state(table({nan_float, 1}, 2));
  expect_refused<Invalid>(
      layer, [&] { layer.finalize_state(); }, "feature 0");
  EXPECT_EQ(layer.normalizer().scale<float>().mean, (Floats{2, 3.5F}));
}

TEST(Count, IsOfAllKindsAndIgnoresBatches) {
  Normalization layer;
  const Floats x{1, nan_float, 2, inf_float, 3, 4};
  layer.build({-1, 2});
  layer.update_state(table(x, 2));
  layer.update_state(array(Floats{1, 2}, {1, 2}));
  EXPECT_EQ(layer.count(), 4);
  Normalization all({.axis = Axes{0, 1}});
  all.build({3, 2});
  all.update_state(table(x, 2));
  EXPECT_EQ(all.count(), 1);
}

RC_GTEST_PROP(Adaptation, DoesNotDependOnBatches, (const std::vector<std::array<float, 2>>& data)) {
  RC_PRE(!data.empty());
  Floats values;
  for (const auto& row : data) {
    values.insert(values.end(), row.begin(), row.end());
  }
  Normalization whole;
  whole.adapt(table(values, 2));
  Normalization parts;
  Adaptation adaptation(parts);
  for (std::size_t first = 0; first < data.size();) {
    const std::size_t count = *rc::gen::inRange<std::size_t>(1, data.size() - first + 1);
    adaptation.update(rows(values.data() + 2 * first, count, 2));
    first += count;
  }
  RC_ASSERT(!parts.built());
  adaptation.commit();
  RC_ASSERT(Look(parts) == Look(whole));
}

// ---- Adaptation

TEST(Adaptation, ChangesTheLayerInCommitAlone) {
  Normalization layer;
  layer.adapt(table({1, 2, 3, 4}, 2));
  const Look before(layer);
  {
    Adaptation adaptation(layer);
    adaptation.update(table({10, 20}, 2));
    EXPECT_THAT(
        [&] {
          adaptation.update(table({1, 2, 3}, 3));
        },
        ThrowsMessage<Invalid>(HasSubstr("(None, 2), got shape (1, 3)")));
  }
  EXPECT_EQ(Look(layer), before);
  Adaptation adaptation(layer);
  adaptation.update(table({10, 20}, 2));
  adaptation.update(table({30, 20}, 2));
  adaptation.set_names({"a", "b"});
  EXPECT_EQ(Look(layer), before);
  adaptation.commit();
  EXPECT_EQ(layer.normalizer().scale<float>().mean, (Floats{20, 20}));
  EXPECT_EQ(layer.moments().names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_THROW(adaptation.commit(), Invalid);
  layer.adapt(table({1, 2}, 2));
  EXPECT_THAT(layer.moments().names(), IsEmpty());
}

TEST(Adaptation, AFailedFirstBatchLeavesNothing) {
  Normalization layer;
  Adaptation adaptation(layer);
  const std::vector<double> weights{-1};
  const UpdateOptions negative{.weights = array(weights, {1})};
  EXPECT_THROW(adaptation.update(table({1, 2, 3}, 3), negative), Invalid);
  adaptation.set_names({"a", "b", "c"});
  EXPECT_THAT([&] { adaptation.update(table({1, 2}, 2)); }, ThrowsMessage<Invalid>(HasSubstr("names")));
  adaptation.set_names({});
  adaptation.update(table({1, 2}, 2));
  adaptation.commit();
  EXPECT_EQ(layer.feature_shape(), Shape{2});
}

TEST(Adaptation, DoesNotOverwriteALayerBuiltOtherwiseMeanwhile) {
  Normalization layer;
  Adaptation adaptation(layer);
  adaptation.update(table({1, 2}, 2));
  layer.build({-1, 3});
  expect_refused<Invalid>(
      layer, [&] { adaptation.commit(); }, "built for inputs of shape (None, 3), got shape (None, 2)");
}

TEST(Adaptation, TakesTables) {
  const Floats a{1, 2, 3};
  const std::vector<std::int32_t> b{10, 20, 30};
  const std::vector<std::uint8_t> valid{1, 0, 1};
  const std::vector<Column> columns{{array(a, {3}), {}},
                                    {array(b, {3}), TensorView{valid.data(), DType::boolean, {3}, {1}}}};
  Normalization layer;
  Adaptation adaptation(layer);
  adaptation.set_names({"a", "b"});
  adaptation.update_columns(columns);
  adaptation.commit();
  EXPECT_EQ(layer.rank(), 2U);
  EXPECT_EQ(layer.normalizer().scale<float>().mean, (Floats{2, 20}));
  EXPECT_EQ(layer.moments().features()[1].counts.null, 1);
  EXPECT_EQ(layer.moments().names(), (std::vector<std::string>{"a", "b"}));

  Normalization together({.axis = {}});
  Adaptation all(together);
  all.update_columns(columns);
  all.commit();
  EXPECT_EQ(together.normalizer().scale<double>().mean, std::vector<double>{9.2});
  EXPECT_EQ(together.count(), 6);

  Normalization by_row({.axis = Axes{0}});
  Adaptation rows_of(by_row);
  EXPECT_THAT([&] { rows_of.update_columns(columns); },
              ThrowsMessage<Invalid>(HasSubstr("axis must be -1, 1 or None")));
  Adaptation bad(layer);
  EXPECT_THAT([&] { bad.update_columns({}); }, ThrowsMessage<Invalid>(HasSubstr("at least one column")));
  const std::vector<Column> ragged{{array(a, {3}), {}}, {array(b, {2}), {}}};
  EXPECT_THAT([&] { bad.update_columns(ragged); },
              ThrowsMessage<Invalid>(HasSubstr("the same rows; got (3,) and (2,)")));
  const std::vector<Column> single{{array(a, {3}), {}}};
  EXPECT_THAT([&] { bad.update_columns(single); },
              ThrowsMessage<Invalid>(HasSubstr("(None, 2), got shape (3, 1)")));
  const UpdateOptions with_valid{.valid = TensorView{valid.data(), DType::boolean, {3}, {1}}};
  EXPECT_THAT([&] { bad.update_columns(columns, with_valid); }, ThrowsMessage<Invalid>(HasSubstr("valid")));
}

TEST(Adaptation, TakesMoments) {
  Moments part({2});
  part.update(table({1, 2, 3, 4}, 2));
  Normalization layer;
  Adaptation adaptation(layer);
  EXPECT_THAT([&] { static_cast<void>(adaptation.moments()); },
              ThrowsMessage<Invalid>(HasSubstr("no batch came")));
  adaptation.update(part);
  EXPECT_EQ(adaptation.moments(), part);
  adaptation.update(table({5, 7}, 2));
  adaptation.commit();
  Normalization expected;
  expected.adapt(table({1, 2, 3, 4, 5, 7}, 2));
  EXPECT_EQ(Look(layer), Look(expected));
  EXPECT_EQ(layer.rank(), 2U);

  Normalization deep;
  Adaptation of_deep(deep);
  of_deep.update(array(Floats{1, 2, 3, 4}, {1, 2, 2}));
  of_deep.update(part);
  of_deep.commit();
  EXPECT_EQ(deep.rank(), 3U);
  EXPECT_EQ(deep.count(), 4);
  Adaptation again(deep);
  EXPECT_THAT([&] { again.update(Moments({3})); }, ThrowsMessage<Invalid>(HasSubstr("(3,)")));
}

TEST(UpdateState, TakesMoments) {
  Moments part({2});
  part.update(table({1, 2, 3, 4}, 2));
  Normalization layer;
  expect_refused<std::logic_error>(
      layer, [&] { layer.update_state(part); }, "`build` must be called before `update_state`");
  layer.build({-1, 2});
  layer.update_state(part);
  EXPECT_EQ(layer.moments(), part);
  expect_refused<Invalid>(
      layer, [&] { layer.update_state(Moments({3})); }, "(3,)");
}

// ---- merge and forget

TEST(MergeState, AddsWhatOthersHaveLearned) {
  Normalization a;
  Normalization b;
  Normalization all;
  a.adapt(table({1, 2, 3, 4}, 2));
  b.build({-1, 2});
  b.update_state(table({5, 6}, 2));
  all.adapt(table({1, 2, 3, 4, 5, 6}, 2));
  const Normalization* const others[] = {&a, &b};
  Normalization fresh;
  fresh.merge_state(others);
  EXPECT_EQ(Look(fresh), Look(all));
  a.merge_state(std::span(others).subspan(1));
  EXPECT_EQ(Look(a), Look(all));
  EXPECT_FALSE(b.is_adapted());

  Normalization nobody;
  nobody.merge_state({});
  EXPECT_FALSE(nobody.built());
  nobody.build({-1, 2});
  Normalization also_nothing;
  also_nothing.build({-1, 2});
  const Normalization* const nothing[] = {&also_nothing};
  nobody.merge_state(nothing);
  EXPECT_FALSE(nobody.is_adapted());
  EXPECT_EQ(call(nobody, Floats{3, 4}, {1, 2}), (Floats{3, 4}));
}

TEST(MergeState, RefusesOtherLayers) {
  Normalization layer;
  layer.adapt(table({1, 2, 3, 5}, 2));
  const auto refuse = [&](const Normalization& good, const Normalization& bad, const std::string& message) {
    const Normalization* const others[] = {&good, &bad};
    expect_refused<Invalid>(
        layer, [&] { layer.merge_state(others); }, message);
  };
  Normalization wide;
  wide.adapt(table(three_columns, 3));
  refuse(layer, wide,
         "layer 1 to merge keeps other axes: it was built for shape (None, 3), this layer for (None, 2)");
  Normalization deep;
  deep.adapt(array(Floats{1, 2, 3, 4}, {2, 1, 2}));
  refuse(layer, deep, "built for shape (None, None, 2), this layer for (None, 2)");
  Normalization first({.axis = Axes{0}});
  first.adapt(table({1, 2, 3, 4}, 2));
  refuse(layer, first, "built for shape (2, None), this layer for (None, 2)");
  const Normalization unbuilt;
  const Normalization* const others[] = {&layer, &unbuilt};
  expect_refused<std::logic_error>(
      layer, [&] { layer.merge_state(others); }, "layer 1 to merge is not built");
  Normalization poisoned;
  poisoned.adapt(table({1, nan_float}, 2));
  Normalization strict({.nan_policy = Policy::raise});
  const Normalization* const bad[] = {&poisoned};
  expect_refused<Invalid>(
      strict, [&] { strict.merge_state(bad); }, "feature 1");
}

TEST(Forget, TakesAwayWhatWasLearned) {
  Normalization layer;
  expect_refused<std::logic_error>(
      layer, [&] { layer.forget(Moments({2})); }, "not built");
  layer.adapt(table({1, 2, 3, 4, 5, 7}, 2));
  Normalization expected;
  expected.adapt(table({3, 4, 5, 7}, 2));
  layer.forget(table({1, 2}, 2));
  EXPECT_EQ(Look(layer), Look(expected));
  expect_refused<Invalid>(
      layer,
      [&] {
        layer.forget(table({100, 200}, 2));
      },
      "feature");
  expect_refused<Invalid>(
      layer,
      [&] {
        layer.forget(table({1, 2, 3}, 3));
      },
      "(None, 2), got shape (1, 3)");
  expect_refused<Invalid>(
      layer, [&] { layer.forget(Moments({3})); }, "(3,)");
  Moments rest({2});
  rest.update(table({3, 4, 5, 7}, 2));
  layer.forget(rest);
  EXPECT_FALSE(layer.is_adapted());
  EXPECT_EQ(layer.count(), 0);
  EXPECT_EQ(call(layer, Floats{3, 4}, {1, 2}), (Floats{3, 4}));
}

TEST(Forget, RefusesToEmptyAFeature) {
  Normalization layer({.nan_policy = Policy::omit});
  layer.adapt(table({1, 2, 3, nan_float}, 2));
  expect_refused<Invalid>(
      layer,
      [&] {
        layer.forget(table({1, 2}, 2));
      },
      "there is no value to learn from for feature 1");
}

// ---- calls

TEST(Call, BuildsAndIsTheIdentityWithOneWarning) {
  Normalization layer({.name = "first"});
  EXPECT_EQ(call(layer, Floats{1, -2.5F}, {1, 2}), (Floats{1, -2.5F}));
  EXPECT_THAT(
      layer.take_warnings(),
      ElementsAre("Normalization layer 'first': the layer is not adapted and was given no mean and variance: "
                  "the call returns its input"));
  EXPECT_EQ(call(layer, Floats{1, -2.5F}, {1, 2}, true), (Floats{1, -2.5F}));
  EXPECT_THAT(layer.take_warnings(), IsEmpty());
  EXPECT_FALSE(layer.is_adapted());
  EXPECT_TRUE(layer.built());
}

TEST(Call, RefusesOtherShapes) {
  Normalization layer;
  layer.adapt(table({1, 2, 3, 4}, 2));
  EXPECT_EQ(layer.prepare_call({17, 2}), (Shape{17, 2}));
  const std::string built = "the layer was built for inputs of shape (None, 2), got shape ";
  for (const Shape& shape : {Shape{4, 3}, Shape{2}, Shape{}, Shape{1, 1, 2}}) {
    expect_refused<Invalid>(
        layer, [&] { layer.prepare_call(shape); }, built + to_string(shape));
    Floats x(12);
    expect_refused<Invalid>(
        layer, [&] { layer(contiguous(x.data(), shape), contiguous(x.data(), shape)); },
        built + to_string(shape));
    expect_refused<Invalid>(
        layer, [&] { layer.inverse(contiguous(x.data(), shape), contiguous(x.data(), shape)); },
        built + to_string(shape));
  }
  Normalization deep({.axis = {}});
  deep.build({-1, -1});
  expect_refused<Invalid>(
      deep, [&] { deep.prepare_call({}); }, "(None, None), got shape ()");
}

TEST(Call, ThatFailsLeavesTheLayerUnbuilt) {
  Normalization layer;
  Floats x(4);
  expect_refused<Invalid>(
      layer, [&] { layer(table(x, 2), rows(x.data(), 1, 2)); }, "out must have the shape of the input");
  Normalization one_dimensional;
  expect_refused<Invalid>(
      one_dimensional, [&] { one_dimensional(array(x, {4}), contiguous(x.data(), {2})); }, "out must have");
}

TEST(Call, WorksInPlaceInBothDirections) {
  Normalization layer({.axis = Axes{0}});
  Floats x{1, 2, 3, 10, 20, 60};
  layer.adapt(array(x, {2, 3}));
  Floats y = x;
  layer(array(y, {2, 3}), contiguous(y.data(), {2, 3}));
  EXPECT_EQ(y, call(layer, x, {2, 3}));
  EXPECT_NE(y, x);
  Floats z = y;
  layer.inverse(array(z, {2, 3}), contiguous(z.data(), {2, 3}));
  EXPECT_EQ(z, call(layer, y, {2, 3}, true));
}

TEST(Call, OfFloat64ComputesInFloat64) {
  Normalization layer({.axis = {}});
  const std::vector<double> seconds{1.7e9, 1.7e9 + 1, 1.7e9 + 2};  // float32 has steps of 128 there
  layer.adapt(array(seconds, {3}));
  const double deviation = std::sqrt(2.0 / 3);
  EXPECT_EQ(call(layer, seconds, {3}),
            (Floats{static_cast<float>(-1 / deviation), 0, static_cast<float>(1 / deviation)}));
}

// ---- warnings

TEST(Warnings, OfPropagationNameFeaturesAndCounts) {
  Normalization layer;
  Adaptation adaptation(layer);
  adaptation.set_names({"age", "height", "ok"});
  adaptation.update(
      table({nan_float, inf_float, 1, nan_float, 1, 2, nan_float, -inf_float, 3, 1, inf_float, 4}, 3));
  adaptation.commit();
  EXPECT_THAT(
      layer.take_warnings(),
      ElementsAre("mean and variance are not finite where data are not; see nan_policy and inf_policy. "
                  "'age' (feature 0): 3 NaN, 'height' (feature 1): 2 +inf and 1 -inf"));
  EXPECT_THAT(layer.take_warnings(), IsEmpty());
  EXPECT_TRUE(std::isnan(layer.normalizer().scale<float>().mean[0]));
  EXPECT_TRUE(std::isnan(layer.normalizer().scale<float>().mean[1]));
}

TEST(Warnings, OfPropagationFollowThePolicies) {
  const Floats x{nan_float, inf_float, 1, 1, 2, 3};
  Normalization omit({.nan_policy = Policy::omit, .inf_policy = Policy::omit});
  omit.adapt(table(x, 2));
  EXPECT_THAT(omit.take_warnings(), IsEmpty());
  Normalization nan_only({.inf_policy = Policy::omit});
  nan_only.adapt(table(x, 2));
  EXPECT_THAT(nan_only.take_warnings(),
              ElementsAre(AllOf(HasSubstr("feature 0: 1 NaN"), ::testing::Not(HasSubstr("feature 1")))));
  Normalization inf_only({.nan_policy = Policy::omit});
  inf_only.adapt(table(x, 2));
  EXPECT_THAT(inf_only.take_warnings(),
              ElementsAre(AllOf(HasSubstr("feature 1: 1 +inf"), ::testing::Not(HasSubstr("feature 0")))));
}

TEST(Warnings, NameFewFeaturesAndCountTheRest) {
  Normalization layer;
  const Floats x(17, nan_float);
  layer.adapt(table(x, 17));
  EXPECT_THAT(layer.take_warnings(), ElementsAre(AllOf(HasSubstr("feature 4: 1 NaN and 12 more"),
                                                       ::testing::Not(HasSubstr("feature 5")))));
}

TEST(Warnings, ComeOnceEach) {
  Normalization layer;
  layer.adapt(table({nan_float}, 1));
  layer.finalize_state();
  EXPECT_EQ(layer.take_warnings().size(), 1U);
  layer.finalize_state();
  EXPECT_EQ(layer.take_warnings().size(), 1U);
}

TEST(Warnings, OfVariancesTooLarge) {
  const Floats x{-1e30F, 1, 1e30F, 2};
  Normalization layer;
  layer.adapt(table(x, 2));
  EXPECT_THAT(layer.take_warnings(), ElementsAre("the variance is too large for float32, so that inputs "
                                                 "which are computed in float32 become 0: feature 0"));
  EXPECT_EQ(call(layer, Floats{5, 1.5F}, {1, 2}), (Floats{0, 0}));
  Normalization wide({.dtype = DType::float64});
  wide.adapt(table(x, 2));
  EXPECT_THAT(wide.take_warnings(), IsEmpty());
  const std::vector<double> huge{-1e200, 1e200};
  wide = Normalization({.dtype = DType::float64});
  wide.adapt(array(huge, {2, 1}));
  EXPECT_THAT(wide.take_warnings(), ElementsAre(HasSubstr("too large for float64")));
  Normalization given({.mean = scalar(0), .variance = list({1e100, infinity, 1})});
  given.build({-1, 3});
  EXPECT_THAT(given.take_warnings(), ElementsAre(AllOf(HasSubstr("float32 become 0: feature 0"),
                                                       ::testing::Not(HasSubstr("feature 1")))));
}

// ---- parts of documents

TEST(FromParts, GivesTheSameLayer) {
  Normalization layer({.axis = Axes{0, -1}, .name = "x"});
  layer.adapt(array(Floats{1, 2, 3, 4, 5, 6, 7, 9}, {2, 2, 2}));
  layer.update_state(array(Floats{1, 2, 3, 4, 5, 6, 7, 9}, {2, 2, 2}));
  const Normalizer& readings = layer.normalizer();
  Normalization copy = Normalization::from_parts(
      layer.options(), 3, {0, 2},
      Normalizer::from_parts({2, 2}, readings.scale<float>(), readings.scale<double>(), {}), layer.moments(),
      true);
  EXPECT_EQ(Look(copy), Look(layer));
  const Floats x{5, 6, 7, 8};
  EXPECT_EQ(call(copy, x, {2, 1, 2}), call(layer, x, {2, 1, 2}));
  layer.finalize_state();
  copy.finalize_state();
  EXPECT_EQ(Look(copy), Look(layer));

  Normalization given({.mean = scalar(1), .variance = scalar(4)});
  given.build({-1, 1});
  Normalization again = Normalization::from_parts(given.options(), 2, {1}, given.normalizer(), {}, false);
  EXPECT_EQ(Look(again), Look(given));
  EXPECT_EQ(call(again, Floats{5}, {1, 1}), Floats{2});
}

TEST(FromParts, RefusesWhatDoesNotFit) {
  const NormalizationOptions learning;
  const NormalizationOptions given{.mean = scalar(0), .variance = scalar(1)};
  const Normalizer readings = Normalizer::from({2}, std::vector{0.0, 0.0}, std::vector{1.0, 1.0});
  const auto parts = [&](const NormalizationOptions& options, std::size_t rank, const Axes& axes,
                         const std::optional<Moments>& moments, bool adapted) {
    return [=] { Normalization::from_parts(options, rank, axes, readings, moments, adapted); };
  };
  EXPECT_NO_THROW(parts(learning, 2, {1}, Moments({2}), true)());
  EXPECT_THAT(parts(learning, 2, {0}, Moments({2}), true),
              ThrowsMessage<Invalid>(HasSubstr("rank and axes")));
  EXPECT_THAT(parts(learning, 3, {1}, Moments({2}), true),
              ThrowsMessage<Invalid>(HasSubstr("rank and axes")));
  EXPECT_THAT(parts(learning, 100, {99}, Moments({2}), true),
              ThrowsMessage<Invalid>(HasSubstr("rank and axes")));
  EXPECT_THAT(parts(learning, 0, {}, Moments({2}), true),
              ThrowsMessage<Invalid>(HasSubstr("axis -1 is out of range")));
  NormalizationOptions none;
  none.axis = {};
  EXPECT_THAT(parts(none, 2, {}, Moments({2}), true), ThrowsMessage<Invalid>(HasSubstr("rank and axes")));
  EXPECT_THAT(parts(learning, 2, {1}, {}, false),
              ThrowsMessage<Invalid>(HasSubstr("either learned Moments or a given mean")));
  EXPECT_THAT(parts(given, 2, {1}, Moments({2}), false),
              ThrowsMessage<Invalid>(HasSubstr("either learned Moments or a given mean")));
  EXPECT_THAT(parts(given, 2, {1}, {}, true),
              ThrowsMessage<Invalid>(HasSubstr("either learned Moments or a given mean")));
  EXPECT_THAT(parts(learning, 2, {1}, Moments({3}), false),
              ThrowsMessage<Invalid>(HasSubstr("the Moments have shape (3,), the readings (2,)")));
}

// ---- the caller's control word

TEST(ControlWord, DoesNotMatterAndStays) {
  const Floats x{0.1F, 1e-40F, 3, 7e-41F, 0.7F, 5e-39F};
  Normalization expected;
  expected.adapt(table(x, 2));
  const Floats forward = call(expected, x, {3, 2});
  const Floats back = call(expected, x, {3, 2}, true);
  for (const control::Word word : control::all()) {
    Normalization layer;
    Floats out(6);
    Floats inverted(6);
    EXPECT_EQ(control::under(word,
                             [&] {
                               layer.adapt(table(x, 2));
                               layer(table(x, 2), rows(out.data(), 3, 2));
                               layer.inverse(table(x, 2), rows(inverted.data(), 3, 2));
                             }),
              word);
    EXPECT_EQ(Look(layer), Look(expected)) << word;
    EXPECT_EQ(out, forward) << word;
    EXPECT_EQ(inverted, back) << word;
  }
}

}  // namespace
}  // namespace exactnorm
