#include <exactnorm/arrow.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "arrow_arrays.hpp"

namespace {

using namespace arrays;  // NOLINT(google-build-using-namespace)
using exactnorm::Column;
using exactnorm::Moments;
using exactnorm::Shape;
using exactnorm::UpdateOptions;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr auto null = std::nullopt;
using Cells = Values<double>;

/// Learns a list of values for each feature, by plain arrays.
Moments learned(const Shape& shape, std::vector<std::string> names, const std::vector<Cells>& features) {
  std::vector<std::vector<double>> values;
  std::vector<std::vector<std::uint8_t>> valid;
  std::vector<Column> columns;
  for (const Cells& cells : features) {
    values.emplace_back();
    valid.emplace_back();
    for (const auto& cell : cells) {
      values.back().push_back(cell.value_or(0));
      valid.back().push_back(cell ? 1 : 0);
    }
  }
  for (std::size_t i = 0; i < features.size(); ++i) {
    auto mask = exactnorm::column(std::span<const std::uint8_t>(valid[i]));
    mask.dtype = exactnorm::DType::boolean;
    columns.push_back({exactnorm::column(std::span<const double>(values[i])), mask});
  }
  Moments moments(shape, std::move(names));
  moments.update_columns(columns);
  return moments;
}

void update(Moments& moments, std::vector<Node> batches, const UpdateOptions& options = {}) {
  Stream stream(std::move(batches));
  const auto check = [&] { EXPECT_EQ(stream.ledger().made, stream.ledger().released); };
  try {
    exactnorm::update(moments, stream.get(), options);
  } catch (...) {
    check();
    throw;
  }
  check();
}

TEST(ArrowUpdate, LearnsAllBatches) {
  Moments moments({3});
  update(moments, {table({doubles("x", {1, null, 3}),
                          lists("emb", 2, doubles("", {1, 2, 3, 4, 5, 6}), {true, false, true})},
                         3),
                   table({doubles("x", {}), lists("emb", 2, doubles("", {}), {})}, 0),
                   table({doubles("x", {9}), lists("emb", 2, doubles("", {7, null}), {true})}, 1)});
  EXPECT_EQ(moments, learned({3}, {}, {{1, null, 3, 9}, {1, null, 5, 7}, {2, null, 6, null}}));
}

TEST(ArrowUpdate, AddsToWhatIsKnown) {
  Moments moments = learned({}, {}, {{1, 2}});
  update(moments, {doubles("", {3, null})});
  EXPECT_EQ(moments, learned({}, {}, {{1, 2, 3, null}}));
}

TEST(ArrowUpdate, ChoosesColumnsByName) {
  const Node batch = table({doubles("a", {1}),
                            {.format = "u", .name = "text", .length = 1},
                            lists("emb", 2, doubles("", {5, 6}), {true}),
                            doubles("b", {2})},
                           1);
  Moments moments({3}, {"b", "emb[1]", "a"});
  update(moments, {batch});
  EXPECT_EQ(moments, learned({3}, {"b", "emb[1]", "a"}, {{2}, {6}, {1}}));

  Moments lacking({2}, {"a", "income"});
  EXPECT_THAT([&] { update(lacking, {batch}); }, ThrowsMessage<std::invalid_argument>(HasSubstr("'income'")));
  Moments all({5});
  EXPECT_THAT([&] { update(all, {batch}); },
              ThrowsMessage<exactnorm::ArrowTypeError>(HasSubstr("column 'text'")));
}

TEST(ArrowUpdate, TakesNoNames) {
  Moments moments({1});
  update(moments, {table({doubles("a", {1})}, 1)});
  EXPECT_TRUE(moments.names().empty());
  Moments scalar({}, {"a"});
  update(scalar, {table({doubles("b", {7}), doubles("a", {1})}, 1),
                  table({doubles("b", {7}), doubles("a", {2})}, 1)});
  update(scalar, {doubles("", {3})});  // an array has no columns to choose from
  EXPECT_EQ(scalar, learned({}, {"a"}, {{1, 2, 3}}));
}

TEST(ArrowUpdate, RefusesAnotherNumberOfFeatures) {
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{3}, Shape{2, 1}}) {
    Moments moments(shape);
    EXPECT_THAT(
        [&] {
          update(moments, {table({doubles("a", {}), doubles("b", {})}, 0)});
        },
        ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("2 features"), HasSubstr(to_string(shape)))));
  }
}

TEST(ArrowUpdate, ChangesNothingWhenItFails) {
  const Moments before = learned({}, {}, {{1, 2}});
  const Node bad = dictionary(numbers<std::int8_t>("c", "", {std::int8_t{5}}), doubles("", {1}));
  const Node good = dictionary(numbers<std::int8_t>("c", "", {std::int8_t{0}}), doubles("", {1}));
  Moments moments = before;
  EXPECT_THROW(update(moments, {good, bad}), std::invalid_argument);
  EXPECT_EQ(moments, before);

  Stream failing({good, good}, 1);
  EXPECT_THROW(exactnorm::update(moments, failing.get()), std::runtime_error);
  EXPECT_EQ(failing.ledger().made, failing.ledger().released);
  EXPECT_EQ(moments, before);
}

TEST(ArrowUpdate, RefusesMasksAndWeights) {
  const std::array<double, 1> weights{1};
  UpdateOptions options;
  options.weights = exactnorm::contiguous(weights.data(), {1});
  Moments moments;
  EXPECT_THAT([&] { update(moments, {doubles("", {1})}, options); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("update_columns")));
  EXPECT_TRUE(moments.empty());
}

