// Keras's semantics: adapt, update_state, finalize_state, reset_state, and what Keras lacks, merge_state and
// forget.

#include <exactnorm/normalization.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <string>

#include "layers.hpp"

namespace exactnorm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

  Normalization omitting({.nan_policy = Policy::omit});
  omitting.adapt(table({1, 2, 3, 5}, 2));
  omitting.reset_state();
  omitting.update_state(table({nan_float, 1}, 2));
  expect_refused<Invalid>(
      omitting, [&] { omitting.finalize_state(); }, "there is no value to learn from for feature 0");
  EXPECT_EQ(omitting.normalizer().scale<float>().mean, (Floats{2, 3.5F}));
}

TEST(Count, IsOfAllKindsAndIgnoresBatches) {
  Normalization layer;
  const Floats x{1, nan_float, 2, inf_float, 3, 4};
  layer.build({-1, 2});
  layer.update_state(table(x, 2));
  layer.update_state(array(Floats{1, 2}, {1, 2}));
  EXPECT_EQ(layer.count(), 4);
  const std::vector<std::uint8_t> valid{1, 1, 1, 1, 0};
  Normalization kinds({.axis = {}});
  kinds.build({-1});
  kinds.update_state(array(Floats{1, nan_float, inf_float, -inf_float, 5}, {5}),
                     {.valid = TensorView{valid.data(), DType::boolean, {5}, {1}}});
  EXPECT_EQ(kinds.count(), 5);
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

}  // namespace
}  // namespace exactnorm
