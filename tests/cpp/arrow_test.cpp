#include <exactnorm/arrow.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "arrow_arrays.hpp"
#include "arrow_reading.hpp"

namespace {

using namespace arrays;  // NOLINT(google-build-using-namespace)
using exactnorm::ArrowReader;
using exactnorm::ArrowTypeError;
using exactnorm::DType;
using exactnorm::Shape;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto null = std::nullopt;

template <class T>
void expect_numbers(const std::string& format, DType dtype) {
  const Values<T> values{T(3), null, T(100), T(0), T(1), T(7)};
  Stream stream({table({numbers<T>(format, "x", values, 5)}, 6)});
  ArrowReader reader(stream.get());
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.columns()[0].values.dtype, dtype) << format;
  EXPECT_THAT(cells(reader), ElementsAre(ElementsAre(3, null, 100, 0, 1, 7))) << format;
}

TEST(ArrowReader, ReadsEveryNumber) {
  expect_numbers<std::int8_t>("c", DType::int8);
  expect_numbers<std::uint8_t>("C", DType::uint8);
  expect_numbers<std::int16_t>("s", DType::int16);
  expect_numbers<std::uint16_t>("S", DType::uint16);
  expect_numbers<std::int32_t>("i", DType::int32);
  expect_numbers<std::uint32_t>("I", DType::uint32);
  expect_numbers<std::int64_t>("l", DType::int64);
  expect_numbers<std::uint64_t>("L", DType::uint64);
  expect_numbers<std::uint16_t>("e", DType::float16);
  expect_numbers<float>("f", DType::float32);
  expect_numbers<double>("g", DType::float64);
}

TEST(ArrowReader, PointsIntoArrowsBuffers) {
  Stream stream({});
  const auto ledger = std::make_shared<Ledger>();
  const Node node = doubles("x", {1, 2, 3}, 2);
  auto array = exported<ArrowArray>(node, ledger);
  auto schema = exported<ArrowSchema>(node, ledger);
  const void* buffer = array.buffers[1];
  ArrowReader reader(&array, &schema);
  EXPECT_EQ(array.release, nullptr);
  EXPECT_EQ(schema.release, nullptr);
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.columns()[0].values.data, static_cast<const std::byte*>(buffer) + 2 * sizeof(double));
  EXPECT_FALSE(reader.columns()[0].valid.has_value());
  EXPECT_FALSE(reader.next());
  EXPECT_FALSE(reader.next());
}

TEST(ArrowReader, UnpacksBooleans) {
  for (std::int64_t offset = 0; offset < 18; ++offset) {
    Values<bool> values;
    Cells expected;
    for (int i = 0; i < 41; ++i) {
      const bool is_null = i % 7 == 3;
      values.push_back(is_null ? null : std::optional(i % 3 == 0));
      expected.push_back(is_null ? null : std::optional<double>(i % 3 == 0 ? 1 : 0));
    }
    EXPECT_THAT(read({table({numbers<bool>("b", "x", values, offset)}, 41)}), ElementsAre(expected))
        << offset;
  }
}

TEST(ArrowReader, ReadsBool8AsBoolean) {
  Node node = numbers<std::int8_t>("c", "x", {std::int8_t{5}, std::int8_t{0}, null});
  node.metadata = metadata_of("ARROW:extension:name", "arrow.bool8");
  EXPECT_THAT(read({table({node}, 3)}), ElementsAre(ElementsAre(1, 0, null)));
}

TEST(ArrowReader, TakesNullCountOfZeroAtItsWord) {
  Node node = doubles("x", {1, null});
  node.null_count = 0;
  EXPECT_THAT(read({table({node}, 2)}), ElementsAre(ElementsAre(1, 1)));
  node.null_count = 1;
  EXPECT_THAT(read({table({node}, 2)}), ElementsAre(ElementsAre(1, null)));
  node.buffers[0].reset();
  EXPECT_THAT(refusal<std::invalid_argument>({table({node}, 2)}), HasSubstr("column 'x'"));
}

