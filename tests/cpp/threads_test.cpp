// Any number of threads gives one state; interruption and failure give back the old one.

#include <exactnorm/moments.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "parallel.hpp"
#include "support/families.hpp"
#include "support/forced_target.hpp"
#include "support/oracle.hpp"

namespace exactnorm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Moments learned(const TensorView& x, const Axes& kept, UpdateOptions options, int threads) {
  options.threads = threads;
  Moments moments(feature_shape(x.shape, kept));
  moments.update(x, kept, options);
  return moments;
}

void expect_same_for_all(const TensorView& x, const Axes& kept, const UpdateOptions& options = {}) {
  const Moments one = learned(x, kept, options, 1);
  for (const int threads : {2, 3, 4, 16}) {
    ASSERT_TRUE(oracle::same(learned(x, kept, options, threads), one))
        << threads << " threads, shape " << to_string(x.shape);
  }
}

// Several blocks of a few megabytes each, so that threads do share the work.
TEST(Threads, ShareRowsOfFewFeatures) {
  families::Generator<float> make(1);
  for (const std::string family : {"kinds sprinkled", "wandering scale"}) {
    const auto data = make.make(family, 150000, 17);
    const TensorView table = rows(data.data(), 150000, 17);
    for (const std::string& target : supported_targets()) {
      const ForcedTarget forced(target);
      expect_same_for_all(table, {1});
      expect_same_for_all(table, {});
    }
  }
}

TEST(Threads, ShareManyFeatures) {
  families::Generator<double> make(2);
  const auto data = make.make("wandering scale", 40, 50000);
  expect_same_for_all(rows(data.data(), 40, 50000), {1});
  expect_same_for_all(contiguous(data.data(), {500, 4000}), {0});
  expect_same_for_all(contiguous(data.data(), {20, 100, 1000}), {0, 1});
  expect_same_for_all(contiguous(data.data(), {20, 100, 1000}), {0, 2});
}

TEST(Threads, ShareMasksAndWeights) {
  families::Generator<float> make(3);
  constexpr std::size_t n = 600000;
  const auto data = make.make("kinds sprinkled", n, 2);
  const std::vector<std::uint8_t> mask = [] {
    std::vector<std::uint8_t> bytes(2 * n);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = i % 7 != 0 ? 1 : 0;
    }
    return bytes;
  }();
  const TensorView x = rows(data.data(), n, 2);
  UpdateOptions options;
  options.where = TensorView{mask.data(), DType::boolean, {static_cast<std::int64_t>(n)}, {1}};
  options.valid = TensorView{mask.data(), DType::boolean, x.shape, {2, 1}};
  expect_same_for_all(x, {1}, options);
  options.weights = TensorView{mask.data(), DType::uint8, {static_cast<std::int64_t>(n)}, {1}};
  expect_same_for_all(x, {1}, options);
}

TEST(Threads, MustNotBeNegative) {
  const float x[1] = {};
  Moments moments({1});
  UpdateOptions options;
  options.threads = -1;
  EXPECT_THAT(
      [&] {
        moments.update(contiguous(x, {1, 1}), {}, options);
      },
      ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("threads"), HasSubstr("-1"))));
}

// setenv and unsetenv: no other thread runs here.
class NumThreads {
 public:
  explicit NumThreads(const char* text) { setenv("EXACTNORM_NUM_THREADS", text, 1); }
  ~NumThreads() { unsetenv("EXACTNORM_NUM_THREADS"); }
};

TEST(Threads, DefaultComesFromTheEnvironment) {
  {
    const NumThreads set("3");
    EXPECT_EQ(resolve_threads(0), 3);
    EXPECT_EQ(resolve_threads(2), 2);
  }
  {
    const NumThreads empty("");
    const int as_empty = resolve_threads(0);
    unsetenv("EXACTNORM_NUM_THREADS");
    EXPECT_EQ(resolve_threads(0), as_empty);
  }
  EXPECT_GE(resolve_threads(0), 1);
  for (const char* text : {"0", "-1", "x", "2x", " 2", "2.0", "1e1", "99999999999"}) {
    const NumThreads set(text);
    EXPECT_THAT([] { (void)resolve_threads(0); }, ThrowsMessage<std::invalid_argument>(AllOf(
                                                      HasSubstr("EXACTNORM_NUM_THREADS"), HasSubstr(text))));
    EXPECT_EQ(resolve_threads(1), 1);
    const std::vector<float> large(1 << 22);
    Moments moments({1});
    EXPECT_THROW(moments.update(rows(large, 1)), std::invalid_argument);
    EXPECT_TRUE(moments.empty());
    const std::vector<float> small(200);  // too small for threads: never asks
    Moments({200}).update(rows(small, 200));
  }
}

