// GroupedMoments: every group is what Moments of its rows alone are, and groups add up, go, and are saved.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <cmath>
#include <cstdint>
#include <exactnorm/exactnorm.hpp>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <stop_token>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "strided_array.hpp"
#include "support/message_of.hpp"

namespace {

using exactnorm::Axes;
using exactnorm::contiguous;
using exactnorm::DictionaryKeys;
using exactnorm::DType;
using exactnorm::GroupedMoments;
using exactnorm::Moments;
using exactnorm::rows;
using exactnorm::Shape;
using exactnorm::TensorView;
using exactnorm::UpdateOptions;
using ::testing::HasSubstr;
using Integers = std::vector<std::int64_t>;
using Strings = std::vector<std::string_view>;

// Rows i of a view, of rank 1 or more.
TensorView row(TensorView view, std::int64_t i) {
  view.data = static_cast<const std::byte*>(view.data) + i * view.strides[0];
  view.shape[0] = 1;
  return view;
}

// One row at a time, by the code that has no groups.
std::map<std::int64_t, Moments> one_by_one(const GroupedMoments& like, const TensorView& x,
                                           const Integers& keys, const std::optional<Axes>& axis,
                                           const UpdateOptions& options) {
  std::map<std::int64_t, Moments> result;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    UpdateOptions of_row = options;
    for (const auto member : {&UpdateOptions::where, &UpdateOptions::weights, &UpdateOptions::valid}) {
      if (options.*member && !(options.*member)->shape.empty()) {
        of_row.*member = row(*(options.*member), static_cast<std::int64_t>(i));
      }
    }
    Moments& group = result.try_emplace(keys[i], Moments(like.shape(), like.names())).first->second;
    group.update(row(x, static_cast<std::int64_t>(i)), axis, of_row);
  }
  std::erase_if(result, [](const auto& entry) { return entry.second.empty(); });
  return result;
}

void expect_same(const GroupedMoments& actual, const std::map<std::int64_t, Moments>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  std::size_t i = 0;
  for (const auto& [key, moments] : expected) {
    EXPECT_EQ(std::get<Integers>(actual.keys())[i], key);
    EXPECT_EQ(actual.group(i), moments) << "key " << key;
    EXPECT_EQ(actual.at(key), moments);
    EXPECT_TRUE(actual.contains(key));
    ++i;
  }
}

// ---- updates

struct Data {
  std::vector<double> values;
  Integers keys;
  std::vector<float> weights;
  std::vector<std::uint8_t> where;
  std::vector<std::uint8_t> valid;
};

// Values of all kinds, and of all sizes if they are wild.
Data data_of(std::size_t n_rows, std::size_t per_row, std::int64_t groups, bool wild) {
  std::uint64_t state = 88172645463325252ULL + n_rows * 31 + per_row;
  const auto next = [&] {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  };
  Data data;
  for (std::size_t i = 0; i < n_rows; ++i) {
    const auto key = static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(groups));
    data.keys.push_back((key % 2 == 0 ? key : -key) * 1000003);
    data.weights.push_back(static_cast<float>(next() % 5) * 0.3F);
    data.where.push_back(next() % 4 != 0);
    for (std::size_t j = 0; j < per_row; ++j) {
      const std::uint64_t what = next() % 50;
      const double small = static_cast<double>(static_cast<std::int64_t>(next() % 20001) - 10000) / 64;
      data.values.push_back(!wild       ? small
                            : what == 0 ? NAN
                            : what == 1 ? INFINITY
                            : what == 2 ? -INFINITY
                            : what == 3 ? 1e300
                            : what == 4 ? 5e-324
                                        : small * 0.1);
      data.valid.push_back(next() % 7 != 0);
    }
  }
  return data;
}

TensorView mask(const std::vector<std::uint8_t>& flags, const Shape& shape) {
  TensorView view = contiguous(flags.data(), shape);
  view.dtype = DType::boolean;
  return view;
}

struct Case {
  std::size_t rows;
  std::int64_t groups;
  bool wild;
};

class Partition : public ::testing::TestWithParam<Case> {};