TEST(ArrowReader, GivesNoValidityWhereNothingIsNull) {
  Stream stream({table({doubles("x", {1, 2, 3}, 9)}, 3, 0, std::vector{true, true, true})});
  ArrowReader reader(stream.get());
  ASSERT_TRUE(reader.next());
  EXPECT_FALSE(reader.columns()[0].valid.has_value());
}

TEST(ArrowReader, CountsANullColumnAsNulls) {
  const Node node{.format = "n", .name = "x", .length = 3};
  EXPECT_THAT(read({table({node}, 3)}), ElementsAre(ElementsAre(null, null, null)));
  const Node column = lists("emb", 2, {.format = "n", .name = "item", .length = 4}, {true, false});
  EXPECT_THAT(read({table({column}, 2)}), ElementsAre(ElementsAre(null, null), ElementsAre(null, null)));
}

TEST(ArrowReader, AppliesAStructsOffsetAndNullsToItsColumns) {
  const Node batch = table({doubles("x", {1, 2, 3, null, 5}, 3), doubles("y", {10, 20, 30, 40, 50, 60})}, 3,
                           2, std::vector{true, true, false});
  EXPECT_THAT(read({batch}), ElementsAre(ElementsAre(3, null, null), ElementsAre(30, 40, null)));
}

TEST(ArrowReader, SpreadsFixedSizeLists) {
  const Node items = doubles("item", {0, 0, 1, 2, null, 4, 5, 6, 7, 8}, 4);
  const Node batch = table({lists("emb", 2, items, {true, true, false, true}, 1), doubles("x", {1, 2, 3, 4})},
                           3, 1, std::vector{true, true, false});
  Stream stream({batch});
  ArrowReader reader(stream.get());
  EXPECT_THAT(reader.column_names(), ElementsAre("emb", "x"));
  EXPECT_THAT(reader.names(), ElementsAre("emb[0]", "emb[1]", "x"));
  EXPECT_EQ(reader.feature_shape(), Shape{3});
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.columns()[0].values.shape, (Shape{3, 2}));
  EXPECT_THAT(cells(reader), ElementsAre(ElementsAre(null, null, null), ElementsAre(4, null, null),
                                         ElementsAre(2, 3, null)));
}

TEST(ArrowReader, DecodesDictionaries) {
  const Node entries = numbers<float>("f", "", {1.5F, null, 2.5F}, 2);
  const Values<std::int8_t> indices{std::int8_t{2}, null, std::int8_t{0}, std::int8_t{1}};
  // The index under a null is out of range, and must not be looked at.
  const Node column = dictionary(numbers<std::int8_t>("c", "x", indices, 1, std::int8_t{-9}), entries);
  EXPECT_THAT(read({table({column}, 4)}), ElementsAre(ElementsAre(2.5, null, 1.5, null)));

  const Node flags =
      dictionary(numbers<std::uint64_t>("L", "flag", {1U, 0U, 1U}), numbers<bool>("b", "", {true, false}));
  EXPECT_THAT(read({table({flags}, 3)}), ElementsAre(ElementsAre(0, 1, 0)));

  const Node nulls =
      dictionary(numbers<std::int16_t>("s", "x", {std::int16_t{0}}), {.format = "n", .length = 1});
  EXPECT_THAT(read({table({nulls}, 1)}), ElementsAre(ElementsAre(null)));

  const Node items = dictionary(numbers<std::int32_t>("i", "item", {1, 0, 7, 7}), doubles("", {10, 20}));
  EXPECT_THAT(read({table({lists("emb", 2, items, {true, false})}, 2)}),
              ElementsAre(ElementsAre(20, null), ElementsAre(10, null)));
}

