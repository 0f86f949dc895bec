// The list of instruction sets, forcing one, and EXACTNORM_TARGET.

#include <exactnorm/targets.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include <exactnorm/moments.hpp>

namespace exactnorm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string chosen() {
  std::string name;
  for (const Target& target : targets()) {
    if (target.chosen) {
      name += target.name;
    }
  }
  return name;
}

class Targets : public ::testing::Test {
 protected:
  void SetUp() override { unsetenv("EXACTNORM_TARGET"); }
  void TearDown() override {
    unsetenv("EXACTNORM_TARGET");
    force_target("");
  }
};

TEST_F(Targets, AreListedBestFirstAndPortableLast) {
  const std::vector<Target> all = targets();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.back().name, "portable");
  EXPECT_TRUE(all.back().supported);
  EXPECT_EQ(std::count_if(all.begin(), all.end(), [](const Target& t) { return t.chosen; }), 1);
  std::string ran;
  std::string lacking;
  for (const Target& target : all) {
    EXPECT_EQ(std::count_if(all.begin(), all.end(), [&](const Target& t) { return t.name == target.name; }),
              1);
    EXPECT_TRUE(target.supported || !target.chosen);
    (target.supported ? ran : lacking) += " " + target.name;
  }
  RecordProperty("supported", ran);
  RecordProperty("lacking", lacking);
  force_target("");
  EXPECT_EQ(chosen(),
            std::find_if(all.begin(), all.end(), [](const Target& t) { return t.supported; })->name);
#if defined(__x86_64__)
  EXPECT_EQ(all.size(), 3U) << "avx512, avx2, portable";
#elif defined(__aarch64__)
  EXPECT_EQ(all.front().name, "neon");
#endif
}

TEST_F(Targets, CanEachBeForced) {
  for (const Target& target : targets()) {
    if (target.supported) {
      force_target(target.name);
      EXPECT_EQ(chosen(), target.name);
    } else {
      EXPECT_THAT([&] { force_target(target.name); },
                  ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr(target.name), HasSubstr("lacks"))));
    }
  }
}

TEST_F(Targets, UnknownOnesAreRefusedWithTheList) {
  force_target("portable");
  for (const char* name : {"sse2", "AVX2", " avx2", "portable ", "x"}) {
    EXPECT_THAT([&] { force_target(name); }, ThrowsMessage<std::invalid_argument>(AllOf(
                                                 HasSubstr("target must be one of"), HasSubstr("portable"),
                                                 HasSubstr("'" + std::string(name) + "'"))));
    EXPECT_EQ(chosen(), "portable");
  }
}

TEST_F(Targets, TheEnvironmentIsTheDefault) {
  setenv("EXACTNORM_TARGET", "portable", 1);
  force_target("");
  EXPECT_EQ(chosen(), "portable");
  setenv("EXACTNORM_TARGET", "", 1);
  force_target("");
  EXPECT_NE(chosen(), "");
  setenv("EXACTNORM_TARGET", "mmx", 1);
  EXPECT_THAT([] { force_target(""); },
              ThrowsMessage<std::invalid_argument>(
                  AllOf(HasSubstr("EXACTNORM_TARGET must be one of"), HasSubstr("'mmx'"))));
}

}  // namespace
}  // namespace exactnorm
