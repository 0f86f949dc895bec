// The proof in kernels.hpp, tried on floats so small that every panel can be run: with the bounds it claims
// all are right, one beyond some are wrong, and the real schemes are the same formulas at 53 bits and 2^8
// rows.

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <random>
#include <vector>

#include "kernels/kernels.hpp"

namespace exactnorm::kernels {
namespace {

using Wide = std::int64_t;

// x is in units of 2^-point, x² in units of 2^(-2·point): fine enough for all toys below, and nothing
// overflows.
constexpr int point = 16;

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
  static int length(Wide magnitude) { return 64 - std::countl_zero(static_cast<std::uint64_t>(magnitude)); }
  int precision_;
};

// A toy machine: doubles of `precision` bits, panels of 2^p rows.
struct Machine {
  int precision;
  int p;
};

// kernels.hpp's schemes as formulas; E is 0.
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

// A column of a panel.
class Panel {
 public:
  // All that a kernel keeps of a column, and what it should be.
  struct State {
    std::array<Wide, 3> accumulators;  // float32: A; float64: X, P, Q
    std::array<Wide, 3> rests;         // float32: S, R; float64: the rests of X, P, Q
    Wide sum;
    Wide squares;
  };

  Panel(const Machine& machine, Scheme scheme)
      : toy_(machine.precision), machine_(machine), scheme_(std::move(scheme)) {}

  [[nodiscard]] State start() const {
    return single() ? State{{start(1)}, {}, 0, 0} : State{{start(0), start(2), start(4)}, {}, 0, 0};
  }

  // The floating-point steps of anchored.cpp, one by one.
  void add(State& state, Wide y) const {
    auto& [accumulators, rests, sum, squares] = state;
    if (single()) {
      rests[0] = toy_.rounded(rests[0] + y);
      const Wide next = toy_.rounded(y * y + accumulators[0]);
      const Wide taken = toy_.rounded(next - accumulators[0]);
      accumulators[0] = next;
      rests[1] = toy_.rounded(rests[1] + toy_.rounded(y * y - taken));
    } else {
      rests[0] = toy_.rounded(rests[0] + split(y, accumulators[0]));
      const Wide square = toy_.rounded(y * y);
      rests[1] = toy_.rounded(rests[1] + split(square, accumulators[1]));
      rests[2] = toy_.rounded(rests[2] + split(toy_.rounded(y * y - square), accumulators[2]));
    }
    sum += y;
    squares += y * y;
  }

  // What leaves the kernel is the exact sums.
  [[nodiscard]] bool right(const State& state) const {
    const auto& [accumulators, rests, sum, squares] = state;
    const std::array<std::optional<Wide>, 6> left =
        single()
            ? std::array<std::optional<Wide>, 6>{left_plain(0, rests[0]), {0}, left_of(1, accumulators[0]),
                                                 left_plain(2, rests[1]), {0}, {0}}
            : std::array<std::optional<Wide>, 6>{left_of(0, accumulators[0]), left_plain(1, rests[0]),
                                                 left_of(2, accumulators[1]), left_plain(3, rests[1]),
                                                 left_of(4, accumulators[2]), left_plain(5, rests[2])};
    for (const auto& part : left) {
      if (!part) {
        return false;
      }
    }
    return *left[0] + *left[1] == sum && *left[2] + *left[3] + *left[4] + *left[5] == squares;
  }

