#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <optional>

#include "documents.hpp"

// Every allocation of this program is counted.
namespace {
std::atomic<std::int64_t> allocated = 0;
std::atomic<std::int64_t> peak = 0;

void* counted(void* memory) {
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  const std::int64_t now = allocated += static_cast<std::int64_t>(malloc_usable_size(memory));
  for (std::int64_t before = peak; now > before && !peak.compare_exchange_weak(before, now);) {
  }
  return memory;
}
}  // namespace

void* operator new(std::size_t size) { return counted(std::malloc(size)); }
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  void* memory = std::malloc(size);
  return memory == nullptr ? nullptr : counted(memory);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto multiple = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(multiple, (size + multiple - 1) / multiple * multiple));
}
void operator delete(void* memory) noexcept {
  allocated -= static_cast<std::int64_t>(malloc_usable_size(memory));
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept { operator delete(memory); }
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept { operator delete(memory); }
void operator delete(void* memory, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  operator delete(memory);
}

namespace {

using documents::error_of;
using exactnorm::Moments;

/// The most that was allocated at a time during the call, beyond what was before.
template <class Act>
std::int64_t peak_of(Act&& act) {
  const std::int64_t before = allocated;
  peak = before;
  act();
  return peak - before;
}

constexpr std::int64_t small = 200'000;  // rules, buffers, messages

Moments many_features() {
  constexpr std::size_t features = 50'001;
  std::vector<float> x(2 * features);
  std::vector<std::string> names(features);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(i) * 0.37F;
    names[i % features] = "a name that needs memory of its own " + std::to_string(i % features);
  }
  Moments moments({static_cast<std::int64_t>(features)}, names);
  moments.update(exactnorm::rows(x.data(), 2, features));
  return moments;
}

TEST(Memory, SavingNeedsLittleAndLoadingAtMostTheStateAgain) {
  const Moments moments = many_features();
  std::optional<Moments> copy;
  const std::int64_t state = peak_of([&] { copy = moments; });
  copy.reset();
  const auto path =
      std::filesystem::temp_directory_path() / ("exactnorm-memory-" + std::to_string(::getpid()) + ".json");
  EXPECT_LT(peak_of([&] { exactnorm::save(path, moments); }), small);
  EXPECT_LT(peak_of([&] { exactnorm::load_moments(path); }), 2 * state);
  std::filesystem::remove(path);
  const std::string cbor = exactnorm::to_cbor(moments);
  EXPECT_LT(peak_of([&] { exactnorm::moments_from_bytes(cbor); }), 2 * state);
}

TEST(Memory, NumbersInADocumentAllocateNothing) {
  using namespace std::string_literals;
  const std::string huge = "\xff\xff\xff\xff\xff\xff\xff\xff"s;
  const auto map_with = [](const std::string& key, const std::string& value) {
    return "\xa1"s + static_cast<char>(0x60 + key.size()) + key + value;
  };
  const std::vector<std::string> documents = {
      R"({"shape": [9223372036854775807], "features": [])",
      R"({"shape": [4611686018427387904], "features": [{)",
      R"({"config": {"mean": {"shape": [4611686018427387904], "values": [)",
      R"({"build": {"rank": 9223372036854775807})",
      map_with("features", "\x9b" + huge),
      map_with("names", "\x9b" + huge),
      map_with("names", "\x81{" + huge),
      map_with("digest", "[" + huge),
      "\xbb" + huge,
      "\xa1\x7b" + huge,
  };
  for (const std::string& document : documents) {
    std::string error;
    EXPECT_LT(peak_of([&] { error = error_of(document); }), small) << document;
    EXPECT_NE(error, "");
  }
}

TEST(Memory, HostileDocumentsCostASmallMultipleOfTheirSize) {
  const auto repeated = [](std::string text, const char* piece, const char* end) {
    while (text.size() < 2'000'000) {
      text += piece;
    }
    return text + end;
  };
  const std::vector<std::string> documents = {
      repeated(R"({"names": ["")", R"(,"")", "]}"),
      repeated(R"({"shape": [1)", ",1", "]}"),
      repeated(R"({"config": {"axis": [1)", ",1", "]}}"),
      repeated(R"({"config": {"mean": {"shape": [1], "values": ["1")", R"(,"1")", "]}}}"),
      repeated(R"({"readings": {"mean": ["1")", R"(,"1")", "]}}"),
      repeated(R"({"digest": ")", "x", R"("})"),
      repeated(R"({")", "x", R"(": 1})"),
      repeated(R"({"features": [)", "[", ""),
      repeated(R"({"features": [{"count": )", "1", "}]}"),
      repeated(R"({"features": [{"sum": "0x)", "1", R"(p+0"}]})"),
      repeated(R"({")", "\\u0000", R"(": 1})"),
  };
  // The most is the JSON parser's for a single long number, of which it has a few copies.
  for (const std::string& document : documents) {
    std::string error;
    EXPECT_LT(peak_of([&] { error = error_of(document); }),
              static_cast<std::int64_t>(12 * document.size()) + small)
        << document.substr(0, 60);
    EXPECT_NE(error, "");
    EXPECT_LT(error.size(), 500U);
  }
  for (const auto& c : documents::vectors("documents.json")) {
    const std::string text = c["document"];
    EXPECT_LT(peak_of([&] { error_of(c["encoding"] == "cbor" ? documents::from_hex(text) : text); }),
              static_cast<std::int64_t>(12 * text.size()) + small);
  }
}

}  // namespace
