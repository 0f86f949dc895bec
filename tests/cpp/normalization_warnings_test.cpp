// What a layer tells its user.

#include <exactnorm/normalization.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "layers.hpp"

namespace exactnorm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

}  // namespace
}  // namespace exactnorm