 private:
  [[nodiscard]] bool single() const { return scheme_.accumulators.size() == 3; }
  [[nodiscard]] Wide unit(std::size_t i) const {
    const Accumulator& a = scheme_.accumulators[i];
    return Wide{1} << (a.offset + a.slope * point);
  }
  [[nodiscard]] Wide start(std::size_t i) const {
    const Wide two = unit(i) << (machine_.precision - 2);
    return scheme_.accumulators[i].mantissa == 1.5 ? 3 * two : 2 * two;
  }
  // What the difference of bit patterns says, right only in the binade of the start or at its end.
  [[nodiscard]] std::optional<Wide> left_of(std::size_t i, Wide accumulator) const {
    const Wide lowest = unit(i) << (machine_.precision - 1);
    if (accumulator < lowest || accumulator > 2 * lowest) {
      return {};
    }
    return accumulator - start(i);
  }
  [[nodiscard]] std::optional<Wide> left_plain(std::size_t i, Wide sum) const {
    return left_of(i, toy_.rounded(sum + start(i)));
  }
  Wide split(Wide y, Wide& accumulator) const {
    const Wide next = toy_.rounded(y + accumulator);
    const Wide taken = toy_.rounded(next - accumulator);
    accumulator = next;
    return toy_.rounded(y - taken);
  }

  Toy toy_;
  Machine machine_;
  Scheme scheme_;
};

// 0 and all ±numbers of t bits with 2^-spread <= |x| < 1, in units of 2^-point.
std::vector<Wide> inputs(int t, int spread) {
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

// Whether all panels of that many rows are right.
bool all_right(const Panel& panel, const std::vector<Wide>& values, std::size_t rows,
               const Panel::State& so_far) {
  if (rows == 0) {
    return panel.right(so_far);
  }
  for (const Wide value : values) {
    Panel::State next = so_far;
    panel.add(next, value);
    if (!all_right(panel, values, rows - 1, next)) {
      return false;
    }
  }
  return true;
}

// Whether random ones find a wrong panel.
bool some_wrong(const Panel& panel, const std::vector<Wide>& values, std::size_t rows) {
  std::mt19937_64 random(1);
  for (int panels = 0; panels < 20'000'000; ++panels) {
    // Few different values, so that errors add up.
    const std::uint64_t kinds = 1 + random() % 3;
    const Wide some[] = {values[random() % values.size()], values[random() % values.size()],
                         values[random() % values.size()]};
    Panel::State state = panel.start();
    for (std::size_t row = 0; row < rows; ++row) {
      panel.add(state, some[random() % kinds]);
    }
    if (!panel.right(state)) {
      return true;
    }
  }
  return false;
}

void expect_right_and_tight(const Machine& machine, const Scheme& scheme, int t) {
  ASSERT_GE(scheme.spread, 1);
  const Panel panel(machine, scheme);
  const std::size_t rows = std::size_t{1} << machine.p;
  EXPECT_TRUE(all_right(panel, inputs(t, scheme.spread), rows, panel.start()));
  EXPECT_TRUE(some_wrong(panel, inputs(t, scheme.spread + 1), rows)) << "smaller numbers must go wrong";
  EXPECT_TRUE(some_wrong(panel, inputs(t, scheme.spread), rows + 1)) << "a row more must go wrong";
}

struct Float32Case {
  Machine machine;
  int t;
};

class BoundsFloat32 : public ::testing::TestWithParam<Float32Case> {};

TEST_P(BoundsFloat32, HoldAndAreTight) {
  const auto [machine, t] = GetParam();
  expect_right_and_tight(machine, scheme_float32(machine, t), t);
}

INSTANTIATE_TEST_SUITE_P(Toys, BoundsFloat32,
                         ::testing::Values(Float32Case{{9, 1}, 3}, Float32Case{{12, 1}, 6},
                                           Float32Case{{10, 2}, 3}, Float32Case{{10, 2}, 4},
                                           Float32Case{{11, 2}, 5}));

class BoundsFloat64 : public ::testing::TestWithParam<Machine> {};

TEST_P(BoundsFloat64, HoldAndAreTight) {
  expect_right_and_tight(GetParam(), scheme_float64(GetParam()), GetParam().precision);
}

INSTANTIATE_TEST_SUITE_P(Toys, BoundsFloat64,
                         ::testing::Values(Machine{7, 1}, Machine{9, 1}, Machine{11, 1}, Machine{7, 2}));

}  // namespace
}  // namespace exactnorm::kernels
