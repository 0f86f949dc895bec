#include <gmock/gmock.h>

#include <rapidcheck/gtest.h>
#include <algorithm>
#include <cmath>
#include <utility>

#include "documents.hpp"
#include "utf8.hpp"

namespace {

using documents::error_of;
using documents::Json;
using exactnorm::Moments;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

Moments two_features() {
  const std::vector<float> x = {1, 7, 2, 7, NAN, 7};
  Moments moments({2}, {"age", "income"});
  moments.update(exactnorm::rows(x.data(), 3, 2));
  return moments;
}

// ---- against the reference

TEST(Vectors, ValidDocumentsAreRewrittenByteForByte) {
  int cases = 0;
  for (const Json& c : documents::vectors("documents.json")) {
    if (c.contains("error")) {
      continue;
    }
    SCOPED_TRACE(c["name"]);
    const std::string text = c["document"];
    const auto loaded = exactnorm::from_bytes(c["encoding"] == "cbor" ? documents::from_hex(text) : text);
    EXPECT_EQ(documents::json_of(loaded), c["canonical"]["json"]);
    EXPECT_EQ(documents::cbor_of(loaded), documents::from_hex(c["canonical"]["cbor"]));
    ++cases;
  }
  EXPECT_GT(cases, 10);
}

TEST(Vectors, BrokenDocumentsAreRefused) {
  int cases = 0;
  for (const Json& c : documents::vectors("documents.json")) {
    if (!c.contains("error")) {
      continue;
    }
    SCOPED_TRACE(c["name"]);
    const std::string text = c["document"];
    EXPECT_NE(error_of(c["encoding"] == "cbor" ? documents::from_hex(text) : text), "") << c["error"];
    ++cases;
  }
  EXPECT_GT(cases, 100);
}

TEST(Vectors, DigestsAndDocumentsOfWhatIsLearned) {
  int documents_seen = 0;
  for (const Json& c : documents::vectors("moments.json")) {
    if (c.contains("error")) {
      continue;
    }
    SCOPED_TRACE(c["name"]);
    const auto extents = c["shape"].get<std::vector<std::int64_t>>();
    std::vector<exactnorm::Feature> features;
    std::vector<exactnorm::ExactSum> weights;
    for (const Json& f : c["features"]) {
      const auto exact = [&](const char* key) {
        return exactnorm::ExactSum::from_string(f[key].get<std::string>());
      };
      features.push_back(
          {{f["count"], f["nan"], f["posinf"], f["neginf"], f["null"]}, exact("sum"), exact("sumsq")});
      if (f.contains("weight")) {
        weights.push_back(exact("weight"));
      }
    }
    const auto moments = Moments::from_parts(exactnorm::Shape(extents),
                                             c.value("names", std::vector<std::string>()), features, weights);
    EXPECT_EQ(exactnorm::digest(moments), c["digest"]);
    if (c.contains("json")) {
      EXPECT_EQ(exactnorm::to_json(moments), c["json"]);
      ++documents_seen;
    }
  }
  EXPECT_GT(documents_seen, 10);
}

// ---- properties

RC_GTEST_PROP(Document, BothEncodingsKeepTheState, ()) {
  const Moments moments = *documents::any_moments();
  const std::string json = exactnorm::to_json(moments);
  const std::string cbor = exactnorm::to_cbor(moments);
  RC_ASSERT(exactnorm::moments_from_bytes(json) == moments);
  RC_ASSERT(exactnorm::moments_from_bytes(cbor) == moments);
  RC_ASSERT(exactnorm::to_json(exactnorm::moments_from_bytes(cbor)) == json);
  RC_ASSERT(exactnorm::to_cbor(exactnorm::moments_from_bytes(json)) == cbor);
  // Another writer of the same format agrees: its keys are in byte order too.
  RC_ASSERT(Json::to_cbor(Json::parse(json)) == std::vector<std::uint8_t>(cbor.begin(), cbor.end()));
}

RC_GTEST_PROP(Document, KeyOrderAndWhiteSpaceInJsonAreFree, ()) {
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  const Moments moments = *documents::any_moments();
  const auto shuffled = [](const Json& object, const auto& text_of) {
    Pairs pairs;
    for (const auto& [key, value] : object.items()) {
      pairs.emplace_back(Json(key).dump(), text_of(value));
    }
    for (std::size_t i = pairs.size(); i > 1; --i) {
      std::swap(pairs[i - 1], pairs[*rc::gen::inRange<std::size_t>(0, i)]);
    }
    const std::string space = *rc::gen::elementOf(std::vector<std::string>{"", " ", "\r\n\t "});
    std::string text = "{";
    for (const auto& [key, value] : pairs) {
      text.append(text == "{" ? "" : ",").append(space).append(key).append(space);
      text.append(":").append(space).append(value).append(space);
    }
    return text + "}";
  };
  const std::string text = shuffled(Json::parse(exactnorm::to_json(moments)), [&](const Json& value) {
    if (!value.is_array() || value.empty() || !value[0].is_object()) {
      return value.dump();
    }
    std::string items;
    for (const Json& feature : value) {
      items += (items.empty() ? "" : ",") + shuffled(feature, [](const Json& v) { return v.dump(); });
    }
    return "[" + items + "]";
  });
  RC_ASSERT(exactnorm::moments_from_bytes(text) == moments);
}

RC_GTEST_PROP(Document, AnyChangedByteIsNoticed, ()) {
  const Moments moments = *documents::any_moments();
  const bool json = *rc::gen::arbitrary<bool>();
  const std::string document = json ? exactnorm::to_json(moments) : exactnorm::to_cbor(moments);
  std::string changed = document;
  changed[*rc::gen::inRange<std::size_t>(0, document.size())] = *rc::gen::arbitrary<char>();
  if (error_of(changed).empty()) {
    // Only white space may have changed.
    RC_ASSERT(changed == document || json);
    RC_ASSERT(exactnorm::moments_from_bytes(changed) == moments);
  }
}

TEST(Document, EveryTruncationIsNoticed) {
  for (const std::string& document :
       {exactnorm::to_json(two_features()), exactnorm::to_cbor(two_features())}) {
    for (std::size_t length = 0; length + 1 < document.size(); ++length) {
      EXPECT_NE(error_of(std::string_view(document).substr(0, length)), "") << length;
    }
  }
}

RC_GTEST_PROP(Digest, LeavesNamesOut, ()) {
  Moments moments = *documents::any_moments();
  const std::string before = exactnorm::digest(moments);
  RC_ASSERT(Json::parse(exactnorm::to_json(moments))["digest"] == before);
  moments.set_names({});
  RC_ASSERT(exactnorm::digest(moments) == before);
}

TEST(Digest, TellsShapesApart) {
  EXPECT_NE(exactnorm::digest(Moments({2, 3})), exactnorm::digest(Moments({3, 2})));
  EXPECT_NE(exactnorm::digest(Moments(exactnorm::Shape{})), exactnorm::digest(Moments({1})));
}

// What was taken away again leaves no trace: equal Moments have equal documents.
TEST(Document, EmptiedWeightedMomentsAreEmptyMoments) {
  const std::vector<float> x = {1, 2};
  Moments moments({2});
  exactnorm::UpdateOptions options;
  options.weights = exactnorm::contiguous(x.data(), {1});
  moments.update(exactnorm::rows(x.data(), 1, 2), {}, options);
  moments.subtract(Moments(moments));
  EXPECT_EQ(exactnorm::to_json(moments), exactnorm::to_json(Moments({2})));
}

// ---- errors say where

TEST(Errors, NameThePlace) {
  const Json good = Json::parse(exactnorm::to_json(two_features()));
  const auto error = [&](const char* pointer, const Json& value) {
    Json changed = good;
    changed[Json::json_pointer(pointer)] = value;
    return error_of(changed.dump());
  };
  EXPECT_EQ(error("/features/1/sum", 3),
            "features[1].sum: expected an exact number, as a string, got an integer");
  EXPECT_THAT(error("/features/1/sum", "0x2p+0"), StartsWith("features[1].sum: "));
  EXPECT_THAT(error("/features/0/sumsq", std::string(5000, '1')), StartsWith("features[0].sumsq: "));
  EXPECT_EQ(error("/features/0/nan", -1),
            "features[0].nan: expected an integer from 0 to 9223372036854775807, got a negative integer");
  EXPECT_EQ(error("/features/0/nan", 1.5),
            "features[0].nan: expected an integer from 0 to 9223372036854775807, got the number \"1.5\"");
  EXPECT_EQ(error("/features/0/nan", std::uint64_t{1} << 63),
            "features[0].nan: expected an integer from 0 to 9223372036854775807, got 9223372036854775808");
  EXPECT_EQ(error("/features/0/nan", nullptr),
            "features[0].nan: expected an integer from 0 to 9223372036854775807, got null");
  EXPECT_EQ(error("/features/0/nan", true),
            "features[0].nan: expected an integer from 0 to 9223372036854775807, got true");
  EXPECT_EQ(error("/features/0/extra", 1), "features[0]: unknown key \"extra\"");
  EXPECT_EQ(error("/features/0/weight", "0x1p+0"), "features[1]: no weight, and one in the features before");
  EXPECT_EQ(error("/features/1/weight", "0x1p+0"), "features[1]: a weight, and none in the features before");
  EXPECT_EQ(error("/features/1", {{"count", 1}}), "features[1]: the key \"nan\" is missing");
  EXPECT_EQ(error("/features", 1), "features: expected an array of objects, got an integer");
  EXPECT_EQ(error("/features/0", Json::array()), "features[0]: expected an object, got an array");
  EXPECT_EQ(error("/names/1", 7), "names[1]: expected a string, got an integer");
  EXPECT_THAT(error("/names/1", "age"), HasSubstr("distinct"));
  EXPECT_THAT(error("/names", Json::array()), StartsWith("names: "));
  EXPECT_THAT(error("/names", {"a"}), HasSubstr("1 name"));
  EXPECT_EQ(error("/shape/0", "2"),
            "shape[0]: expected an integer from 0 to 9223372036854775807, got a string");
  EXPECT_THAT(error("/shape", {3}), HasSubstr("(3,)"));
  EXPECT_THAT(error("/shape", std::vector<std::int64_t>(33, 1)), StartsWith("shape[32]: "));
  EXPECT_THAT(error("/shape", {std::int64_t{1} << 40, std::int64_t{1} << 40}), StartsWith("shape: "));
  EXPECT_EQ(error("/format", "x"), "format: expected \"exactnorm\", got \"x\"");
  EXPECT_EQ(error("/kind", "x"), "kind: expected \"normalization\" or \"grouped\", got \"x\"");
  EXPECT_EQ(error("/kind", "normalization"), "document: the key \"config\" is missing");
  EXPECT_EQ(error("/unknown\n", 1), "document: unknown key \"unknown\\x0a\"");
  EXPECT_THAT(error("/digest", "x"),
              AllOf(StartsWith("digest: "), HasSubstr(exactnorm::digest(two_features()))));
  EXPECT_THAT(error("/checksum", std::string(1000, 'x')),
              AllOf(StartsWith("checksum: "), HasSubstr("xxx...\"")));
  EXPECT_THAT(error("/names/0", "weight"), StartsWith("checksum: "));
  EXPECT_THAT(error("/features/0/null", 1), StartsWith("digest: "));
  // n·S2 < S1²
  EXPECT_THAT(error("/features/1/sum", "0xffp+0"), HasSubstr("'income' (feature 1)"));
  for (const char* key : {"checksum", "digest", "features", "format", "shape", "version"}) {
    Json changed = good;
    changed.erase(key);
    EXPECT_EQ(error_of(changed.dump()), "document: the key \"" + std::string(key) + "\" is missing");
  }
}

TEST(Errors, DuplicateKeys) {
  std::string text = exactnorm::to_json(two_features());
  text.insert(1, "\"shape\": [2], ");
  EXPECT_EQ(error_of(text), "document: the key \"shape\" comes twice");
  text = exactnorm::to_json(two_features());
  text.insert(text.find("\"count\""), R"("sum": "0x1p+0", )");
  EXPECT_EQ(error_of(text), "features[0]: the key \"sum\" comes twice");
}

TEST(Errors, Syntax) {
  const std::string good = exactnorm::to_json(two_features());
  EXPECT_THAT(error_of(good + "x"), StartsWith("byte " + std::to_string(good.size() + 1) + ": syntax error"));
  EXPECT_EQ(error_of(good + std::string(1, '\0')),
            "byte " + std::to_string(good.size()) + ": a NUL character");
  EXPECT_EQ(error_of(""), "the document is empty");
  EXPECT_EQ(error_of(" \n\t\r"), "the document is empty");
  EXPECT_EQ(error_of("\xEF\xBB\xBF" + good), "byte 0: expected '{' (JSON) or a map (CBOR), got \"\\xef\"");
  EXPECT_EQ(error_of(" \xa0"), "byte 1: expected '{' (JSON) or a map (CBOR), got \"\\xa0\"");
  std::string text = good;
  text.replace(text.find("age"), 3, "a\xff");
  EXPECT_THAT(error_of(text), AllOf(HasSubstr("syntax error"), testing::Not(HasSubstr("\xff"))));
  for (const char* number : {"-0", "1.0", "1e0", "1E400", "NaN", "00", "+1", "0x1"}) {
    text = good;
    text.replace(text.find("\"nan\": 1") + 7, 1, number);
    EXPECT_NE(error_of(text), "") << number;
  }
}

// The version explains whatever else a later document has, and in CBOR it comes last.
TEST(Errors, AnUnknownVersionIsSaidBeforeAnythingElse) {
  Json later = Json::parse(exactnorm::to_json(two_features()));
  later["version"] = 2;
  later["aggregates"] = {{"version", 7}, {"deep", {{{"version", {8}}}}}};
  later["features"][0]["skew"] = 0.5;
  const char* expected =
      "version: the document has version 2, which needs another release of exactnorm; this one reads version "
      "1";
  EXPECT_EQ(error_of(later.dump()), expected);
  later["bytes"] = Json::binary({1, 2, 3});
  const std::vector<std::uint8_t> cbor = Json::to_cbor(later);
  EXPECT_EQ(error_of({reinterpret_cast<const char*>(cbor.data()), cbor.size()}), expected);
  later.erase("bytes");
  // The same document of version 1: what was wrong first.
  later["version"] = 1;
  EXPECT_EQ(error_of(later.dump()), "document: unknown key \"aggregates\"");
  later.erase("version");
  EXPECT_EQ(error_of(later.dump()), "document: unknown key \"aggregates\"");
  EXPECT_EQ(error_of(R"({"format": "other", "version": 2})"),
            "format: expected \"exactnorm\", got \"other\"");
}

// ---- CBOR has one encoding

TEST(Cbor, OnlyTheCanonicalEncoding) {
  const std::string good = exactnorm::to_cbor(Moments({1}, {"x"}));
  ASSERT_EQ(error_of(good), "");
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string changed = good;
    const std::size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos);
    return error_of(changed.replace(at, from.size(), to));
  };
  using namespace std::string_literals;
  EXPECT_THAT(replaced("\x65names\x81\x61x"s, "\x65names\x9f\x61x\xff"s), HasSubstr("indefinite length"));
  EXPECT_THAT(replaced("\x65names\x81\x61x"s, "\x65names\x81\x7f\x61x\xff"s), HasSubstr("indefinite length"));
  EXPECT_THAT(replaced("\x65names\x81\x61x"s, "\x65names\x81\x41x"s),
              HasSubstr("names[0]: expected a string, got a byte string"));
  EXPECT_THAT(replaced("\x65names\x81\x61x"s, "\x65names\x81\xc0\x61x"s), HasSubstr("a tag"));
  EXPECT_THAT(replaced("\x65names\x81\x61x"s, "\x65names\x81\x61\xff"s), HasSubstr("not UTF-8"));
  EXPECT_THAT(replaced("\x65names\x81\x61x"s, "\x78\x05names\x81\x61x"s), HasSubstr("shortest form"));
  EXPECT_THAT(replaced("\x63nan\x00"s, "\x63nan\x18\x00"s), HasSubstr("shortest form"));
  EXPECT_THAT(replaced("\x63nan\x00"s, "\x63nan\x19\x00\xff"s), HasSubstr("shortest form"));
  EXPECT_THAT(replaced("\x63nan\x00"s, "\x63nan\x1a\x00\x00\xff\xff"s), HasSubstr("shortest form"));
  EXPECT_THAT(replaced("\x63nan\x00"s, "\x63nan\x1b\x00\x00\x00\x00\xff\xff\xff\xff"s),
              HasSubstr("shortest form"));
  EXPECT_THAT(replaced("\x63nan\x00"s, "\x63nan\xf9\x00\x00"s),
              HasSubstr("features[0].nan: expected an integer from 0 to 9223372036854775807, got a float"));
  EXPECT_THAT(replaced("\x63nan\x00"s, "\x63nan\xf7"s), HasSubstr("a simple value"));
  EXPECT_THAT(replaced("\x63nan\x00"s, "\x63nan\xf8\x15"s), HasSubstr("a simple value"));
  EXPECT_THAT(replaced("\x63nan\x00"s, "\x63nan\x1c"s), HasSubstr("reserved"));
  EXPECT_THAT(replaced("\x63nan\x00"s, "\x63nan\x20"s), HasSubstr("features[0].nan: "));
  EXPECT_THAT(replaced("\x63nan\x00"s, "\x63nan\x3b\xff\xff\xff\xff\xff\xff\xff\xff"s),
              HasSubstr("features[0].nan: "));
  EXPECT_THAT(replaced("\x63nan\x00"s, "\x03\x00"s), HasSubstr("a key that is no text string"));
  EXPECT_THAT(replaced("\x63nan\x00\x66neginf\x00"s, "\x66neginf\x00\x63nan\x00"s),
              HasSubstr("features[0]: the key \"nan\" is out of order"));
  EXPECT_THAT(error_of(good + "\xf6"), HasSubstr("expected the end"));
}

TEST(Utf8, Boundaries) {
  for (const char* text : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(exactnorm::is_utf8(text));
  }
  for (const char* text :
       {"\x80", "\xbf", "\xc1\xbf", "\xc3", "\xc3(", "\xe0\x9f\xbf", "\xe2\x82", "\xe2\x82(", "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_FALSE(exactnorm::is_utf8(text));
  }
}

// ---- documents made to hurt

TEST(Hostile, DeepNesting) {
  for (const char* open : {"[", "{\"features\":[", "{\"a\":"}) {
    std::string text = "{\"features\": ";
    for (int i = 0; i < 1'000'000; ++i) {
      text += open;
    }
    EXPECT_NE(error_of(text), "");
  }
  for (const char* open : {"\x81", "\xa1\x61x", "\x7f", "\x9f", "\xbf", "\xc1", "_"}) {
    std::string cbor =
        "\xa1\x68"
        "features";
    for (int i = 0; i < 1'000'000; ++i) {
      cbor += open;
    }
    EXPECT_NE(error_of(cbor), "");
  }
}

}  // namespace
