// A wrong EXACTNORM_TARGET from the start of the process: every use says so until it is right.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include <exactnorm/moments.hpp>
#include <exactnorm/targets.hpp>

namespace exactnorm {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(TargetsEnvironment, AWrongNameIsAnErrorOfEveryCallThatNeedsIt) {
  setenv("EXACTNORM_TARGET", "sse9", 1);
  const float x[] = {1, 2};
  Moments moments;
  for (int again = 0; again < 2; ++again) {
    EXPECT_THAT([] { (void)targets(); }, ThrowsMessage<std::invalid_argument>(HasSubstr("'sse9'")));
    EXPECT_THAT([&] { moments.update(contiguous(x, {2})); },
                ThrowsMessage<std::invalid_argument>(HasSubstr("EXACTNORM_TARGET")));
    EXPECT_TRUE(moments.empty());
  }
  setenv("EXACTNORM_TARGET", "portable", 1);
  moments.update(contiguous(x, {2}));
  EXPECT_TRUE(targets().back().chosen);
  EXPECT_EQ(moments.mean<float>().front(), 1.5F);
}

}  // namespace
}  // namespace exactnorm