TEST(ArrowUpdate, StopsBetweenBatches) {
  std::stop_source source;
  source.request_stop();
  UpdateOptions options;
  options.stop = source.get_token();
  Moments moments;
  EXPECT_THROW(update(moments, {doubles("", {})}, options), exactnorm::Interrupted);
  EXPECT_TRUE(moments.empty());
}

// ---- any table, cut into batches with offsets everywhere, is the table

struct RandomColumn {
  int kind;  // float64, bool, dictionary of float32, list of int32
  std::int64_t width;
  std::vector<Cells> cells;  // of each feature
};

rc::Gen<std::optional<double>> cell() {
  return rc::gen::map(rc::gen::inRange(-3, 12),
                      [](int i) { return i < 0 ? null : std::optional<double>(i); });
}

std::int64_t some_offset() { return *rc::gen::inRange<std::int64_t>(0, 20); }

/// Elements [begin, begin + length) of values, each as T.
template <class T>
Values<T> part(const Cells& values, std::int64_t begin, std::int64_t length) {
  Values<T> out;
  for (std::int64_t i = begin; i < begin + length; ++i) {
    const auto& value = values[static_cast<std::size_t>(i)];
    out.push_back(value ? std::optional(static_cast<T>(*value)) : std::nullopt);
  }
  return out;
}

Node column_of(const RandomColumn& column, const std::string& name, std::int64_t begin, std::int64_t length) {
  switch (column.kind) {
    case 0:
      return numbers<double>("g", name, part<double>(column.cells[0], begin, length), some_offset());
    case 1:
      return numbers<bool>("b", name, part<bool>(column.cells[0], begin, length), some_offset());
    case 2: {
      // Entry i is i, but for 2, which is null and means null, as a null index does too.
      const Node entries = numbers<float>("f", "", {0, 1, null, 3, 4, 5, 6, 7, 8, 9, 10, 11}, some_offset());
      auto indices = part<std::uint8_t>(column.cells[0], begin, length);
      for (auto& index : indices) {
        if (!index && *rc::gen::arbitrary<bool>()) {
          index = std::uint8_t{2};
        }
      }
      return dictionary(numbers<std::uint8_t>("C", name, indices, some_offset(), std::uint8_t{255}), entries);
    }
    default: {
      Values<std::int32_t> items;
      std::vector<bool> valid;
      const std::int64_t offset = some_offset();
      items.assign(static_cast<std::size_t>(offset * column.width), 1);
      for (std::int64_t row = begin; row < begin + length; ++row) {
        bool any = false;
        for (const Cells& cells : column.cells) {
          items.push_back(part<std::int32_t>(cells, row, 1).front());
          any = any || items.back().has_value();
        }
        valid.push_back(any || *rc::gen::arbitrary<bool>());
      }
      return lists(name, column.width, numbers<std::int32_t>("i", "item", items, some_offset()), valid,
                   offset);
    }
  }
}

RC_GTEST_PROP(ArrowUpdate, IsTheTableHoweverItIsCut, ()) {
  const auto rows = *rc::gen::inRange<std::int64_t>(0, 60);
  const auto n_columns = *rc::gen::inRange<std::size_t>(1, 5);
  std::vector<RandomColumn> columns;
  for (std::size_t i = 0; i < n_columns; ++i) {
    RandomColumn column{*rc::gen::inRange(0, 4), 1, {}};
    if (column.kind == 3) {
      column.width = *rc::gen::inRange<std::int64_t>(1, 4);
    }
    for (std::int64_t feature = 0; feature < column.width; ++feature) {
      auto cells = *rc::gen::container<Cells>(static_cast<std::size_t>(rows), cell());
      for (auto& value : cells) {
        if (column.kind == 1 && value) {
          value = *value > 5 ? 1 : 0;
        } else if (column.kind == 2 && value == 2.0) {
          value = null;
        }
      }
      column.cells.push_back(std::move(cells));
    }
    columns.push_back(std::move(column));
  }

  std::vector<Node> batches;
  std::vector<bool> row_valid;
  const auto n_batches = *rc::gen::inRange(1, 5);
  std::int64_t at = 0;
  for (int batch = 1; batch <= n_batches; ++batch) {
    const auto rest = rows - at;
    const auto length = batch == n_batches ? rest : *rc::gen::inRange<std::int64_t>(0, rest + 1);
    const auto offset = std::min(at, *rc::gen::inRange<std::int64_t>(0, 9));
    std::vector<Node> nodes;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      nodes.push_back(
          column_of(columns[i], std::string(1, static_cast<char>('a' + i)), at - offset, offset + length));
    }
    const auto valid =
        *rc::gen::container<std::vector<bool>>(static_cast<std::size_t>(length), rc::gen::arbitrary<bool>());
    row_valid.insert(row_valid.end(), valid.begin(), valid.end());
    batches.push_back(table(std::move(nodes), length, offset, valid));
    at += length;
  }

  std::vector<Cells> expected;
  for (const RandomColumn& column : columns) {
    for (Cells cells : column.cells) {
      for (std::size_t row = 0; row < cells.size(); ++row) {
        if (!row_valid[row]) {
          cells[row] = null;
        }
      }
      expected.push_back(std::move(cells));
    }
  }
  const Shape shape{static_cast<std::int64_t>(expected.size())};
  Moments moments(shape);
  update(moments, batches);
  RC_ASSERT(moments == learned(shape, {}, expected));
}

}  // namespace
