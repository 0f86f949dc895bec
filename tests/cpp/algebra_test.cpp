// merge and subtract: the vectors, the laws, what is refused, and what a refusal leaves.

#include <exactnorm/moments.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <exactnorm/state.hpp>

#include "support/families.hpp"
#include "support/list.hpp"
#include "support/oracle.hpp"
#include "support/vectors.hpp"

namespace exactnorm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(AlgebraVectors, EveryCase) {
  const vectors::Json cases = vectors::load("algebra.json");
  ASSERT_GT(cases.size(), 50U);
  for (const vectors::Json& json : cases) {
    SCOPED_TRACE(json["name"].get<std::string>());
    const auto left = json["a"].get<std::string>();
    const auto right = json["b"].get<std::string>();
    Moments a = moments_from_bytes(left);
    const Moments b = moments_from_bytes(right);
    const auto operate = [&] { json["op"] == "merge" ? a.merge(b) : a.subtract(b); };
    if (json.contains("refused")) {
      EXPECT_THROW(operate(), std::invalid_argument);
      EXPECT_EQ(to_json(a), left);
    } else {
      operate();
      EXPECT_EQ(to_json(a), json["result"]);
    }
    EXPECT_EQ(to_json(b), right);
  }
}

// Batches of all families, one after another.
std::vector<Moments> batches(std::size_t count, bool weighted) {
  families::Generator<double> make(11);
  std::vector<Moments> all;
  const auto names = families::Generator<double>::names();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t rows = 1 + make.random()() % 40;
    const auto x = make.make(names[i % names.size()], rows, 3);
    std::vector<double> weights = make.make("far apart", rows, 1);
    UpdateOptions options;
    if (weighted) {
      options.weights = contiguous(weights.data(), {static_cast<std::int64_t>(rows)});
    }
    Moments moments({3});
    moments.update(exactnorm::rows(x.data(), rows, 3), {}, options);
    all.push_back(std::move(moments));
  }
  return all;
}

// Merges two random ones of the pile until one is left.
Moments random_tree(std::vector<Moments> pile, std::mt19937_64& random) {
  while (pile.size() > 1) {
    std::swap(pile[random() % pile.size()], pile.back());
    const Moments last = std::move(pile.back());
    pile.pop_back();
    Moments& into = pile[random() % pile.size()];
    if (random() % 2 == 0) {
      into.merge(last);
    } else {
      Moments other = last;
      other.merge(into);
      into = std::move(other);
    }
  }
  return pile.front();
}

TEST(Algebra, TenThousandMergeTreesGiveOneState) {
  std::mt19937_64 random(1);
  for (const bool weighted : {false, true}) {
    const std::vector<Moments> leaves = batches(12, weighted);
    const Moments expected = random_tree(leaves, random);
    const std::string expected_digest = digest(expected);
    const std::string expected_bytes = to_cbor(expected);
    for (int i = 0; i < 5000; ++i) {
      const Moments tree = random_tree(leaves, random);
      ASSERT_EQ(tree, expected);
      if (i % 50 == 0) {
        ASSERT_EQ(digest(tree), expected_digest);
        ASSERT_EQ(to_cbor(tree), expected_bytes);
      }
    }
  }
}

TEST(Algebra, TakingAwayWhatWasAddedGivesBackTheState) {
  for (const bool weighted : {false, true}) {
    const std::vector<Moments> parts = batches(36, weighted);
    for (const Moments& a : parts) {
      for (const Moments& b : parts) {
        const Moments sum = a + b;
        ASSERT_EQ(sum, b + a);
        ASSERT_EQ(sum - b, a);
        ASSERT_EQ(to_cbor(sum - b), to_cbor(a));
        ASSERT_EQ(sum - a, b);
        ASSERT_EQ(sum - a - b, Moments({3}));
      }
    }
  }
}

// Split a table anywhere, take the parts away in any order: nothing is left, and nothing can be taken from
// that.
TEST(Algebra, UpdatesAreMerges) {
  families::Generator<float> make(12);
  const auto x = make.make("any bits", 97, 4);
  Moments whole({4});
  whole.update(rows(x.data(), 97, 4));
  Moments rest = whole;
  Moments merged({4});
  for (std::size_t from = 0; from < 97;) {
    const std::size_t count = std::min<std::size_t>(1 + make.random()() % 20, 97 - from);
    Moments part({4});
    part.update(rows(x.data() + from * 4, count, 4));
    merged += part;
    rest -= part;
    from += count;
  }
  EXPECT_EQ(merged, whole);
  EXPECT_TRUE(rest.empty());
  EXPECT_EQ(rest, Moments({4}));
  EXPECT_THROW(rest -= whole, std::invalid_argument);
}