TEST(ArrowReader, RefusesADictionaryIndexOutOfRange) {
  for (const int index : {-1, 2}) {
    const Node column = dictionary(numbers<std::int32_t>("i", "city", {0, index}), doubles("", {1, 2}));
    EXPECT_THAT(
        refusal<std::invalid_argument>({table({column}, 2)}),
        AllOf(HasSubstr("column 'city'"), HasSubstr(std::to_string(index)), HasSubstr("of 2 values")));
    const auto row_is_null = table({column}, 2, 0, std::vector{true, false});
    EXPECT_THAT(read({row_is_null}), ElementsAre(ElementsAre(1, null)));
  }
}

TEST(ArrowReader, ReadsArraysThatAreNoTables) {
  Stream plain({doubles("x", {1, null}, 3), doubles("x", {}), doubles("x", {4})});
  ArrowReader reader(plain.get());
  EXPECT_EQ(reader.feature_shape(), Shape{});
  EXPECT_THAT(reader.names(), IsEmpty());
  EXPECT_THAT(reader.column_names(), IsEmpty());
  ASSERT_TRUE(reader.next());
  EXPECT_THAT(cells(reader), ElementsAre(ElementsAre(1, null)));
  EXPECT_EQ(reader.columns()[0].values.shape, Shape{2});

  Stream list({lists("", 3, doubles("item", {1, 2, 3, 4, 5, 6}), {true, true})});
  ArrowReader lists_reader(list.get());
  EXPECT_EQ(lists_reader.feature_shape(), Shape{3});
  EXPECT_THAT(lists_reader.names(), IsEmpty());
}

TEST(ArrowReader, ReadsEmptyBatchesWithoutBuffers) {
  Node number{.format = "f", .name = "a", .buffers = {null, null}};
  Node list{.format = "+w:2", .name = "emb", .buffers = {null}, .children = {number}};
  Node coded = dictionary({.format = "i", .name = "d", .buffers = {null, null}}, number);
  Node bits{.format = "b", .name = "b", .buffers = {null, null}};
  const std::vector<Node> columns{number, list, coded, bits, {.format = "n", .name = "n"}};
  EXPECT_THAT(read({table(columns, 0)}),
              ElementsAre(IsEmpty(), IsEmpty(), IsEmpty(), IsEmpty(), IsEmpty(), IsEmpty()));
  EXPECT_THAT(read({table({}, 4)}), IsEmpty());
  EXPECT_THAT(read({table({lists("emb", 0, number, {true, false})}, 2)}), IsEmpty());
}

TEST(ArrowReader, SelectsColumnsAndSingleFeatures) {
  const std::vector<Node> batches{table({doubles("a", {1}),
                                         {.format = "u", .name = "text", .length = 1},
                                         lists("emb", 3, doubles("item", {10, 11, 12}), {true}),
                                         doubles("b", {2})},
                                        1)};
  EXPECT_THAT(read(batches, {"b", "a"}), ElementsAre(ElementsAre(2), ElementsAre(1)));
  EXPECT_THAT(read(batches, {"emb", "a"}),
              ElementsAre(ElementsAre(10), ElementsAre(11), ElementsAre(12), ElementsAre(1)));
  EXPECT_THAT(read(batches, {"emb[2]", "b", "emb[0]"}),
              ElementsAre(ElementsAre(12), ElementsAre(2), ElementsAre(10)));

  Stream stream(batches);
  ArrowReader reader(stream.get());
  EXPECT_THROW(static_cast<void>(reader.names()), ArrowTypeError);
  EXPECT_THROW(static_cast<void>(reader.feature_shape()), ArrowTypeError);
  EXPECT_THROW(reader.next(), ArrowTypeError);
  reader.select(std::vector<std::string>{"emb[1]", "emb[2]", "a"});
  EXPECT_THAT(reader.names(), ElementsAre("emb[1]", "emb[2]", "a"));
  ASSERT_TRUE(reader.next());
  EXPECT_EQ(reader.columns().size(), 2);  // the neighbours are one view
  EXPECT_THAT(cells(reader), ElementsAre(ElementsAre(11), ElementsAre(12), ElementsAre(1)));
  EXPECT_THROW(reader.select(std::vector<std::string>{"a"}), std::logic_error);
}

}  // namespace
