// The document of GroupedMoments: what it looks like, and what does not load.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <exactnorm/exactnorm.hpp>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "documents.hpp"
#include "support/message_of.hpp"

namespace {

using exactnorm::contiguous;
using exactnorm::GroupedMoments;
using exactnorm::Moments;
using exactnorm::rows;
using exactnorm::Shape;
using exactnorm::UpdateOptions;
using ::testing::HasSubstr;
using Integers = std::vector<std::int64_t>;
using Strings = std::vector<std::string_view>;

GroupedMoments of(const std::vector<double>& x, const exactnorm::RowKeys& keys, UpdateOptions options = {}) {
  GroupedMoments grouped;
  grouped.update(contiguous(x.data(), Shape{static_cast<std::int64_t>(x.size())}), keys, {}, options);
  return grouped;
}

TEST(GroupedDocument, LooksLikeThis) {
  GroupedMoments grouped({2}, {"age", "income"});
  const std::vector<double> x = {1, 2, 3, 4, 5, 6};
  grouped.update(rows(x.data(), 3, 2), Strings{"NL", "BE", "NL"});
  const std::string text = to_json(grouped);
  EXPECT_THAT(text, ::testing::StartsWith(R"({"format": "exactnorm", "version": 1, "kind": "grouped",
 "shape": [2], "names": ["age", "income"],
 "groups": [
  {"key": "BE", "features": [
   {"count": 1, "nan": 0, "neginf": 0, "null": 0, "posinf": 0, "sum": "0x3p+0", "sumsq": "0x9p+0"},
   {"count": 1, "nan": 0, "neginf": 0, "null": 0, "posinf": 0, "sum": "0x1p+2", "sumsq": "0x1p+4"}
  ]},
  {"key": "NL", "features": [
   {"count": 2, "nan": 0, "neginf": 0, "null": 0, "posinf": 0, "sum": "0x3p+1", "sumsq": "0xdp+1"},
   {"count": 2, "nan": 0, "neginf": 0, "null": 0, "posinf": 0, "sum": "0x1p+3", "sumsq": "0x5p+3"}
  ]}
 ],
 "digest": "xxh3-128:)"));
  EXPECT_THAT(to_json(GroupedMoments()), HasSubstr("\n \"shape\": [],\n \"groups\": [],\n"));
}

TEST(GroupedDocument, RoundTrips) {
  const std::vector<float> weights = {1, 2.5, 0.1F};
  for (const GroupedMoments& grouped :
       {GroupedMoments({2}, {"a", "b"}), GroupedMoments({9}, {"a", "b", "c", "d", "e", "f", "g", "h", ""}),
        of({1, NAN, INFINITY}, Integers{INT64_MIN, -1, INT64_MAX}),
        of({1, 2, 3}, Strings{"", "\"\\\n\xf0\x9f\x98\x80", "b"}),
        of({1, 2, 3}, Integers{1, 2, 1}, {.weights = contiguous(weights.data(), Shape{3})})}) {
    EXPECT_EQ(exactnorm::grouped_from_bytes(to_json(grouped)), grouped);
    EXPECT_EQ(exactnorm::grouped_from_bytes(to_cbor(grouped)), grouped);
    EXPECT_EQ(to_json(exactnorm::grouped_from_bytes(to_cbor(grouped))), to_json(grouped));
    const auto path = std::filesystem::temp_directory_path() /
                      ("grouped-" + std::to_string(std::hash<std::string>{}(to_json(grouped))));
    save(path, grouped);
    EXPECT_EQ(exactnorm::load_grouped(path), grouped);
    EXPECT_EQ(std::get<GroupedMoments>(exactnorm::load(path)), grouped);
    EXPECT_THAT(message_of([&] { exactnorm::load_moments(path); }),
                HasSubstr("expected Moments, got the document of GroupedMoments"));
    std::filesystem::remove(path);
  }
  EXPECT_THAT(message_of([] { exactnorm::grouped_from_bytes(to_cbor(Moments())); }),
              HasSubstr("expected GroupedMoments, got the document of Moments"));
}

TEST(GroupedDocument, DigestIsOfShapeKeysAndFeatures) {
  const std::string digest_of_a = digest(of({1, 2}, Integers{1, 2}));
  EXPECT_NE(digest_of_a, digest(of({1, 2}, Integers{1, 3})));
  EXPECT_NE(digest_of_a, digest(of({1, 2}, Strings{"1", "2"})));
  EXPECT_NE(digest_of_a, digest(of({1, 3}, Integers{1, 2})));
  EXPECT_NE(digest(GroupedMoments({1})), digest(GroupedMoments({2})));
  EXPECT_NE(digest(GroupedMoments()), digest(Moments()));
  GroupedMoments named({}, {"x"});
  named += of({1, 2}, Integers{1, 2});
  EXPECT_EQ(digest(named), digest_of_a);
}

TEST(GroupedDocument, EveryByteMatters) {
  const GroupedMoments grouped = of({1, 2, NAN}, Strings{"a", "b", "a"});
  for (const std::string& document : {to_json(grouped), to_cbor(grouped)}) {
    for (std::size_t i = 0; i < document.size(); ++i) {
      std::string changed = document;
      changed[i] = static_cast<char>(changed[i] ^ 1);
      try {
        EXPECT_EQ(exactnorm::grouped_from_bytes(changed), grouped) << i;  // white space
        EXPECT_TRUE(document[i] == '\n' || changed[i] == '\n' || document[i] == ' ') << i;
      } catch (const exactnorm::StateError&) {
      }
      if (document.substr(i) != "\n") {
        EXPECT_THROW(exactnorm::from_bytes(document.substr(0, i)), exactnorm::StateError) << i;
      }
    }
  }
}

TEST(GroupedDocument, SaysWhatIsWrong) {
  using documents::Json;
  GroupedMoments grouped({2});
  const std::vector<double> x = {1, 2, 3, 4};
  grouped.update(rows(x.data(), 2, 2), Integers{1, 2});
  const Json good = Json::parse(to_json(grouped));
  EXPECT_EQ(documents::error_of(good.dump()), "");
  const auto error = [&](const std::string& pointer, const Json& value) {
    Json bad = good;
    bad[Json::json_pointer(pointer)] = value;
    return documents::error_of(documents::sealed(bad));
  };
  EXPECT_EQ(error("/groups/1/key", 1), "groups[1]: the key of the group before comes again");
  EXPECT_EQ(error("/groups/1/key", -2), "groups[1]: the key is out of order");
  EXPECT_EQ(error("/groups/1/key", "b"), "groups[1]: keys must be all integers or all strings");
  EXPECT_THAT(error("/groups/1/key", true), HasSubstr("groups[1].key: expected a string or an integer"));
  EXPECT_THAT(error("/groups/1/key", 9223372036854775808U), HasSubstr("groups[1].key: expected an integer"));
  EXPECT_THAT(error("/groups/1/key", Json::array()), HasSubstr("got an array"));
  EXPECT_EQ(error("/groups/0/x", 1), "groups[0]: unknown key \"x\"");
  EXPECT_THAT(error("/groups", 1), HasSubstr("groups: expected an array of objects"));
  EXPECT_THAT(error("/groups/0", 1), HasSubstr("groups[0]: expected an object"));
  EXPECT_THAT(error("/groups/0/features/1/count", -1), HasSubstr("groups[0].features[1].count: "));
  EXPECT_THAT(error("/groups/0/features/1/sumsq", "0x1p+0"),
              HasSubstr("no data have such sums: in feature 1 of key 1"));
  EXPECT_THAT(error("/groups/0/features/1/weight", "0x1p+0"), HasSubstr("groups[0].features[1]: a weight"));
  EXPECT_EQ(error("/shape", {3}), "shape (3,) and 2 keys do not have 4 features");
  EXPECT_EQ(error("/kind", "normalization"), "document: the key \"config\" is missing");
  EXPECT_THAT(error("/features", Json::array()), HasSubstr("the key \"features\" does not belong"));

  Json bad = good;
  bad["groups"][1]["features"].erase(1);
  EXPECT_EQ(documents::error_of(documents::sealed(bad)),
            "groups[1]: expected as many features as in the group before");
  bad = good;
  bad["groups"][1].erase("key");
  EXPECT_EQ(documents::error_of(documents::sealed(bad)), "groups[1]: the key \"key\" is missing");
  bad = good;
  bad.erase("kind");
  EXPECT_THAT(documents::error_of(documents::sealed(bad)),
              HasSubstr("document: the key \"features\" is missing"));
  bad = good;
  bad.erase("groups");
  EXPECT_EQ(documents::error_of(documents::sealed(bad)), "document: the key \"groups\" is missing");
  bad = good;
  for (auto& feature : bad["groups"][0]["features"]) {
    feature = {{"count", 0},  {"nan", 0},        {"neginf", 0},      {"null", 0},
               {"posinf", 0}, {"sum", "0x0p+0"}, {"sumsq", "0x0p+0"}};
  }
  EXPECT_EQ(documents::error_of(documents::sealed(bad)), "nothing has been counted of key 1");
}

}  // namespace