TEST(Algebra, WithItself) {
  const std::vector<Moments> parts = batches(18, true);
  for (const Moments& part : parts) {
    Moments twice = part;
    twice.merge(twice);
    const Moments copy = part;
    EXPECT_EQ(twice, part + copy);
    twice.subtract(twice);
    EXPECT_EQ(twice, Moments({3}));
  }
}

Moments of(std::vector<double> values, std::vector<std::string> names = {}) {
  Moments moments({1}, std::move(names));
  moments.update(contiguous(values.data(), {static_cast<std::int64_t>(values.size()), 1}));
  return moments;
}

Moments of_weighted(double value, double weight) {
  Moments moments({1});
  UpdateOptions options;
  options.weights = contiguous(&weight, {1});
  moments.update(contiguous(&value, {1, 1}), {}, options);
  return moments;
}

TEST(Algebra, RefusesWhatWasNeverAdded) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double inf = std::numeric_limits<double>::infinity();
  const struct {
    Moments from;
    Moments other;
    const char* why;
  } cases[] = {
      {of({1}), of({1, 2}), "count"},
      {of({1}), of({nan}), "count"},
      {of({1, nan}), of({1, nan, nan}), "count"},
      {of({1, inf}), of({-inf}), "count"},
      {of({1, -inf}), of({inf}), "count"},
      {of({1, 2}), of({3}), "squares"},
      {of({1}), of({2}), "squares"},
      {of({2}), of({1}), "no value"},
      {of({1, -1}), of({std::nextafter(1, 2)}), "variance"},
      {of({3, 0, 0}), of({-2}), "variance"},
      {Moments({1}), of({1}), "count"},
      {of_weighted(1, 1), of_weighted(1, 2), "weights"},
      {of_weighted(1, 2), of_weighted(1, 1), "weights"},
      {of_weighted(1, 1) + of_weighted(2, 1), of_weighted(1, 2), "weights"},
      {Moments({1}), of_weighted(1, 1), "count"},
  };
  for (const auto& each : cases) {
    SCOPED_TRACE(oracle::text(each.from.features()[0]) + " minus " + oracle::text(each.other.features()[0]));
    Moments a = each.from;
    const Moments b = each.other;
    EXPECT_THAT([&] { a.subtract(b); },
                ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("feature 0"), HasSubstr(each.why))));
    EXPECT_EQ(to_cbor(a), to_cbor(each.from));
    EXPECT_EQ(to_cbor(b), to_cbor(each.other));
  }
}

// The refusal is for the last feature: those before it must not have changed.
TEST(Algebra, ARefusalLeavesAllFeatures) {
  const double x[][3] = {{1, 2, 3}, {4, 5, 6}};
  const double y[][3] = {{1, 2, 7}};
  Moments a({3}, {"a", "b", "c"});
  a.update(rows(&x[0][0], 2, 3));
  Moments b({3});
  b.update(rows(&y[0][0], 1, 3));
  const std::string before = to_json(a);
  EXPECT_THAT([&] { a.subtract(b); }, ThrowsMessage<std::invalid_argument>(HasSubstr("'c' (feature 2)")));
  EXPECT_EQ(to_json(a), before);
  Feature full;
  full.counts.null = std::numeric_limits<std::int64_t>::max();
  const Moments nulls = Moments::from_parts({3}, {}, {{}, {}, full});
  a.merge(nulls);
  const std::string most = to_json(a);
  EXPECT_THAT([&] { a.merge(nulls); },
              ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("2^63-1"), HasSubstr("'c' (feature 2)"))));
  EXPECT_EQ(to_json(a), most);
}

TEST(Algebra, WeightedAndUnweightedDoNotMix) {
  Moments weighted = of_weighted(1, 2);
  Moments unweighted = of({1});
  EXPECT_THAT([&] { weighted.merge(unweighted); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("weighted")));
  EXPECT_THAT([&] { unweighted.merge(weighted); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("weighted")));
  EXPECT_THAT([&] { weighted.subtract(unweighted); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("weighted")));
  EXPECT_THAT([&] { unweighted.subtract(weighted); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("weighted")));
  EXPECT_EQ(weighted, of_weighted(1, 2));
  EXPECT_EQ(unweighted, of({1}));
}

