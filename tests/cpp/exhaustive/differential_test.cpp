// More than 10^8 elements of every family of hard data, in shapes of all kinds: every target gives what the
// portable path gives.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <exactnorm/moments.hpp>

#include "support/families.hpp"
#include "support/forced_target.hpp"
#include "support/oracle.hpp"

namespace exactnorm {
namespace {

Moments learned(const std::string& target, const TensorView& x, const Axes& kept, int threads) {
  const ForcedTarget forced(target);
  Moments moments(feature_shape(x.shape, kept));
  UpdateOptions options;
  options.threads = threads;
  moments.update(x, kept, options);
  return moments;
}

template <class T>
struct Differential : ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Differential, Types);

TYPED_TEST(Differential, FastAgainstPortable) {
  families::Generator<TypeParam> make(2026);
  std::size_t elements = 0;
  for (int round = 0; elements < 100'000'000; ++round) {
    for (const std::string& family : families::Generator<TypeParam>::names()) {
      const std::size_t columns = 1 + make.random()() % (round % 4 == 0 ? 300 : 40);
      const std::size_t rows =
          1 + make.random()() % (round % 8 == 0 ? 8'000'000 / columns : 200'000 / columns);
      const auto data = make.make(family, rows, columns);
      const TensorView x = exactnorm::rows(data.data(), rows, columns);
      for (const Axes& kept : {Axes{1}, Axes{0}, Axes{}}) {
        if (kept == Axes{0} && rows > 100'000) {
          continue;
        }
        const Moments portable = learned("portable", x, kept, 1);
        for (const std::string& target : supported_targets()) {
          for (const int threads : {1, 3}) {
            ASSERT_TRUE(oracle::same(learned(target, x, kept, threads), portable))
                << target << " " << family << " " << rows << " x " << columns << ", " << threads
                << " threads";
          }
        }
      }
      elements += data.size();
    }
  }
}

}  // namespace
}  // namespace exactnorm