TEST(Threads, AreNoMoreThanHaveSomethingToDo) {
  EXPECT_EQ(resolve_threads(5, 3), 3);
  EXPECT_EQ(resolve_threads(2, 3), 2);
  EXPECT_EQ(resolve_threads(2, std::int64_t{1} << 40), 2);
  EXPECT_EQ(resolve_threads(0, 1), 1);
  EXPECT_EQ(resolve_threads(7, 0), 1);
  EXPECT_THROW((void)resolve_threads(-1, 1), std::invalid_argument);
  const NumThreads set("9");
  EXPECT_EQ(resolve_threads(0, 4), 4);
  EXPECT_EQ(resolve_threads(0, 40), 9);
}

TEST(Workers, EachRunsOnce) {
  for (const int threads : {1, 2, 7, 100}) {
    std::vector<std::atomic<int>> ran(static_cast<std::size_t>(threads));
    run_workers(threads, [&](int worker) { ++ran[static_cast<std::size_t>(worker)]; });
    for (const std::atomic<int>& times : ran) {
      EXPECT_EQ(times, 1);
    }
  }
}

TEST(Workers, ExceptionsComeBack) {
  for (const int threads : {1, 4}) {
    EXPECT_THROW(run_workers(threads,
                             [&](int worker) {
                               if (worker == threads - 1) {
                                 throw std::out_of_range("worker");
                               }
                             }),
                 std::out_of_range);
  }
}

TEST(Threads, ABadWeightInTheLastRowChangesNothing) {
  constexpr std::size_t n = 500000;
  const std::vector<double> data(n * 2, 1.5);
  std::vector<double> weights(n, 1);
  Moments moments({2});
  UpdateOptions options;
  options.weights = contiguous(weights.data(), {static_cast<std::int64_t>(n)});
  options.threads = 4;
  moments.update(rows(data.data(), n, 2), {}, options);
  const Moments before = moments;
  for (const double bad :
       {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    weights.back() = bad;
    EXPECT_THROW(moments.update(rows(data.data(), n, 2), {}, options), std::invalid_argument);
    EXPECT_EQ(moments, before);
  }
}

TEST(Interruption, BeforeTheStartChangesNothing) {
  const std::vector<float> data(1000000, 0.25F);
  std::stop_source source;
  source.request_stop();
  for (const int threads : {1, 4}) {
    Moments moments({10});
    moments.update(rows(data.data(), 10, 10));
    const Moments before = moments;
    UpdateOptions options;
    options.threads = threads;
    options.stop = source.get_token();
    EXPECT_THROW(moments.update(rows(data.data(), 100000, 10), {}, options), Interrupted);
    EXPECT_THROW(moments.update(contiguous(data.data(), {10, 100000}), Axes{0}, options), Interrupted);
    EXPECT_EQ(moments, before);
  }
}

// A stop from another thread comes at any moment: the update is then either whole or not at all.
TEST(Interruption, InTheMiddleIsAllOrNothing) {
  const std::vector<double> data(16'000'000, 0.25);
  const TensorView x = rows(data.data(), 1'000'000, 16);
  Moments whole({16});
  whole.update(x);
  int interrupted = 0;
  for (const int threads : {1, 2, 4}) {
    for (int microseconds = 1; microseconds < 20000; microseconds *= 3) {
      std::stop_source source;
      std::atomic<bool> go{false};
      std::thread stopper([&] {
        while (!go) {
          std::this_thread::yield();
        }
        std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
        source.request_stop();
      });
      Moments moments({16});
      UpdateOptions options;
      options.threads = threads;
      options.stop = source.get_token();
      go = true;
      try {
        moments.update(x, {}, options);
        EXPECT_EQ(moments, whole);
      } catch (const Interrupted&) {
        EXPECT_TRUE(moments.empty());
        ++interrupted;
      }
      stopper.join();
    }
  }
  RecordProperty("interrupted", interrupted);
}

// Const methods at once on one object.
TEST(Threads, ReadersDoNotDisturbOneAnother) {
  families::Generator<double> make(4);
  const auto data = make.make("ordinary", 1000, 20);
  Moments moments({20});
  moments.update(rows(data.data(), 1000, 20));
  const std::vector<double> expected = moments.std<double>();
  std::vector<std::thread> readers;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      for (int again = 0; again < 20; ++again) {
        Moments copy = moments;
        copy += moments;
        copy -= moments;
        wrong += copy == moments && moments.std<double>() == expected ? 0 : 1;
      }
    });
  }
  for (std::thread& reader : readers) {
    reader.join();
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace exactnorm
