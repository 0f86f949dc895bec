#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <random>
#include <system_error>
#include <thread>

#include "documents.hpp"

namespace {

namespace fs = std::filesystem;
using exactnorm::Moments;
using testing::HasSubstr;

class Files : public testing::Test {
 protected:
  Files()
      : folder_(fs::temp_directory_path() / ("exactnorm-test-" + std::to_string(std::random_device()()))) {
    fs::create_directory(folder_);
  }
  ~Files() override { fs::remove_all(folder_); }

  [[nodiscard]] fs::path path(const char* name) const { return folder_ / name; }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      result.push_back(entry.path().filename());
    }
    return result;
  }
  static std::string content(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  static mode_t mode(const fs::path& path) {
    struct stat status = {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return status.st_mode & 07777;
  }
  /// The message of the std::system_error, whose code must be this one.
  template <class Act>
  static std::string failure(std::errc code, Act&& act) {
    try {
      act();
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "no std::system_error";
    return {};
  }

 private:
  fs::path folder_;
};

Moments some_moments(std::size_t features = 2) {
  std::vector<float> x(3 * features);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(i % 7) * 0.1F;
  }
  Moments moments({static_cast<std::int64_t>(features)});
  moments.update(exactnorm::rows(x.data(), 3, features));
  return moments;
}

TEST_F(Files, HoldTheJsonText) {
  const Moments moments = some_moments(10'000);  // more than one piece, in writing and in reading
  exactnorm::save(path("stats.json"), moments);
  EXPECT_EQ(content(path("stats.json")), exactnorm::to_json(moments));
  EXPECT_EQ(exactnorm::load_moments(path("stats.json")), moments);
  EXPECT_THAT(names(), testing::ElementsAre("stats.json"));
}

TEST_F(Files, HoldLayers) {
  const std::vector<float> x = {1, 2, 3, 5};
  exactnorm::Normalization layer;
  layer.adapt(exactnorm::rows(x.data(), 2, 2));
  exactnorm::save(path("layer.json"), layer);
  EXPECT_EQ(content(path("layer.json")), exactnorm::to_json(layer));
  EXPECT_EQ(exactnorm::to_json(exactnorm::load_normalization(path("layer.json"))), exactnorm::to_json(layer));
  EXPECT_TRUE(std::holds_alternative<exactnorm::Normalization>(exactnorm::load(path("layer.json"))));
  EXPECT_THROW(exactnorm::load_moments(path("layer.json")), exactnorm::StateError);
}

TEST_F(Files, MayBeCbor) {
  const Moments moments = some_moments(10'000);
  std::ofstream(path("stats.cbor"), std::ios::binary) << exactnorm::to_cbor(moments);
  EXPECT_EQ(exactnorm::load_moments(path("stats.cbor")), moments);
}

TEST_F(Files, MayBePipes) {
  Moments moments = some_moments(10'000);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < moments.size(); ++i) {
    names.push_back(std::to_string(i));
  }
  moments.set_names(names);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(path("pipe")) << exactnorm::to_json(moments); });
  EXPECT_EQ(exactnorm::load_moments(path("pipe")), moments);
  writer.join();
}

TEST_F(Files, NewOnesFollowTheUmask) {
  const mode_t old = ::umask(0027);
  exactnorm::save(path("new.json"), some_moments());
  ::umask(old);
  EXPECT_EQ(mode(path("new.json")), 0640U);
}

TEST_F(Files, ReplacedOnesKeepTheirPermissions) {
  std::ofstream(path("old.json")) << "x";
  ASSERT_EQ(::chmod(path("old.json").c_str(), 0606), 0);
  exactnorm::save(path("old.json"), some_moments());
  EXPECT_EQ(mode(path("old.json")), 0606U);
  EXPECT_EQ(content(path("old.json")), exactnorm::to_json(some_moments()));
}

TEST_F(Files, SymbolicLinksStay) {
  fs::create_directory(path("elsewhere"));
  std::ofstream(path("elsewhere") / "real.json") << "x";
  fs::create_symlink("elsewhere/real.json", path("link.json"));
  exactnorm::save(path("link.json"), some_moments());
  EXPECT_TRUE(fs::is_symlink(path("link.json")));
  EXPECT_EQ(exactnorm::load_moments(path("elsewhere") / "real.json"), some_moments());
}

TEST_F(Files, RelativePaths) {
  const fs::path before = fs::current_path();
  fs::create_directory(path("here"));
  fs::current_path(path("here"));
  exactnorm::save("stats.json", some_moments());
  EXPECT_EQ(exactnorm::load_moments("stats.json"), some_moments());
  fs::current_path(before);
}

TEST_F(Files, WhatCannotBeWritten) {
  EXPECT_THAT(failure(std::errc::no_such_file_or_directory,
                      [&] { exactnorm::save(path("none") / "x.json", some_moments()); }),
              HasSubstr("none/x.json"));
  fs::create_directory(path("folder"));
  EXPECT_THAT(failure(std::errc::is_a_directory, [&] { exactnorm::save(path("folder"), some_moments()); }),
              HasSubstr("folder"));
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(failure(std::errc::invalid_argument, [&] { exactnorm::save(path("pipe"), some_moments()); }),
              HasSubstr("pipe"));
  failure(std::errc::no_such_file_or_directory, [&] { exactnorm::save("", some_moments()); });
  EXPECT_THAT(names(), testing::UnorderedElementsAre("folder", "pipe"));
}

// A full disk, as a limit on the size of files imitates it.
TEST_F(Files, AFailedWriteLeavesTheOldFileAndNothingElse) {
  exactnorm::save(path("stats.json"), some_moments());
  struct rlimit old = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  struct rlimit small = old;
  small.rlim_cur = 100'000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message =
      failure(std::errc::file_too_large, [&] { exactnorm::save(path("stats.json"), some_moments(10'000)); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, HasSubstr("stats.json"));
  EXPECT_THAT(names(), testing::ElementsAre("stats.json"));
  EXPECT_EQ(exactnorm::load_moments(path("stats.json")), some_moments());
}

TEST_F(Files, WhatCannotBeRead) {
  EXPECT_THAT(failure(std::errc::no_such_file_or_directory, [&] { exactnorm::load(path("none.json")); }),
              HasSubstr("none.json"));
  fs::create_directory(path("folder"));
  EXPECT_THAT(failure(std::errc::is_a_directory, [&] { exactnorm::load(path("folder")); }),
              HasSubstr("folder"));
}

TEST_F(Files, ErrorsNameTheFile) {
  std::ofstream(path("bad.json")) << "{\"version\": 2}";
  try {
    exactnorm::load(path("bad.json"));
    ADD_FAILURE();
  } catch (const exactnorm::StateError& error) {
    EXPECT_THAT(error.what(), HasSubstr("bad.json: version: "));
  }
  std::string text = exactnorm::to_json(some_moments(3000));
  const std::size_t at = text.find("\"digest\"");  // in a later piece of the file than the first
  text[at] = '?';
  std::ofstream(path("bad.json")) << text;
  try {
    exactnorm::load(path("bad.json"));
    ADD_FAILURE();
  } catch (const exactnorm::StateError& error) {
    EXPECT_THAT(error.what(), HasSubstr("bad.json: byte " + std::to_string(at + 1) + ": syntax error"));
  }
}

TEST_F(Files, AReaderSeesTheOldOrTheNew) {
  const Moments a = some_moments(1000);
  const Moments b = a + a;
  exactnorm::save(path("stats.json"), a);
  std::jthread writer([&](const std::stop_token& stop) {
    for (int i = 0; !stop.stop_requested(); ++i) {
      exactnorm::save(path("stats.json"), i % 2 == 0 ? b : a);
    }
  });
  for (int i = 0; i < 20; ++i) {
    const Moments seen = exactnorm::load_moments(path("stats.json"));
    EXPECT_TRUE(seen == a || seen == b);
  }
}

}  // namespace
