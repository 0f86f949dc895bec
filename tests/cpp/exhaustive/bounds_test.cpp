// The proof in kernels.hpp, tried on floats so small that every panel can be run: with the bounds it claims
// all are right, one beyond some are wrong, and the real schemes are the same formulas at 53 bits and 2^8
// rows.

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <random>
#include <vector>

#include "kernels/kernels.hpp"

namespace exactnorm::kernels {
namespace {

__extension__ using Wide = __int128;

// A float of `precision` bits, rounded to nearest even, exponents without end: integer · 2^scale with one
// scale for all.
class Toy {
 public:
  explicit Toy(int precision) : precision_(precision) {}

  [[nodiscard]] Wide rounded(Wide exact) const {
    const bool negative = exact < 0;
    const Wide magnitude = negative ? -exact : exact;
    const int drop = length(magnitude) - precision_;
    if (drop <= 0) {
      return exact;
    }
    const Wide kept = magnitude >> drop;
    const Wide rest = magnitude - (kept << drop);
    const Wide half = Wide{1} << (drop - 1);
    const Wide result = (kept + (rest > half || (rest == half && (kept & 1) != 0) ? 1 : 0)) << drop;
    return negative ? -result : result;
  }

 private:
  static int length(Wide magnitude) {
    const auto high = static_cast<std::uint64_t>(magnitude >> 64);
    return high != 0 ? 128 - std::countl_zero(high)
                     : 64 - std::countl_zero(static_cast<std::uint64_t>(magnitude));
  }
  int precision_;
};

// A toy machine: doubles of `precision` bits, panels of 2^p rows.
struct Machine {
  int precision;
  int p;

  [[nodiscard]] int window_bits() const {
    return precision - 2;
  }  // an accumulator that starts in the middle holds ± this many
};

// kernels.hpp's schemes as formulas; where the bits after the point begin is `point`, so E = 0 lies there.
struct Scheme {
  std::vector<Accumulator> accumulators;
  int spread;
};

// float32: inputs of t bits that a double holds exactly. S is the tightest: p + E - g bits.
Scheme scheme_float32(const Machine& m, int t) {
  const int grid = -(m.precision - 2 - m.p);
  return {{{1, grid, 1.5}, {2, m.p - (m.precision - 1), 1.0}, {2, 2 * grid, 1.5}}, -grid - (t - 1)};
}

// float64: inputs of full precision. The rests of x² are the tightest: 2p + 2·spread - 1 bits.
Scheme scheme_float64(const Machine& m) {
  const int d = m.precision;
  const int spread = (d - 1 - 2 * m.p) / 2;
  return {{{1, m.p + 2 - d, 1.5},
           {1, -spread - (d - 1), 1.5},
           {2, m.p - (d - 1), 1.0},
           {2, -2 * spread - (d - 1), 1.5},
           {2, m.p - 2 * d + 1, 1.5},
           {2, -2 * spread - 2 * (d - 1), 1.5}},
          spread};
}

template <class T>
void expect_real(const Scheme& scheme) {
  ASSERT_EQ(scheme.accumulators.size(), Anchored<T>::count);
  for (std::size_t i = 0; i < Anchored<T>::count; ++i) {
    EXPECT_EQ(scheme.accumulators[i].slope, Anchored<T>::accumulators[i].slope) << i;
    EXPECT_EQ(scheme.accumulators[i].offset, Anchored<T>::accumulators[i].offset) << i;
    EXPECT_EQ(scheme.accumulators[i].mantissa, Anchored<T>::accumulators[i].mantissa) << i;
  }
  EXPECT_EQ(scheme.spread, Anchored<T>::spread);
}

TEST(Bounds, RealSchemesAreTheFormulas) {
  const Machine machine{53, 8};
  static_assert(panel_rows == 256);
  expect_real<float>(scheme_float32(machine, 24));
  expect_real<double>(scheme_float64(machine));
  // Subnormals and infinity stay away. float64: the finest unit is a normal number, the last x² is finite.
  EXPECT_EQ(2 * Anchored<double>::min_exponent + Anchored<double>::accumulators[5].offset, -1022);
  EXPECT_LE(2 * Anchored<double>::max_exponent + 9, 1023);
  // float32: below 2^min_exponent the grid of S is that of the subnormals.
  EXPECT_EQ(Anchored<float>::min_exponent + Anchored<float>::accumulators[0].offset, -149);
  EXPECT_LE((std::int64_t{1} << 52) * static_cast<std::int64_t>(panels_per_window), std::int64_t{1} << 62);
}

// Everything below is in units of 2^(-2·point) for x² and 2^-point for x.
class Panel {
 public:
  Panel(const Machine& machine, Scheme scheme, int point)
      : toy_(machine.precision), machine_(machine), scheme_(std::move(scheme)), point_(point) {}

