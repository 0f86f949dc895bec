// Whatever rounding mode, flushing and traps the caller has set: the same bits, and the caller's settings
// stay.

#include <exactnorm/moments.hpp>

#include <gtest/gtest.h>

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <exactnorm/state.hpp>

#include "control_word.hpp"
#include "support/families.hpp"
#include "support/forced_target.hpp"
#include "support/oracle.hpp"

namespace exactnorm {
namespace {

// Every word of control::all(), also with all exceptions trapped, and with all flags up.
std::vector<control::Word> all_words() {
  std::vector<control::Word> words = control::all();
#if defined(__x86_64__)
  for (const control::Word word : control::all()) {
    words.push_back(word & ~control::Word{0x1f80});
    words.push_back(word | 0x3f);
  }
#endif
  return words;
}

// All that the control word could change: sums, text of the sums, and every reading.
struct Results {
  Moments moments;
  std::vector<float> floats;
  std::vector<double> doubles;

  friend bool same(const Results& a, const Results& b) {
    return a.moments == b.moments &&
           std::memcmp(a.floats.data(), b.floats.data(), a.floats.size() * sizeof(float)) == 0 &&
           std::memcmp(a.doubles.data(), b.doubles.data(), a.doubles.size() * sizeof(double)) == 0;
  }
};

template <class T>
void append(std::vector<T>& all, const std::vector<T>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

Results results(const TensorView& x, const UpdateOptions& options) {
  Results all{Moments({x.shape[1]}), {}, {}};
  all.moments.update(x, {}, options);
  for (const Reading& how : {Reading{}, Reading{Policy::omit, Policy::omit}}) {
    append(all.floats, all.moments.mean<float>(how));
    append(all.floats, all.moments.variance<float>(how));
    append(all.floats, all.moments.std<float>(how));
    append(all.doubles, all.moments.mean<double>(how));
    append(all.doubles, all.moments.variance<double>(how));
    append(all.doubles, all.moments.std<double>(how));
  }
  Moments twice = all.moments;
  twice.merge(all.moments);
  twice.subtract(all.moments);
  all.moments = std::move(twice);
  return all;
}

void expect_independence(const TensorView& x, const UpdateOptions& options, const std::string& what) {
  for (const std::string& target : supported_targets()) {
    const ForcedTarget forced(target);
    const Results expected = results(x, options);
    for (const control::Word word : all_words()) {
      Results actual{Moments(), {}, {}};
      const control::Word after = control::under(word, [&] { actual = results(x, options); });
      ASSERT_EQ(after, word) << what << " on " << target;
      ASSERT_TRUE(same(actual, expected)) << what << " on " << target << " under " << std::hex << word;
    }
  }
}

template <class T>
struct Environment : ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Environment, Types);

TYPED_TEST(Environment, ChangesNoBit) {
  families::Generator<TypeParam> make(1);
  for (const std::string& family : families::Generator<TypeParam>::names()) {
    for (const auto& [rows, columns] : {std::pair<std::size_t, std::size_t>{300, 19}, {1100, 1}}) {
      const auto data = make.make(family, rows, columns);
      expect_independence(exactnorm::rows(data.data(), rows, columns), {}, family);
      if (this->HasFatalFailure()) {
        return;
      }
    }
  }
}

TYPED_TEST(Environment, ChangesNoBitOfMaskedAndWeightedSums) {
  families::Generator<TypeParam> make(2);
  const auto data = make.make("subnormal", 64, 5);
  const auto signed_weights = make.make("subnormal", 64, 1);
  std::vector<TypeParam> weights;
  bool where[64];
  for (std::size_t i = 0; i < 64; ++i) {
    weights.push_back(std::fabs(signed_weights[i]));
    where[i] = i % 3 != 0;
  }
  const TensorView x = rows(data.data(), 64, 5);
  UpdateOptions options;
  options.where = contiguous(where, {64});
  expect_independence(x, options, "where");
  options.weights = contiguous(weights.data(), {64});
  expect_independence(x, options, "weights");
}

TEST(EnvironmentOfThreads, ChangesNoBit) {
  families::Generator<float> make(3);
  const std::size_t n = 300000;
  const auto data = make.make("smallest allowed", n, 4);
  UpdateOptions options;
  options.threads = 3;
  expect_independence(rows(data.data(), n, 4), options, "threads");
}

TEST(Environment, StaysWhenAnUpdateThrows) {
  const float x[] = {1, 2};
  const float weights[] = {1, -1};
  UpdateOptions options;
  options.weights = contiguous(weights, {2});
  for (const control::Word word : all_words()) {
    bool thrown = false;
    const control::Word after = control::under(word, [&] {
      try {
        Moments moments;
        moments.update(contiguous(x, {2}), {}, options);
      } catch (const std::invalid_argument&) {
        thrown = true;
      }
    });
    ASSERT_TRUE(thrown);
    ASSERT_EQ(after, word);
  }
}

#if defined(__x86_64__)
// The other unit with a rounding mode and flags.
TEST(Environment, X87IsLeftAlone) {
  const auto control_word = [] {
    std::uint16_t word = 0;
    asm volatile("fnstcw %0" : "=m"(word));
    return word;
  };
  const auto status_word = [] {
    std::uint16_t word = 0;
    asm volatile("fnstsw %0" : "=m"(word));
    return word;
  };
  families::Generator<double> make(4);
  const auto data = make.make("any bits", 2000, 16);
  const std::uint16_t before = control_word();
  const std::uint16_t status = status_word();
  const std::uint16_t odd = 0x0c7f;  // towards zero, 24 bits
  asm volatile("fldcw %0" : : "m"(odd));
  const Results low = results(rows(data.data(), 2000, 16), {});
  const std::uint16_t after = control_word();
  asm volatile("fldcw %0" : : "m"(before));
  EXPECT_EQ(after, odd);
  EXPECT_EQ(status_word(), status);
  EXPECT_TRUE(same(low, results(rows(data.data(), 2000, 16), {})));
}
#endif

TEST(Environment, RaisesNoFlag) {
  families::Generator<double> make(5);
  const auto data = make.make("any bits", 2000, 16);
  std::feclearexcept(FE_ALL_EXCEPT);
  const Results all = results(rows(data.data(), 2000, 16), {});
  EXPECT_EQ(std::fetestexcept(FE_ALL_EXCEPT), 0);
  EXPECT_FALSE(all.moments.empty());
}

}  // namespace
}  // namespace exactnorm
