// Keras's semantics: the documented examples, build, given statistics, calls.

#include <exactnorm/normalization.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "control_word.hpp"
#include "layers.hpp"

namespace exactnorm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

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
  expect_refused<Invalid>(
      layer,
      [&] {
        layer.build({-2, 3});
      },
      "extents must be -1 (unknown) or not negative, got shape (-2, 3)");
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
  EXPECT_THAT(make({.mean = GivenValues{{}, {}}}),
              ThrowsMessage<Invalid>("mean of shape () must have 1 values, got 0"));
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
                                     {Shape{1, 1, 4}, Shape{2, 3}},
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
  Normalization one_dimensional;
  one_dimensional.build({1});
  expect_refused<Invalid>(
      one_dimensional, [&] { one_dimensional.prepare_call({}); }, "(1,), got shape ()");
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
