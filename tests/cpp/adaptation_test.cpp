// Learning from streams of batches and tables; layers made from their parts.

#include <exactnorm/normalization.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "layers.hpp"

namespace exactnorm {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

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

// ---- parts of documents

TEST(FromParts, GivesTheSameLayer) {
  Normalization layer({.axis = Axes{0, -1}, .name = "x"});
  layer.adapt(array(Floats{1, 2, 3, 4, 5, 6, 7, 9}, {2, 2, 2}));
  layer.update_state(array(Floats{1, 2, 3, 4, 5, 6, 7, 9}, {2, 2, 2}));
  const Normalizer& readings = layer.normalizer();
  Normalization copy = Normalization::from_parts(
      layer.options(), 3, {0, 2},
      Normalizer::from_parts({2, 2}, readings.scale<float>(), readings.scale<double>(), Axes{0, 2}),
      layer.moments(), true);
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
  const auto readings = [](const Axes& axes) {
    return Normalizer::from({2}, std::vector{0.0, 0.0}, std::vector{1.0, 1.0}, {.axis = axes});
  };
  const auto parts = [&](const NormalizationOptions& options, std::size_t rank, const Axes& axes,
                         const std::optional<Moments>& moments, bool adapted) {
    return [=] { Normalization::from_parts(options, rank, axes, readings(axes), moments, adapted); };
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
  EXPECT_THAT([&] { Normalization::from_parts(learning, 2, {1}, readings({0}), Moments({2}), true); },
              ThrowsMessage<Invalid>(HasSubstr("rank and axes")));
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

}  // namespace
}  // namespace exactnorm
