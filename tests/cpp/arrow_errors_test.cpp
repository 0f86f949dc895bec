#include <exactnorm/arrow.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "arrow_arrays.hpp"
#include "arrow_reading.hpp"

namespace {

using namespace arrays;  // NOLINT(google-build-using-namespace)
using exactnorm::ArrowReader;
using exactnorm::ArrowTypeError;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::ThrowsMessage;

TEST(ArrowReader, NamesTypesThatAreNoNumbers) {
  const std::vector<std::pair<std::string, std::string>> types{
      {"u", "utf8"},
      {"U", "large_utf8"},
      {"vu", "string_view"},
      {"z", "binary"},
      {"w:16", "fixed_size_binary(16)"},
      {"d:19,10", "decimal128(19,10)"},
      {"d:40,2,256", "decimal256(40,2)"},
      {"tdD", "date32"},
      {"ttn", "time64[ns]"},
      {"tsu:", "timestamp[us]"},
      {"tss:Europe/Amsterdam", "timestamp[s, tz=Europe/Amsterdam]"},
      {"tDm", "duration[ms]"},
      {"+l", "list"},
      {"+vL", "large_list_view"},
      {"+m", "map"},
      {"+s", "struct"},
      {"+r", "run-end-encoded"},
      {"+us:1,2", "sparse_union"},
      {"_pl", "unknown type '_pl'"},
  };
  for (const auto& [format, name] : types) {
    const std::string expected = "column 'when': " + name + " is not a number";
    EXPECT_EQ(refusal<ArrowTypeError>({table({doubles("x", {}), {.format = format, .name = "when"}}, 0)}),
              expected);
    const Node list = lists("when", 2, {.format = format}, {});
    EXPECT_EQ(refusal<ArrowTypeError>({table({list}, 0)}),
              "column 'when': fixed_size_list of " + name + " is not a number");
    const Node coded = dictionary({.format = "i", .name = "when"}, {.format = format});
    EXPECT_EQ(refusal<ArrowTypeError>({table({coded}, 0)}),
              "column 'when': dictionary of " + name + " is not a number");
  }
  EXPECT_EQ(refusal<ArrowTypeError>({{.format = "u", .name = "x"}}), "the array: utf8 is not a number");
  const Node nested = lists("emb", 2, lists("", 3, doubles("", {}), {}), {});
  EXPECT_EQ(refusal<ArrowTypeError>({table({nested}, 0)}),
            "column 'emb': fixed_size_list of fixed_size_list of float64 is not a number");
  const Node coded_twice = dictionary(numbers<std::int32_t>("i", "x", {}),
                                      dictionary(numbers<std::int32_t>("i", "", {}), doubles("", {})));
  EXPECT_EQ(refusal<ArrowTypeError>({table({coded_twice}, 0)}),
            "column 'x': dictionary of dictionary of float64 is not a number");
}

TEST(ArrowReader, RefusesExtensionTypesByName) {
  Node node = numbers<std::int64_t>("l", "when", {std::int64_t{1}});
  node.metadata = metadata_of("ARROW:extension:name", "pandas.period");
  EXPECT_EQ(refusal<ArrowTypeError>({table({node}, 1)}),
            "column 'when': extension type 'pandas.period' (int64) is not a number");
  node.dictionary.push_back(doubles("", {1, 2}));
  EXPECT_EQ(refusal<ArrowTypeError>({table({node}, 1)}),
            "column 'when': extension type 'pandas.period' (dictionary of float64) is not a number");
  node.dictionary.clear();
  node.metadata = metadata_of("comment", "pandas.period");
  EXPECT_THAT(read({table({node}, 1)}), ElementsAre(ElementsAre(1)));
}

TEST(ArrowReader, RefusesWhatCannotBeSelected) {
  const std::vector<Node> batches{table({doubles("a", {}),
                                         lists("emb", 2, doubles("", {}), {}),
                                         {.format = "u", .name = "text"},
                                         doubles("weird[0]", {})},
                                        0)};
  for (const std::string name : {"c", "emb[2]", "emb[00]", "emb[-1]", "emb[]", "a[0]", "[0]", "]", ""}) {
    EXPECT_EQ(refusal<std::invalid_argument>(batches, {"a", name}), "the table has no column '" + name + "'");
  }
  EXPECT_EQ(refusal<ArrowTypeError>(batches, {"text"}), "column 'text': utf8 is not a number");
  EXPECT_EQ(refusal<std::invalid_argument>(batches, {"a", "emb", "a"}), "the feature 'a' occurs twice");
  EXPECT_EQ(refusal<std::invalid_argument>(batches, {"emb", "emb[1]"}), "the feature 'emb[1]' occurs twice");
  EXPECT_EQ(refusal<std::invalid_argument>({doubles("x", {})}, {"x"}), "the table has no column 'x'");

  Stream stream(batches);
  ArrowReader reader(stream.get());
  reader.select(std::vector<std::string>{"weird[0]", "a"});
  EXPECT_THROW(reader.select(std::vector<std::string>{"text"}), ArrowTypeError);
  EXPECT_THAT(reader.names(), ElementsAre("weird[0]", "a"));
}

TEST(ArrowReader, RefusesNamesThatComeTwice) {
  EXPECT_EQ(
      refusal<std::invalid_argument>({table({doubles("a", {}), doubles("b", {}), doubles("a", {})}, 0)}),
      "two columns are named 'a'");
  EXPECT_EQ(
      refusal<std::invalid_argument>({table({doubles("e[0]", {}), lists("e", 1, doubles("", {}), {})}, 0)}),
      "the feature 'e[0]' occurs twice");
}

TEST(ArrowReader, RefusesArraysThatDoNotFitTogether) {
  const auto message = [](const Node& node) { return refusal<std::invalid_argument>({node}); };
  EXPECT_THAT(message(table({doubles("x", {1, 2})}, 2, 1)),
              AllOf(HasSubstr("column 'x'"), HasSubstr("length 2"), HasSubstr("needs 3")));
  EXPECT_THAT(message(table({lists("emb", 2, doubles("", {1, 2, 3}), {true, true})}, 2)),
              AllOf(HasSubstr("column 'emb'"), HasSubstr("length 3"), HasSubstr("needs 4")));
  EXPECT_THAT(message(table({lists("emb", 2, doubles("", {1, 2, 3, 4}), {true, true}, 1)}, 2)),
              HasSubstr("needs 6"));
  Node node = doubles("x", {1});
  node.length = -1;
  EXPECT_THAT(message(node), AllOf(HasSubstr("the array"), HasSubstr("length -1")));
  node = doubles("x", {1});
  node.offset = std::int64_t{1} << 62;
  EXPECT_THAT(message(node), HasSubstr("offset"));
  node = doubles("x", {1});
  node.buffers[1].reset();
  EXPECT_THAT(message(node), HasSubstr("without data"));
  node.buffers.pop_back();
  EXPECT_THAT(message(node), HasSubstr("1 buffers"));
  EXPECT_THAT(message({.format = "+w:x", .children = {doubles("", {})}}), HasSubstr("'+w:x'"));
  EXPECT_THAT(message({.format = "+w:2"}), HasSubstr("lacks its child"));
  EXPECT_THAT(message(dictionary(doubles("x", {1}), doubles("", {1}))), HasSubstr("indices of type float64"));

  // A batch that is not of the schema's type.
  const Node schema = table({doubles("x", {1}), doubles("y", {1})}, 1);
  EXPECT_THAT(refusal<std::invalid_argument>({schema, table({doubles("x", {1})}, 1)}),
              HasSubstr("1 children"));
  const Node coded = dictionary(numbers<std::int32_t>("i", "x", {0}), doubles("", {1}));
  EXPECT_THAT(
      refusal<std::invalid_argument>({table({coded}, 1), table({numbers<std::int32_t>("i", "x", {0})}, 1)}),
      HasSubstr("without its dictionary"));
}

TEST(ArrowReader, ReportsTheStreamsOwnError) {
  Stream stream({doubles("x", {1}), doubles("x", {2})}, 1);
  {
    ArrowReader reader(stream.get());
    ASSERT_TRUE(reader.next());
    EXPECT_THAT([&] { reader.next(); }, ThrowsMessage<std::runtime_error>(HasSubstr("the disk is on fire")));
    EXPECT_THAT(reader.columns(), IsEmpty());
  }
  EXPECT_EQ(stream.ledger().made, stream.ledger().released);
}

TEST(ArrowReader, ReportsASchemaThatCannotBeHad) {
  Stream stream({doubles("x", {1})});
  stream.get()->get_schema = [](ArrowArrayStream*, ArrowSchema*) { return 5; };
  stream.get()->get_last_error = [](ArrowArrayStream*) -> const char* { return nullptr; };
  EXPECT_THROW(ArrowReader{stream.get()}, std::runtime_error);
  EXPECT_EQ(stream.ledger().made, stream.ledger().released);
}

TEST(ArrowReader, RefusesWhatHasBeenReleased) {
  ArrowArrayStream released{};
  EXPECT_THROW(ArrowReader{&released}, std::invalid_argument);
  EXPECT_THROW(ArrowReader{nullptr}, std::invalid_argument);

  const auto ledger = std::make_shared<Ledger>();
  auto array = exported<ArrowArray>(doubles("x", {1}), ledger);
  ArrowSchema schema{};
  EXPECT_THROW(ArrowReader(&array, &schema), std::invalid_argument);
  EXPECT_EQ(array.release, nullptr);
  EXPECT_EQ(ledger->made, ledger->released);
}

TEST(ArrowReader, ReleasesWhatIsNotRead) {
  Stream stream({doubles("x", {1}), doubles("x", {2})});
  {
    ArrowReader reader(stream.get());
    ASSERT_TRUE(reader.next());
    ArrowReader moved(std::move(reader));
    EXPECT_THAT(cells(moved), ElementsAre(ElementsAre(1)));
    Stream other({doubles("x", {3})});
    reader = ArrowReader(other.get());
    reader = std::move(moved);
    EXPECT_EQ(other.ledger().made, other.ledger().released);
    EXPECT_THAT(cells(reader), ElementsAre(ElementsAre(1)));
  }
  EXPECT_EQ(stream.ledger().made, stream.ledger().released);

  const auto ledger = std::make_shared<Ledger>();
  auto array = exported<ArrowArray>(doubles("x", {1}), ledger);
  auto schema = exported<ArrowSchema>(doubles("x", {1}), ledger);
  { ArrowReader reader(&array, &schema); }
  EXPECT_EQ(ledger->made, ledger->released);
}

}  // namespace