TEST_P(Partition, IsThatOfRowsAlone) {
  const auto [n, groups, wild] = GetParam();
  const auto n_rows = static_cast<std::int64_t>(n);
  const Data data = data_of(n, 6, groups, wild);
  const auto check = [&](const TensorView& x, const Shape& features, const std::optional<Axes>& axis,
                         UpdateOptions options) {
    for (const int threads : {1, 3}) {
      options.threads = threads;
      GroupedMoments grouped(features);
      grouped.update(x, data.keys, axis, options);
      expect_same(grouped, one_by_one(grouped, x, data.keys, axis, options));
    }
  };
  const TensorView table = contiguous(data.values.data(), Shape{n_rows, 6});
  check(table, {6}, {}, {});
  check(contiguous(data.values.data(), Shape{n_rows}), {}, {}, {});
  check(contiguous(data.values.data(), Shape{n_rows, 2, 3}), {3}, Axes{-1}, {});
  check(contiguous(data.values.data(), Shape{n_rows, 2, 3}), {2}, Axes{1}, {});
  check(contiguous(data.values.data(), Shape{n_rows, 2, 3}), {}, Axes{}, {});
  const TensorView weights = contiguous(data.weights.data(), Shape{n_rows});
  const TensorView where = mask(data.where, Shape{n_rows});
  const TensorView valid = mask(data.valid, Shape{n_rows, 6});
  check(table, {6}, {}, {.where = where});
  check(table, {6}, {}, {.where = valid});
  check(table, {6}, {}, {.valid = valid});
  check(table, {6}, {}, {.weights = weights});
  check(table, {6}, {}, {.where = where, .weights = weights, .valid = valid});
  const std::uint8_t no = 0;
  TensorView nothing = contiguous(&no, Shape{});
  nothing.dtype = DType::boolean;
  check(table, {6}, {}, {.where = nothing});
}

INSTANTIATE_TEST_SUITE_P(GroupedMoments, Partition,
                         ::testing::Values(Case{1, 1, false}, Case{50, 1, true}, Case{300, 7, false},
                                           Case{300, 7, true}, Case{500, 400, true}, Case{1500, 3, false},
                                           Case{1500, 3, true}));

TEST(GroupedMoments, AnyDtypeAndAnyLayout) {
  const Integers keys = {2, 1, 2, 1, 2, 2, 1, 9};
  for (const DType dtype : arrays::all_dtypes) {
    for (const arrays::Layout& layout :
         {arrays::Layout{}, arrays::Layout{.order = {1, 0}, .steps = {}, .offset = 0},
          arrays::Layout{.order = {}, .steps = {-1, 2}, .offset = 1}}) {
      arrays::StridedArray x(dtype, Shape{8, 3}, layout);
      std::vector<std::uint64_t> bits(24);
      for (std::size_t i = 0; i < bits.size(); ++i) {
        bits[i] = dtype == DType::boolean ? i % 2 : (i * 0x9e3779b97f4a7c15) >> 3;
      }
      x.set_bits(bits);
      GroupedMoments grouped({3});
      grouped.update(x.view(), keys);
      expect_same(grouped, one_by_one(grouped, x.view(), keys, {}, {}));
    }
  }
}

// More than a piece, groups over its border, and groups that are many threads' work.
TEST(GroupedMoments, ManyRows) {
  const std::size_t n = (1 << 20) + 12345;
  std::vector<float> x(n);
  Integers keys(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = static_cast<float>(i % 1013) * 0.1F - 17;
    keys[i] = i % 3 == 0 ? 5 : static_cast<std::int64_t>(i / 2048);
  }
  const TensorView view = contiguous(x.data(), Shape{static_cast<std::int64_t>(n)});
  GroupedMoments grouped;
  grouped.update(view, keys, {}, {.threads = 4});
  Moments all;
  all.update(view);
  EXPECT_EQ(grouped.total(), all);
  std::vector<float> fives;
  for (std::size_t i = 0; i < n; ++i) {
    if (keys[i] == 5) {
      fives.push_back(x[i]);
    }
  }
  Moments five;
  five.update(contiguous(fives.data(), Shape{static_cast<std::int64_t>(fives.size())}));
  EXPECT_EQ(grouped.at(5), five);
  EXPECT_EQ(grouped.size(), (n - 1) / 2048 + 1);
}