TEST(Algebra, TheEmptyStateIsNeither) {
  const Moments empty({1});
  const Moments emptied = of_weighted(1, 2) - of_weighted(1, 2);
  EXPECT_EQ(emptied, empty);
  EXPECT_FALSE(emptied.weighted());
  EXPECT_EQ(to_cbor(emptied), to_cbor(empty));
  for (const Moments& data : {of({1, 2}), of_weighted(3, 0.5)}) {
    for (const Moments& nothing : {empty, emptied}) {
      EXPECT_EQ(nothing + data, data);
      EXPECT_EQ(data + nothing, data);
      EXPECT_EQ(data - nothing, data);
      EXPECT_EQ((nothing + data).weighted(), data.weighted());
    }
  }
}

TEST(Algebra, KindsAloneMakeAStateOfTheirWeighting) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  Moments weighted = of_weighted(nan, 2);
  EXPECT_TRUE(weighted.weighted());
  EXPECT_THROW(weighted.merge(of({1})), std::invalid_argument);
  weighted.merge(of_weighted(1, 3));
  EXPECT_EQ(weighted.weights()[0], ExactSum::from_integer(3));
}

TEST(Algebra, Names) {
  const Moments none = of({1});
  const Moments a = of({2}, {"a"});
  const Moments b = of({3}, {"b"});
  EXPECT_THAT((none + a).names(), ElementsAre("a"));
  EXPECT_THAT((a + none).names(), ElementsAre("a"));
  EXPECT_THAT((a + none - none).names(), ElementsAre("a"));
  EXPECT_THAT((Moments({1}, {"a"}) + none).names(), ElementsAre("a"));
  EXPECT_THAT((none + Moments({1}, {"a"})).names(), ElementsAre("a"));
  EXPECT_NE(none, of({1}, {"a"}));
  EXPECT_NE(of({1}, {"b"}), of({1}, {"a"}));
  EXPECT_EQ(digest(of({1}, {"b"})), digest(none));
  Moments into = a;
  EXPECT_THAT([&] { into.merge(b); },
              ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("'a'"), HasSubstr("'b'"))));
  EXPECT_THAT([&] { into.subtract(b); },
              ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("'a'"), HasSubstr("'b'"))));
  EXPECT_THROW(into.merge(Moments({1}, {"b"})), std::invalid_argument);
  EXPECT_EQ(into, a);
}

TEST(Algebra, Shapes) {
  Moments a({2, 3});
  for (const Shape& shape : {Shape{6}, Shape{3, 2}, Shape{}, Shape{2, 3, 1}}) {
    EXPECT_THAT([&] { a.merge(Moments(shape)); }, ThrowsMessage<std::invalid_argument>(AllOf(
                                                      HasSubstr("(2, 3)"), HasSubstr(to_string(shape)))));
    EXPECT_THAT([&] { a.subtract(Moments(shape)); },
                ThrowsMessage<std::invalid_argument>(HasSubstr(to_string(shape))));
  }
}

// Batch k of a stream fails: digest and counts are those of before.
TEST(Algebra, AStreamThatFailsLeavesTheStateOfBefore) {
  families::Generator<float> make(13);
  const auto x = make.make("ordinary", 1000, 2);
  Moments moments({2});
  for (std::size_t row = 0; row < 1000; ++row) {
    moments.update(rows(x.data() + 2 * row, 1, 2));
  }
  const std::string before = digest(moments);
  EXPECT_THROW(moments.update(rows(x.data(), 500, 3)), std::invalid_argument);
  EXPECT_EQ(digest(moments), before);
  EXPECT_EQ(moments.features()[1].counts.finite, 1000);
}

RC_GTEST_PROP(Algebra, MergeIsCommutativeAndAssociative,
              (std::vector<double> x, std::vector<double> y, std::vector<double> z)) {
  const Moments a = of(x);
  const Moments b = of(y);
  const Moments c = of(z);
  RC_ASSERT(a + b == b + a);
  RC_ASSERT((a + b) + c == a + (b + c));
  RC_ASSERT((a + b) - b == a);
  std::vector<double> all = x;
  all.insert(all.end(), y.begin(), y.end());
  RC_ASSERT(a + b == of(all));
  std::reverse(all.begin(), all.end());
  RC_ASSERT(a + b == of(all));
}

}  // namespace
}  // namespace exactnorm
