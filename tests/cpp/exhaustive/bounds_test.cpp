// The proofs in kernels.hpp, tried on floats so small that every panel can be run: what the check of a panel
// lets pass is right, with one more binade of data some of it is wrong, and the real schemes are the same
// formulas at 53 bits and 2^8 rows.

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "exhaustive/toy.hpp"
#include "kernels/kernels.hpp"

namespace exactnorm::kernels {
namespace {

using toys::Column;
using toys::Element;
using toys::Kind;
using toys::real;
using toys::Toy;
using toys::Wide;
using toys::Windows;

void expect_real(const Windows& windows, std::size_t count, const Windows& formula) {
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_EQ(windows[i].sum, formula[i].sum) << i;
    EXPECT_EQ(windows[i].slope, formula[i].slope) << i;
    EXPECT_EQ(windows[i].offset, formula[i].offset) << i;
    EXPECT_EQ(windows[i].mantissa, formula[i].mantissa) << i;
  }
}

// Not every dtype has every tier.
template <class Format>
void expect_real(Kind kind, const std::array<int, tiers>& capacity) {
  constexpr Scheme scheme = scheme_of<Format>();
  const Windows formula = windows_of(kind, real);
  expect_real(scheme.windows, scheme.window_count, formula);
  EXPECT_EQ(scheme.window_count, kind == Kind::narrow ? 5U : 8U);
  EXPECT_EQ(scheme.square, 1U);
  for (std::size_t tier = 0; tier < tiers; ++tier) {
    const bool absent = Format::is_float ? tier == 0 : tier > 0;
    EXPECT_TRUE(scheme.capacity[tier] == capacity[tier] || (absent && scheme.capacity[tier] == 0)) << tier;
  }
  for (std::size_t i = 0; i < scheme.window_count; ++i) {
    // No unit is subnormal, and nothing that passes the check overflows.
    EXPECT_GE(scheme.min_exponent * formula[i].slope + formula[i].offset, -1022) << i;
    EXPECT_LE(scheme.max_exponent * formula[i].slope + formula[i].offset + 53, 1023) << i;
  }
}

TEST(Bounds, RealSchemesAreTheFormulas) {
  static_assert(panel_rows == 256);
  expect_real<Float16>(Kind::narrow, narrow_capacity(real));
  expect_real<BFloat16>(Kind::narrow, narrow_capacity(real));
  expect_real<Float32>(Kind::narrow, narrow_capacity(real));
  expect_real<IntegerFormat<std::int16_t>>(Kind::narrow, narrow_capacity(real));
  expect_real<IntegerFormat<std::uint16_t>>(Kind::narrow, narrow_capacity(real));
  expect_real<Float64>(Kind::wide, wide_capacity(real));
  EXPECT_LE(16, narrow_capacity(real)[0]);  // bits of an integer
  // 2^-30 is more than the slack: in units of the accumulator that starts at 2^52 of them.
  EXPECT_LE(slack(real), Wide{1} << (52 - 30));
  // The errors of products are no subnormals either.
  constexpr Scheme wide = scheme_of<Float64>();
  EXPECT_GE(2 * (wide.min_exponent - (wide.capacity[2] - 52)) - 104, -1074);
  // Below its least exponent a float32 is on the finest grid anyway.
  constexpr Scheme narrow = scheme_of<Float32>();
  EXPECT_EQ(narrow.min_exponent - narrow.capacity[1], narrow.finest);
  EXPECT_GE(narrow.max_exponent, 128);
  // What a panel leaves is at most 2^52 units.
  EXPECT_LE((Wide{1} << 52) * Wide{panels_per_window}, Wide{1} << 62);
}

TEST(Bounds, RealWeightedSchemeIsTheFormulas) {
  const Windows formula = windows_of(Kind::weighted, real);
  expect_real(weighted_windows, 7, formula);
  for (int weight_spread = 1; weight_spread <= max_weight_spread; ++weight_spread) {
    EXPECT_EQ(weighted_spread(weight_spread), weighted_capacity(real, 24, weight_spread)) << weight_spread;
  }
  // Weights are summed in int64, where 256 rows and 64 panels must have room, so their unit is coarser.
  const Window& weights = weighted_windows[7];
  EXPECT_GE(weights.offset, formula[7].offset);
  EXPECT_EQ(-weights.offset + 8 + 6, 62);
  EXPECT_EQ(max_weight_spread + 23, -weights.offset);
  // Normal float32 x and w: all units are normal, nothing overflows.
  for (const Window& w : weighted_windows) {
    EXPECT_GE(w.slope * -125 - 125 + w.offset, -1022);
    EXPECT_LE(w.slope * 128 + 128 + w.offset + 53, 1023);
  }
}

// Runs all panels of that many rows; what passes the check must be right, and what must pass must pass. Since
// the checked accumulator never falls, it is enough to go on from what passes.
::testing::AssertionResult all_right(const Column& column, const std::vector<Element>& values,
                                     std::size_t rows, const Column::State& so_far) {
  if (rows == 0) {
    return column.right(so_far) ? ::testing::AssertionSuccess() : ::testing::AssertionFailure() << "wrong:";
  }
  for (const Element& value : values) {
    Column::State next = so_far;
    column.add(next, value);
    if (next.at[1] < so_far.at[1]) {
      return ::testing::AssertionFailure() << "the squares fall:";
    }
    if (!column.passes(next)) {
      if (column.must_pass(next)) {
        return ::testing::AssertionFailure() << "refused:";
      }
      continue;
    }
    if (auto result = all_right(column, values, rows - 1, next); !result) {
      return result << " " << value.w << "*" << value.x;
    }
  }
  return ::testing::AssertionSuccess();
}

// Runs random panels of a few different values, so that errors add up: most of them as large as 2^E.
::testing::AssertionResult random_right(const Column& column, const std::vector<Element>& values,
                                        std::size_t rows, int panels) {
  std::mt19937_64 random(1);
  for (int panel = 0; panel < panels; ++panel) {
    const std::uint64_t kinds = 1 + random() % 4;
    std::array<Element, 4> some{};
    for (Element& each : some) {
      each = values[random() % values.size()];
    }
    std::vector<Element> used;
    Column::State state = column.start();
    for (std::size_t row = 0; row < rows; ++row) {
      Column::State next = state;
      used.push_back(some[random() % kinds]);
      column.add(next, used.back());
      if (!column.passes(next)) {
        if (column.must_pass(next)) {
          return ::testing::AssertionFailure() << "refused";
        }
        used.pop_back();
        break;  // the panel ends here
      }
      state = next;
    }
    if (!column.right(state)) {
      ::testing::AssertionResult failure = ::testing::AssertionFailure() << "wrong:";
      for (const Element& each : used) {
        failure << " " << each.w << "*" << each.x;
      }
      return failure;
    }
  }
  return ::testing::AssertionSuccess();
}

// The grid is tight.
void expect_tight(const Toy& toy) {
  EXPECT_FALSE(random_right(toy.column(), elements(toy, toy.capacity() + 1), std::size_t{1} << toy.machine.p,
                            1'000'000))
      << "smaller numbers must go wrong";
}

class EveryPanel : public ::testing::TestWithParam<Toy> {};

TEST_P(EveryPanel, IsRightOrRefused) {
  const Toy& toy = GetParam();
  ASSERT_GE(toy.capacity(), 0);
  const std::size_t rows = std::size_t{1} << toy.machine.p;
  const std::vector<Element> values = elements(toy, toy.capacity());
  Column column = toy.column();
  EXPECT_TRUE(all_right(column, values, rows, column.start()));
  expect_tight(toy);
  // The slack is somewhat more than is needed, but none is too little where anything is rounded.
  column.check_below_end(0);
  EXPECT_EQ(bool{all_right(column, values, rows, column.start())}, toy.tier == 0);
}

INSTANTIATE_TEST_SUITE_P(Narrow, EveryPanel,
                         ::testing::Values(Toy{Kind::narrow, 0, {9, 1}, 4}, Toy{Kind::narrow, 0, {10, 2}, 3},
                                           Toy{Kind::narrow, 0, {12, 2}, 4}, Toy{Kind::narrow, 1, {9, 1}, 4},
                                           Toy{Kind::narrow, 1, {14, 1}, 7}, Toy{Kind::narrow, 1, {10, 2}, 3},
                                           Toy{Kind::narrow, 1, {8, 2}, 4}, Toy{Kind::narrow, 2, {9, 1}, 4},
                                           Toy{Kind::narrow, 2, {14, 1}, 7}, Toy{Kind::narrow, 2, {8, 2}, 3},
                                           Toy{Kind::narrow, 2, {9, 2}, 3}));
INSTANTIATE_TEST_SUITE_P(Wide, EveryPanel,
                         ::testing::Values(Toy{Kind::wide, 1, {6, 1}, 6}, Toy{Kind::wide, 1, {7, 1}, 7},
                                           Toy{Kind::wide, 1, {9, 1}, 9}, Toy{Kind::wide, 2, {6, 1}, 6},
                                           Toy{Kind::wide, 2, {8, 1}, 8}, Toy{Kind::wide, 2, {9, 1}, 9},
                                           Toy{Kind::wide, 1, {6, 2}, 6}));
INSTANTIATE_TEST_SUITE_P(Weighted, EveryPanel,
                         ::testing::Values(Toy{Kind::weighted, 2, {8, 1}, 4, 1},
                                           Toy{Kind::weighted, 2, {8, 1}, 4, 3},
                                           Toy{Kind::weighted, 2, {9, 1}, 4, 3},
                                           Toy{Kind::weighted, 2, {11, 1}, 5, 1},
                                           Toy{Kind::weighted, 2, {7, 2}, 3, 1}));

// Too many to run them all.
class RandomPanels : public ::testing::TestWithParam<Toy> {};

TEST_P(RandomPanels, AreRightOrRefused) {
  const Toy& toy = GetParam();
  EXPECT_TRUE(
      random_right(toy.column(), elements(toy, toy.capacity()), std::size_t{1} << toy.machine.p, 4'000'000));
  expect_tight(toy);
}

INSTANTIATE_TEST_SUITE_P(Toys, RandomPanels,
                         ::testing::Values(Toy{Kind::narrow, 1, {17, 4}, 8}, Toy{Kind::narrow, 2, {16, 3}, 8},
                                           Toy{Kind::wide, 1, {12, 2}, 12}, Toy{Kind::wide, 2, {12, 2}, 12},
                                           Toy{Kind::wide, 1, {14, 3}, 14}, Toy{Kind::wide, 2, {13, 3}, 13},
                                           Toy{Kind::weighted, 2, {11, 2}, 5, 1},
                                           Toy{Kind::weighted, 2, {11, 2}, 5, 4},
                                           Toy{Kind::weighted, 2, {13, 3}, 6, 2}));

// Integers of k bits, E = k and g = 0, with no check: even 2^k, which no type has.
class EveryPanelOfIntegers : public ::testing::TestWithParam<Toy> {};

TEST_P(EveryPanelOfIntegers, IsRight) {
  const Toy& toy = GetParam();
  Column column = toy.column();
  column.check_below_end(-(Wide{1} << toy.machine.precision));
  std::vector<Element> values;
  for (Wide x = -(Wide{1} << toy.capacity()); x <= Wide{1} << toy.capacity(); ++x) {
    values.push_back({1, x << (toy.point() - toy.capacity())});
  }
  EXPECT_TRUE(all_right(column, values, std::size_t{1} << toy.machine.p, column.start()));
}

INSTANTIATE_TEST_SUITE_P(Toys, EveryPanelOfIntegers,
                         ::testing::Values(Toy{Kind::narrow, 0, {12, 1}}, Toy{Kind::narrow, 0, {11, 2}},
                                           Toy{Kind::narrow, 1, {12, 1}}, Toy{Kind::narrow, 1, {9, 2}}));

}  // namespace
}  // namespace exactnorm::kernels