TEST(GroupedMoments, ColumnsAreTheTable) {
  const Data data = data_of(400, 3, 9, true);
  std::vector<double> first;
  std::vector<double> others;
  for (std::size_t i = 0; i < 400; ++i) {
    first.push_back(data.values[i * 3]);
    others.insert(others.end(), {data.values[i * 3 + 1], data.values[i * 3 + 2]});
  }
  const std::vector<exactnorm::Column> columns = {{contiguous(first.data(), Shape{400}), {}},
                                                  {contiguous(others.data(), Shape{400, 2}), {}}};
  GroupedMoments table({3}, {"a", "b", "c"});
  table.update(rows(data.values.data(), 400, 3), data.keys);
  GroupedMoments by_columns({3}, {"a", "b", "c"});
  by_columns.update_columns(columns, data.keys);
  EXPECT_EQ(by_columns, table);

  const TensorView weights = contiguous(data.weights.data(), Shape{400});
  GroupedMoments weighted({3});
  weighted.update(rows(data.values.data(), 400, 3), data.keys, {}, {.weights = weights});
  GroupedMoments weighted_columns({3});
  weighted_columns.update_columns(columns, data.keys, {.weights = weights});
  EXPECT_EQ(weighted_columns, weighted);
}

TEST(GroupedMoments, StringsAndDictionaries) {
  const std::vector<double> x = {1, 2, 3, 4, 5};
  const Strings keys = {"NL", "BE", "", "NL", "\xc3\xa9"};
  GroupedMoments by_string;
  by_string.update(contiguous(x.data(), Shape{5}), keys);
  EXPECT_EQ(std::get<std::vector<std::string>>(by_string.keys()),
            (std::vector<std::string>{"", "BE", "NL", "\xc3\xa9"}));
  EXPECT_EQ(by_string.at("NL").mean<double>(), std::vector<double>{2.5});
  EXPECT_FALSE(by_string.contains("nl"));
  EXPECT_FALSE(by_string.contains(0));

  const std::vector<std::int32_t> codes = {4, 1, 2, 0, 5};
  const Strings dictionary = {"NL", "BE", "", "unused", "NL", "\xc3\xa9"};  // one twice
  GroupedMoments by_code;
  by_code.update(contiguous(x.data(), Shape{5}), DictionaryKeys{codes, dictionary});
  EXPECT_EQ(by_code, by_string);
}

TEST(GroupedMoments, ContiguousUpdatesAreOne) {
  rc::check("any split of the rows gives the same state", [] {
    const auto n = *rc::gen::inRange<std::size_t>(0, 60);
    const Integers keys = *rc::gen::container<Integers>(n, rc::gen::inRange<std::int64_t>(-3, 4));
    const auto x = *rc::gen::container<std::vector<double>>(n, rc::gen::arbitrary<double>());
    const auto cut = *rc::gen::inRange<std::size_t>(0, n + 1);
    const auto update = [&](GroupedMoments& grouped, std::size_t first, std::size_t last) {
      const std::span<const std::int64_t> own(keys.data() + first, last - first);
      grouped.update(contiguous(x.data() + first, Shape{static_cast<std::int64_t>(last - first)}), own);
    };
    GroupedMoments whole;
    update(whole, 0, n);
    GroupedMoments a;
    update(a, 0, cut);
    const GroupedMoments before = a;
    GroupedMoments b;
    update(b, cut, n);
    const GroupedMoments sum = a + b;
    update(a, cut, n);
    RC_ASSERT(a == whole);
    RC_ASSERT(sum == whole);
    RC_ASSERT(b + before == whole);
    RC_ASSERT(digest(sum) == digest(whole));
    RC_ASSERT(whole - b == before);
    RC_ASSERT((whole - b - before) == GroupedMoments());
    RC_ASSERT(exactnorm::grouped_from_bytes(to_json(whole)) == whole);
    RC_ASSERT(exactnorm::grouped_from_bytes(to_cbor(whole)) == whole);
    RC_ASSERT(before.empty() || digest(before) != digest(whole) || before == whole);
  });
}