  // What the kernel gathers equals the exact sums, in the units it leaves in.
  [[nodiscard]] bool right(const std::vector<Wide>& x) const {
    return scheme_.accumulators.size() == 3 ? right32(x) : right64(x);
  }

 private:
  [[nodiscard]] Wide unit(std::size_t i) const {
    const Accumulator& a = scheme_.accumulators[i];
    return Wide{1} << (a.offset + (a.slope == 1 ? point_ : 2 * point_));
  }
  [[nodiscard]] Wide start(std::size_t i) const {
    const Wide two = unit(i) << (machine_.precision - 2);
    return scheme_.accumulators[i].mantissa == 1.5 ? 3 * two : 2 * two;
  }
  // What the difference of bit patterns says: units of the binade that the start is in, right only there (or
  // at its end).
  [[nodiscard]] std::optional<Wide> left(std::size_t i, Wide accumulator) const {
    const Wide lowest = unit(i) << (machine_.precision - 1);
    if (accumulator < lowest || accumulator > 2 * lowest) {
      return {};
    }
    return accumulator - start(i);
  }
  [[nodiscard]] std::optional<Wide> left_plain(std::size_t i, Wide sum) const {
    return left(i, toy_.rounded(sum + start(i)));
  }

  // The floating-point steps of anchored.cpp, one by one.
  Wide split(Wide y, Wide& accumulator) const {
    const Wide next = toy_.rounded(y + accumulator);
    const Wide taken = toy_.rounded(next - accumulator);
    accumulator = next;
    return toy_.rounded(y - taken);
  }

  [[nodiscard]] bool right32(const std::vector<Wide>& x) const {
    Wide s = 0;
    Wide r = 0;
    Wide a = start(1);
    Wide sum = 0;
    Wide squares = 0;
    for (const Wide y : x) {
      s = toy_.rounded(s + y);
      const Wide next = toy_.rounded(y * y + a);
      const Wide taken = toy_.rounded(next - a);
      a = next;
      r = toy_.rounded(r + toy_.rounded(y * y - taken));
      sum += y;
      squares += y * y;
    }
    const auto gathered = left_plain(0, s);
    const auto coarse = left(1, a);
    const auto fine = left_plain(2, r);
    return gathered && coarse && fine && *gathered == sum && *coarse + *fine == squares;
  }

  [[nodiscard]] bool right64(const std::vector<Wide>& x) const {
    std::array<Wide, 3> accumulators = {start(0), start(2), start(4)};
    std::array<Wide, 3> rests = {};
    Wide sum = 0;
    Wide squares = 0;
    for (const Wide y : x) {
      rests[0] = toy_.rounded(rests[0] + split(y, accumulators[0]));
      const Wide square = toy_.rounded(y * y);
      rests[1] = toy_.rounded(rests[1] + split(square, accumulators[1]));
      rests[2] = toy_.rounded(rests[2] + split(toy_.rounded(y * y - square), accumulators[2]));
      sum += y;
      squares += y * y;
    }
    Wide gathered[2] = {};
    for (std::size_t i = 0; i < 3; ++i) {
      const auto coarse = left(2 * i, accumulators[i]);
      const auto fine = left_plain(2 * i + 1, rests[i]);
      if (!coarse || !fine) {
        return false;
      }
      gathered[i == 0 ? 0 : 1] += *coarse + *fine;
    }
    return gathered[0] == sum && gathered[1] == squares;
  }

