// Calls from inside the user's OpenMP regions.

#include <gtest/gtest.h>

#include <atomic>

#include "support/shared_work.hpp"

namespace exactnorm {
namespace {

TEST(OpenMp, RegionsMayCall) {
  const SharedWork work;
  std::atomic<int> same{0};
#pragma omp parallel for num_threads(4)
  for (int i = 0; i < 8; ++i) {
    same += work.comes_out_the_same(i % 4 + 1) ? 1 : 0;
  }
  EXPECT_EQ(same, 8);
}

}  // namespace
}  // namespace exactnorm