// ---- algebra

GroupedMoments of(const std::vector<double>& x, const exactnorm::RowKeys& keys, UpdateOptions options = {}) {
  GroupedMoments grouped;
  grouped.update(contiguous(x.data(), Shape{static_cast<std::int64_t>(x.size())}), keys, {}, options);
  return grouped;
}

TEST(GroupedMoments, MergesWithItself) {
  GroupedMoments grouped = of({1, 2, 3}, Integers{1, 2, 1});
  grouped += grouped;
  EXPECT_EQ(grouped, of({1, 2, 3, 1, 2, 3}, Integers{1, 2, 1, 1, 2, 1}));
  grouped -= GroupedMoments(grouped);
  EXPECT_EQ(grouped, GroupedMoments());
}

TEST(GroupedMoments, AfterTheLastKeyAnyKindMayCome) {
  GroupedMoments grouped = of({1}, Integers{1});
  grouped -= of({1}, Integers{1});
  grouped += of({1}, Strings{"a"});
  EXPECT_TRUE(grouped.contains("a"));
}

TEST(GroupedMoments, NamesComeFromEitherSide) {
  GroupedMoments named({}, {"x"});
  const std::vector<double> x = {1};
  GroupedMoments plain = of({1}, Integers{1});
  plain += named;
  EXPECT_EQ(plain.names(), std::vector<std::string>{"x"});
  named += of({1}, Integers{1});
  EXPECT_EQ(named, plain);
  EXPECT_EQ(named.at(1).names(), std::vector<std::string>{"x"});
  EXPECT_EQ(named.total().names(), std::vector<std::string>{"x"});
}

TEST(GroupedMoments, RowsThatDoNotCountBringNoKey) {
  const std::vector<float> weights = {1, 0, 2};
  const GroupedMoments weighted =
      of({1, 2, 3}, Integers{1, 2, 3}, {.weights = contiguous(weights.data(), Shape{3})});
  EXPECT_EQ(std::get<Integers>(weighted.keys()), (Integers{1, 3}));
  EXPECT_TRUE(weighted.weighted());
  EXPECT_EQ(weighted.at(3).weights().size(), 1);
  const std::vector<float> zeros = {0, 0, 0};
  EXPECT_EQ(of({1, 2, 3}, Integers{1, 2, 3}, {.weights = contiguous(zeros.data(), Shape{3})}),
            GroupedMoments());
}

TEST(GroupedMoments, NoRowsAndNoFeatures) {
  GroupedMoments none({0});
  none.update(rows(static_cast<const double*>(nullptr), 3, 0), Integers{1, 2, 3});
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none, exactnorm::grouped_from_bytes(to_cbor(none)));
  GroupedMoments grouped({2});
  grouped.update(rows(static_cast<const double*>(nullptr), 0, 2), Integers{});
  EXPECT_EQ(grouped, GroupedMoments({2}));
  grouped.update(rows(static_cast<const double*>(nullptr), 0, 2), DictionaryKeys{{}, Strings{"a", "b"}});
  EXPECT_EQ(grouped, GroupedMoments({2}));
  EXPECT_EQ(grouped.total(), Moments({2}));
}

// ---- errors

