// The fast kernels against the portable one, bit by bit, on data at their bounds and beyond.

#include <exactnorm/moments.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "strided_array.hpp"
#include "support/families.hpp"
#include "support/forced_target.hpp"
#include "support/oracle.hpp"

namespace exactnorm {
namespace {

template <class T>
struct Kernels : ::testing::Test {
  using Families = families::Generator<T>;
};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Kernels, Types);

Moments learned(const std::string& target, const TensorView& x, const Axes& kept = {1}) {
  const ForcedTarget forced(target);
  Moments moments(feature_shape(x.shape, kept));
  UpdateOptions options;
  options.threads = 1;
  moments.update(x, kept, options);
  return moments;
}

std::vector<std::string> fast_targets() {
  std::vector<std::string> targets = supported_targets();
  targets.pop_back();
  return targets;
}

template <class T>
void expect_all_same(const std::vector<T>& data, std::size_t rows, std::size_t columns) {
  const TensorView x = exactnorm::rows(data.data(), rows, columns);
  const Moments portable = learned("portable", x);
  for (const std::string& target : fast_targets()) {
    ASSERT_TRUE(oracle::same(learned(target, x), portable))
        << target << ", " << rows << " rows, " << columns << " columns";
  }
}

// One less, exactly and one more than: the least rows, panels, groups of columns, folds.
constexpr std::size_t row_counts[] = {1,   2,   15,  16,  17,   31,   33,   255,  256,
                                      257, 511, 512, 513, 1023, 1024, 1025, 2047, 3000};
constexpr std::size_t column_counts[] = {1,  2,  3,  4,  5,  7,  8,  15,  16,  17,  31,  32,  33, 47,
                                         48, 49, 63, 64, 65, 80, 96, 100, 127, 255, 256, 257, 272};

TYPED_TEST(Kernels, EveryFamilyInManyShapes) {
  typename TestFixture::Families make(1);
  for (const std::string& family : TestFixture::Families::names()) {
    SCOPED_TRACE(family);
    for (int i = 0; i < 12; ++i) {
      const std::size_t rows = row_counts[make.random()() % std::size(row_counts)];
      const std::size_t columns = column_counts[make.random()() % std::size(column_counts)];
      expect_all_same(make.make(family, rows, columns), rows, columns);
      if (this->HasFatalFailure()) {
        return;
      }
    }
  }
}

// Folded rows: panels of 256 long rows, each of `fold` short ones.
TYPED_TEST(Kernels, EveryFamilyInFewLongColumns) {
  typename TestFixture::Families make(2);
  for (const std::string& family : TestFixture::Families::names()) {
    SCOPED_TRACE(family);
    for (const std::size_t columns : {1U, 3U, 5U}) {
      for (const std::size_t rows : {64U * 256U - 1, 64U * 256U + 65, 32U * 16U - 1, 32U * 16U}) {
        expect_all_same(make.make(family, rows, columns), rows, columns);
        if (this->HasFatalFailure()) {
          return;
        }
      }
    }
  }
}

TYPED_TEST(Kernels, MoreColumnsThanABlockHas) {
  typename TestFixture::Families make(3);
  for (const std::size_t columns : {4095U, 4096U, 4097U, 4096U + 16U}) {
    expect_all_same(make.make("wandering scale", 40, columns), 40, columns);
    expect_all_same(make.make("smallest allowed", 17, columns), 17, columns);
  }
}

// 1024 panels fill a window; blocks cut the rows elsewhere.
TYPED_TEST(Kernels, FullWindows) {
  constexpr std::size_t window = kernels::panel_rows * kernels::panels_per_window;
  typename TestFixture::Families make(4);
  for (const std::string family :
       {"as full as can be", "full and negative", "largest numbers", "kinds sprinkled", "wandering scale"}) {
    SCOPED_TRACE(family);
    const std::vector<TypeParam> data = make.make(family, window + 257, 16);
    for (const std::size_t rows : {window - 1, window, window + 1, window + 257}) {
      expect_all_same(data, rows, 16);
      if (this->HasFatalFailure()) {
        return;
      }
    }
  }
}

// More panels in a row as full as can be than an int64 could hold.
TYPED_TEST(Kernels, FullWindowsOneAfterAnother) {
  constexpr std::size_t rows = kernels::panel_rows * kernels::panels_per_window * 5 / 2;
  typename TestFixture::Families make(8);
  expect_all_same(make.make("as full as can be", rows, 16), rows, 16);
}

TYPED_TEST(Kernels, EveryLayout) {
  typename TestFixture::Families make(5);
  const std::vector<arrays::Layout> layouts = {
      {{1, 0}, {}, 0},     {{0, 1}, {-1, 1}, 0}, {{0, 1}, {1, -1}, 0}, {{0, 1}, {-1, -1}, 0},
      {{0, 1}, {1, 2}, 0}, {{0, 1}, {2, 1}, 0},  {{1, 0}, {2, 1}, 0},  {{1, 0}, {-1, 1}, 0},
      {{0, 1}, {}, 1},     {{0, 1}, {}, 4},      {{1, 0}, {1, -1}, 2}, {{1, 0}, {}, 4}};
  for (const std::string& family : TestFixture::Families::names()) {
    SCOPED_TRACE(family);
    for (const auto& [rows, columns] : {std::pair{300, 37}, {40, 48}, {2100, 3}}) {
      const auto data = make.make(family, static_cast<std::size_t>(rows), static_cast<std::size_t>(columns));
      std::vector<std::uint64_t> bits(data.size());
      for (std::size_t i = 0; i < data.size(); ++i) {
        std::memcpy(&bits[i], &data[i], sizeof data[i]);
      }
      const Moments expected = learned(
          "portable",
          exactnorm::rows(data.data(), static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)));
      for (const arrays::Layout& layout : layouts) {
        arrays::StridedArray array(dtype_of<TypeParam>(), {rows, columns}, layout);
        array.set_bits(bits);
        for (const std::string& target : supported_targets()) {
          ASSERT_TRUE(oracle::same(learned(target, array.view()), expected))
              << target << to_string(array.view().strides);
        }
      }
    }
  }
}

// (batch, channels, height · width): every feature is a run of its own.
TYPED_TEST(Kernels, ChannelsFirst) {
  typename TestFixture::Families make(6);
  for (const std::string& family : TestFixture::Families::names()) {
    for (const std::int64_t pixels : {63, 64, 1024, 1031, 16384}) {
      const auto data = make.make(family, static_cast<std::size_t>(2 * 3 * pixels), 1);
      const TensorView x = contiguous(data.data(), {2, 3, pixels});
      const Moments expected = learned("portable", x, {1});
      for (const std::string& target : fast_targets()) {
        ASSERT_TRUE(oracle::same(learned(target, x, {1}), expected))
            << target << " " << family << " " << pixels;
      }
    }
  }
}

// The portable path itself, element by element, on the same data.
TYPED_TEST(Kernels, ThePortableOneIsTheOracles) {
  typename TestFixture::Families make(7);
  for (const std::string& family : TestFixture::Families::names()) {
    const auto data = make.make(family, 2100, 3);
    const TensorView x = exactnorm::rows(data.data(), 2100, 3);
    ASSERT_TRUE(oracle::same(learned("portable", x), oracle::moments(x, {1}))) << family;
  }
}

}  // namespace
}  // namespace exactnorm
