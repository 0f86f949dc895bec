// Weighted sums in integers at the most values that a slot takes between two spills, and beyond.

#include "product_buckets.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include <exactnorm/moments.hpp>

#include "support/forced_target.hpp"

namespace exactnorm {
namespace {

// The sums of n times the same value and weight are n times those of one, which cannot overflow.
template <class T>
void expect_n_times_one(T value, T weight) {
  const std::vector<T> x(4097, value);
  const std::vector<T> w(x.size(), weight);
  UpdateOptions options;
  options.weights = contiguous(w.data(), Shape{1});
  Moments one;
  one.update(contiguous(x.data(), Shape{1}), {}, options);
  for (const std::int64_t n : {1023, 1024, 1025, 2047, 2048, 2049, 4097}) {
    SCOPED_TRACE(n);
    options.weights = contiguous(w.data(), Shape{n});
    Moments many;
    many.update(contiguous(x.data(), Shape{n}), {}, options);
    const ExactSum times = ExactSum::from_integer(n);
    EXPECT_EQ(many.weights()[0], one.weights()[0] * times);
    EXPECT_EQ(many.features()[0].sum, one.features()[0].sum * times);
    EXPECT_EQ(many.features()[0].sumsq, one.features()[0].sumsq * times);
    EXPECT_EQ(many.variance<double>()[0], 0.0);
  }
}

TEST(ProductBuckets, HoldAsManyOfTheLargestAsTheySay) {
  for (const std::string& target : supported_targets()) {
    SCOPED_TRACE(target);
    const ForcedTarget forced(target);
    expect_n_times_one(0.9, 1.0);
    expect_n_times_one(99.95, 1.0);
    expect_n_times_one(1 - 0x1p-53, 1 - 0x1p-53);
    expect_n_times_one(-(1 - 0x1p-53), 1 - 0x1p-53);
    expect_n_times_one(0x1.fffffffffffffp-1, 1.0);
    constexpr std::int64_t largest = (std::int64_t{1} << 53) - 1;
    expect_n_times_one(largest, largest);
    expect_n_times_one(0x1.fffffep-1F, 0x1.fffffep-1F);
  }
}

}  // namespace
}  // namespace exactnorm