TEST(GroupedMoments, RefusesAndStaysAsItWas) {
  const std::vector<double> x = {1, 2, 3, 4};
  const std::vector<float> weights = {1, 1, -1, 1};
  const TensorView table = rows(x.data(), 2, 2);
  GroupedMoments grouped({2}, {"a", "b"});
  grouped.update(table, Strings{"x", "y"});
  const GroupedMoments before = grouped;
  const auto refused = [&](const std::string& why, const std::function<void(GroupedMoments&)>& act) {
    EXPECT_THAT(message_of([&] { act(grouped); }), HasSubstr(why));
    EXPECT_EQ(grouped, before) << why;
  };
  refused("expected a key for each of 2 rows, got 1", [&](auto& g) { g.update(table, Strings{"x"}); });
  refused("the keys are strings, and integers do not mix with them", [&](auto& g) {
    g.update(table, Integers{1, 2});
  });
  refused("a key is not valid UTF-8", [&](auto& g) { g.update(table, Strings{"x", "\xff"}); });
  refused("row 1 has the key 2 of a dictionary of 2", [&](auto& g) {
    const std::vector<std::int32_t> codes = {0, 2};
    g.update(table, DictionaryKeys{codes, Strings{"x", "y"}});
  });
  refused("row 0 has the key -1 of a dictionary of 0", [&](auto& g) {
    const std::vector<std::int32_t> codes = {-1, 0};
    g.update(table, DictionaryKeys{codes, {}});
  });
  refused("it cannot be kept", [&](auto& g) { g.update(table, Strings{"x", "y"}, Axes{0}); });
  refused("expected data with an axis of rows",
          [&](auto& g) { g.update(contiguous(x.data(), Shape{}), Strings{"x"}, Axes{}); });
  refused("it cannot be kept", [&](auto& g) { g.update(contiguous(x.data(), Shape{2}), Strings{"x", "y"}); });
  refused("have fewer axes than the feature shape (2, 2)", [&](auto&) {
    GroupedMoments({2, 2}).update(contiguous(x.data(), Shape{2}), Strings{"x", "y"});
  });
  refused("cannot merge weighted and unweighted data", [&](auto& g) {
    g.update(table, Strings{"x", "y"}, {}, {.weights = contiguous(weights.data(), Shape{2})});
  });
  refused("where must be boolean", [&](auto& g) {
    g.update(table, Strings{"x", "y"}, {}, {.where = contiguous(weights.data(), Shape{2})});
  });
  refused("weights must be non-negative", [&](auto& g) {
    g.update(table, Strings{"x", "y"}, {}, {.weights = contiguous(weights.data() + 1, Shape{2})});
  });
  refused("interrupted", [&](auto& g) {
    std::stop_source stop;
    stop.request_stop();
    g.update(table, Strings{"x", "y"}, {}, {.stop = stop.get_token()});
  });
  refused("expected features of shape (2,), got columns with 1 feature", [&](auto& g) {
    const std::vector<exactnorm::Column> columns = {{contiguous(x.data(), Shape{2}), {}}};
    g.update_columns(columns, Strings{"x", "y"});
  });
  refused("features of different shapes", [&](auto& g) { g += GroupedMoments({3}); });
  refused("features of different names: 'a' and 'c'", [&](auto& g) { g += GroupedMoments({2}, {"c", "b"}); });
  refused("there is no key 'z'", [&](auto& g) {
    GroupedMoments other({2});
    other.update(table, Strings{"x", "z"});
    g -= other;
  });
  refused("in 'a' (feature 0) of key 'x' ", [&](auto& g) {
    const std::vector<double> others = {7, 2, 3, 4};
    GroupedMoments other({2});
    other.update(rows(others.data(), 2, 2), Strings{"x", "y"});
    g -= other;
  });
  refused("there is no key 'w'", [&](auto& g) { static_cast<void>(g.at("w")); });
  refused("there is no key 3", [&](auto& g) { static_cast<void>(g.at(3)); });
}

TEST(GroupedMoments, CountsThatOverflow) {
  exactnorm::Feature full;
  full.counts.null = std::numeric_limits<std::int64_t>::max();
  GroupedMoments grouped = GroupedMoments::from_parts({}, {}, Integers{3, 4}, {full, full});
  const GroupedMoments before = grouped;
  EXPECT_THAT(message_of([&] { grouped += grouped; }),
              HasSubstr("more than 2^63-1 values in feature 0 of key 3"));
  EXPECT_EQ(grouped, before);
  EXPECT_THAT(message_of([&] { static_cast<void>(grouped.total()); }),
              HasSubstr("more than 2^63-1 values in feature 0"));
}

}  // namespace