  Toy toy_;
  Machine machine_;
  Scheme scheme_;
  int point_;
};

// 0 and all ±numbers of t bits with 2^-spread <= |x| < 1, in units of 2^-point.
std::vector<Wide> inputs(int t, int spread, int point) {
  std::vector<Wide> all = {0};
  for (int distance = 1; distance <= spread; ++distance) {
    for (Wide mantissa = Wide{1} << (t - 1); mantissa < Wide{1} << t; ++mantissa) {
      const Wide value = mantissa << (point - distance - (t - 1));
      all.push_back(value);
      all.push_back(-value);
    }
  }
  return all;
}

// How many of all panels of up to 2^p rows are wrong; stops at `enough`.
std::int64_t wrong_of_all(const Panel& panel, const std::vector<Wide>& values, std::size_t rows,
                          std::int64_t enough) {
  std::int64_t wrong = 0;
  std::vector<Wide> x(rows);
  const std::function<void(std::size_t)> choose = [&](std::size_t row) {
    if (row == rows) {
      wrong += panel.right(x) ? 0 : 1;
      return;
    }
    for (const Wide value : values) {
      x[row] = value;
      choose(row + 1);
      if (wrong >= enough) {
        return;
      }
    }
  };
  choose(0);
  return wrong;
}

std::int64_t wrong_of_random(const Panel& panel, const std::vector<Wide>& values, std::size_t rows,
                             std::int64_t panels, std::int64_t enough) {
  std::mt19937_64 random(1);
  std::int64_t wrong = 0;
  std::vector<Wide> x(rows);
  for (; panels > 0 && wrong < enough; --panels) {
    // Few different values, so that errors add up.
    const std::uint64_t kinds = 1 + random() % 3;
    const Wide some[] = {values[random() % values.size()], values[random() % values.size()],
                         values[random() % values.size()]};
    for (Wide& value : x) {
      value = some[random() % kinds];
    }
    wrong += panel.right(x) ? 0 : 1;
  }
  return wrong;
}

constexpr int point = 24;
constexpr std::int64_t any = 1;

struct Float32Case {
  Machine machine;
  int t;
};

class BoundsFloat32 : public ::testing::TestWithParam<Float32Case> {};

TEST_P(BoundsFloat32, HoldAndAreTight) {
  const auto [machine, t] = GetParam();
  const Scheme scheme = scheme_float32(machine, t);
  ASSERT_GE(scheme.spread, 1);
  const Panel panel(machine, scheme, point);
  const std::size_t rows = std::size_t{1} << machine.p;
  EXPECT_EQ(wrong_of_all(panel, inputs(t, scheme.spread, point), rows, any), 0);
  EXPECT_EQ(wrong_of_random(panel, inputs(t, scheme.spread + 1, point), rows, 20'000'000, any), any)
      << "one beyond";
  EXPECT_EQ(wrong_of_random(panel, inputs(t, scheme.spread, point), rows + 1, 20'000'000, any), any)
      << "a row beyond";
}

INSTANTIATE_TEST_SUITE_P(Toys, BoundsFloat32,
                         ::testing::Values(Float32Case{{10, 2}, 4}, Float32Case{{10, 2}, 3},
                                           Float32Case{{9, 1}, 3}, Float32Case{{12, 1}, 6},
                                           Float32Case{{11, 2}, 5}, Float32Case{{9, 3}, 3}));

class BoundsFloat64 : public ::testing::TestWithParam<Machine> {};

TEST_P(BoundsFloat64, HoldAndAreTight) {
  const Machine machine = GetParam();
  const Scheme scheme = scheme_float64(machine);
  ASSERT_GE(scheme.spread, 1);
  const Panel panel(machine, scheme, point);
  const std::size_t rows = std::size_t{1} << machine.p;
  EXPECT_EQ(wrong_of_all(panel, inputs(machine.precision, scheme.spread, point), rows, any), 0);
  EXPECT_EQ(
      wrong_of_random(panel, inputs(machine.precision, scheme.spread + 1, point), rows, 20'000'000, any), any)
      << "one beyond";
  EXPECT_EQ(
      wrong_of_random(panel, inputs(machine.precision, scheme.spread, point), rows + 1, 20'000'000, any), any)
      << "a row beyond";
}

INSTANTIATE_TEST_SUITE_P(Toys, BoundsFloat64,
                         ::testing::Values(Machine{7, 1}, Machine{9, 1}, Machine{11, 1}, Machine{7, 2}));

}  // namespace
}  // namespace exactnorm::kernels
