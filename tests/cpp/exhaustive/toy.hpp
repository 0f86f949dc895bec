#pragma once
/// \file
/// The schemes of kernels.hpp as formulas of the bits of a double and the rows of a panel, and a machine of
/// few bits that sums a column by them.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <utility>
#include <vector>

#include "kernels/kernels.hpp"

namespace exactnorm::kernels::toys {

using Wide = std::int64_t;
using Windows = std::array<Window, max_windows>;

// Doubles of `precision` bits, panels of 2^p rows.
struct Machine {
  int precision;
  int p;
};

enum class Kind { narrow, wide, weighted };

inline constexpr Machine real{53, 8};

// Windows of kernels.hpp in its order. Each unit is 2^(precision - 2) times finer than what the rests before
// it, half a unit each, add up to.
constexpr Windows windows_of(Kind kind, const Machine& m) {
  const auto [d, p] = m;
  const Window s{Sum::x, 1, p + 2 - d, 1.5};
  const Window rs{Sum::x, 1, 2 * p + 3 - 2 * d, 1.5};
  const Window a{Sum::squares, 2, p + 1 - d, 1.0};
  const Window r{Sum::squares, 2, 2 * p + 2 - 2 * d, 1.5};
  const Window rr{Sum::squares, 2, 3 * p + 3 - 3 * d, 1.5};
  // The errors of products are 2^d times smaller than these.
  const Window q{Sum::squares, 2, p + 2 - 2 * d, 1.5};
  const Window rq{Sum::squares, 2, 2 * p + 3 - 3 * d, 1.5};
  const Window rrq{Sum::squares, 2, 3 * p + 4 - 4 * d, 1.5};
  switch (kind) {
    case Kind::narrow:
      return {s, a, r, rs, rr};
    case Kind::wide:
      return {s, a, r, rs, q, rq, rr, rrq};
    default:
      return {s, a, r, rs, q, rq, rr, Window{Sum::weights, 0, 2 - d, 1.5}};
  }
}

// The largest E - g: the last accumulator of every sum has a unit no coarser than what it adds.
constexpr std::array<int, tiers> narrow_capacity(const Machine& m) {
  const Windows w = windows_of(Kind::narrow, m);
  return {-w[1].offset / 2, std::min(-w[0].offset, -w[2].offset / 2),
          std::min(-w[3].offset, -w[4].offset / 2)};
}
constexpr std::array<int, tiers> wide_capacity(const Machine& m) {
  const Windows w = windows_of(Kind::wide, m);
  const int bits = m.precision - 1;
  const auto spread = [&](int sum, int squares, int errors) {
    return std::min({sum - bits, (squares - bits) / 2, (errors - 2 * bits) / 2});
  };
  return {0, spread(-w[3].offset, -w[2].offset, -w[5].offset) + bits,
          spread(-w[3].offset, -w[6].offset, -w[7].offset) + bits};
}
// The largest E - m, of inputs of t bits whose products have more than d and whose weights have F - n.
constexpr int weighted_capacity(const Machine& m, int t, int weight_spread) {
  const Windows w = windows_of(Kind::weighted, m);
  const int of_products = -w[3].offset - 2 * (t - 1) - weight_spread;
  const int of_squares = std::max(-w[6].offset - (m.precision - 1), -w[6].offset - 3 * (t - 1));
  const int of_errors = -w[5].offset - 3 * (t - 1);
  return std::min(of_products, (std::min(of_squares, of_errors) - weight_spread) / 2);
}

// How far below the end of its binade the accumulator of squares must end, in its units. Let that be ε of
// 2^(2E+p). The rests, 2^p half units, may add 2^(p-d), and the errors of products 2^-d: so Σx² <= (1 - ε +
// 2^(p-d) + 2^-d) · 2^(2E+p). The room of S is 2^(E+p), and its steps take 2^p half units, that is 2^(p+1-d)
// of it; by Cauchy and Schwarz ε >= 2 · 2^(p+1-d) + 2^(p-d) + 2^-d suffices. The room of Q asks for less: its
// steps take the same share of it, but ε counts once. So ε = 6 · 2^(p-d), 2^(1-d) each.
constexpr Wide slack(const Machine& m) { return Wide{3} << m.p; }

// A row of a column; w = 1 where there are no weights.
struct Element {
  Wide w;
  Wide x;
};

// A column of a toy machine, E = F = 0. Every number is an integer times a fixed power of two: x is in units
// of 2^-point, w of 2^-weight_point, sums accordingly.
class Column {
 public:
  struct State {
    std::array<Wide, max_windows> at;  // the accumulators, by window
    Wide sum;                          // the same, exactly
    Wide squares;
    Wide weights;
  };

  Column(const Machine& machine, Kind kind, std::size_t tier, int point, int weight_point)
      : machine_(machine), kind_(kind), tier_(tier), windows_(windows_of(kind, machine)) {
    for (std::size_t i = 0; i < used(); ++i) {
      const int fine = windows_[i].sum == Sum::weights ? 0 : windows_[i].slope * point;
      const int exponent = windows_[i].offset + fine + weight_point;
      EXPECT_GE(exponent, 0) << "the toy's numbers are too coarse";
      unit_[i] = Wide{1} << exponent;
      start_[i] = (windows_[i].mantissa == 1.5 ? 3 : 2) * (unit_[i] << (machine.precision - 2));
    }
    check_below_end(slack(machine));
  }

  [[nodiscard]] State start() const {
    State state{};
    for (std::size_t i = 0; i < used(); ++i) {
      state.at[i] = is_anchored(i) ? start_[i] : 0;
    }
    return state;
  }

  // The floating-point steps of the kernels, one by one.
  void add(State& state, const Element& element) const {
    auto& at = state.at;
    const auto [w, x] = element;
    const Wide y = w * x;
    if (kind_ == Kind::narrow) {
      const Wide next = rounded(y * x + at[1]);
      if (tier_ > 0) {
        const Wide rest = rounded(y * x - rounded(next - at[1]));
        tier_ == 1 ? plain(rest, at[2]) : plain(split(rest, at[2]), at[4]);
      }
      at[1] = next;
      tier_ == 2 ? plain(split(y, at[0]), at[3]) : plain(y, at[0]);
    } else {
      plain(split(y, at[0]), at[3]);
      const Wide product = rounded(y * x);
      const Wide rest = split(product, at[1]);
      const Wide error = split(rounded(y * x - product), at[4]);
      tier_ == 1 ? plain(rest, at[2]) : plain(split(rest, at[2]), at[6]);
      tier_ == 1 || kind_ == Kind::weighted ? plain(error, at[5]) : plain(split(error, at[5]), at[7]);
      if (kind_ == Kind::weighted) {
        at[7] += rounded(w + start_[7]) - start_[7];
      }
    }
    state.sum += y;
    state.squares += y * x;
    state.weights += w;
  }

  // Where the check wants the accumulator of squares to end: so many units below the end of its binade.
  void check_below_end(Wide units) { limit_ = 2 * start_[1] - units * unit_[1]; }
  // The check of kernels.hpp.
  [[nodiscard]] bool passes(const State& state) const { return state.at[1] <= limit_; }
  // By the squares themselves, whether the check must let them pass.
  [[nodiscard]] bool must_pass(const State& state) const {
    return start_[1] + state.squares + (unit_[1] << machine_.p) / 2 <= limit_;
  }

  // What leaves the kernel is the exact sums.
  [[nodiscard]] bool right(const State& state) const {
    Wide sum = 0;
    Wide squares = 0;
    for (std::size_t i = 0; i < used(); ++i) {
      if (windows_[i].sum == Sum::weights) {
        if (state.at[i] != state.weights) {
          return false;
        }
        continue;
      }
      const std::optional<Wide> units =
          left_of(i, is_anchored(i) ? state.at[i] : rounded(state.at[i] + start_[i]));
      if (!units) {
        return false;
      }
      (windows_[i].sum == Sum::x ? sum : squares) += *units;
    }
    return sum == state.sum && squares == state.squares;
  }

 private:
  [[nodiscard]] std::size_t used() const {
    return kind_ == Kind::weighted ? 8
           : kind_ == Kind::wide   ? (tier_ == 1 ? 6 : 8)
           : tier_ == 2            ? 5
                                   : tier_ + 2;
  }
  [[nodiscard]] bool is_anchored(std::size_t i) const {
    switch (i) {
      case 0:
        return kind_ != Kind::narrow || tier_ == 2;
      case 1:
        return true;
      case 2:
        return tier_ == 2;
      case 4:
        return kind_ != Kind::narrow;
      case 5:
        return kind_ == Kind::wide && tier_ == 2;
      default:
        return false;
    }
  }
  // What the difference of bit patterns says, right only in the binade of the start or at its end.
  [[nodiscard]] std::optional<Wide> left_of(std::size_t i, Wide accumulator) const {
    const Wide lowest = unit_[i] << (machine_.precision - 1);
    if (accumulator < lowest || accumulator > 2 * lowest) {
      return {};
    }
    return accumulator - start_[i];
  }
  // To nearest even.
  [[nodiscard]] Wide rounded(Wide exact) const {
    const auto magnitude = static_cast<std::uint64_t>(exact < 0 ? -exact : exact);
    const int drop = 64 - std::countl_zero(magnitude) - machine_.precision;
    if (drop <= 0) {
      return exact;
    }
    const std::uint64_t half = std::uint64_t{1} << (drop - 1);
    const std::uint64_t odd = magnitude >> drop & 1;
    const auto result = static_cast<Wide>((magnitude + half - 1 + odd) >> drop << drop);
    return exact < 0 ? -result : result;
  }
  [[nodiscard]] Wide split(Wide y, Wide& accumulator) const {
    const Wide next = rounded(y + accumulator);
    const Wide taken = rounded(next - accumulator);
    accumulator = next;
    return rounded(y - taken);
  }
  void plain(Wide y, Wide& sum) const { sum = rounded(sum + y); }

  Machine machine_;
  Kind kind_;
  std::size_t tier_;
  Windows windows_;
  std::array<Wide, max_windows> unit_{};
  std::array<Wide, max_windows> start_{};
  Wide limit_ = 0;
};

// One toy: a machine, inputs of t bits.
struct Toy {
  Kind kind;
  std::size_t tier;
  Machine machine;
  int t = 0;
  int weight_spread = 0;  // F - n

  [[nodiscard]] int capacity() const {
    return kind == Kind::narrow ? narrow_capacity(machine)[tier]
           : kind == Kind::wide ? wide_capacity(machine)[tier] - (machine.precision - 1)
                                : weighted_capacity(machine, t, weight_spread);
  }
  // Units fine enough for numbers beyond the capacity, and for all windows.
  [[nodiscard]] int weight_point() const { return kind == Kind::weighted ? machine.precision : 0; }
  [[nodiscard]] int point() const {
    int fine = capacity() + 1 + (kind == Kind::narrow ? 0 : t - 1);
    for (const Window& w : windows_of(kind, machine)) {
      fine = w.slope == 0 ? fine : std::max(fine, (-w.offset - weight_point() + w.slope - 1) / w.slope);
    }
    return fine;
  }
  [[nodiscard]] Column column() const { return {machine, kind, tier, point(), weight_point()}; }

  friend std::ostream& operator<<(std::ostream& out, const Toy& toy) {
    return out << (toy.kind == Kind::narrow ? "narrow"
                   : toy.kind == Kind::wide ? "wide"
                                            : "weighted")
               << " tier " << toy.tier << ", " << toy.machine.precision << " bits, 2^" << toy.machine.p
               << " rows, t = " << toy.t << ", weights " << toy.weight_spread;
  }
};

// All numbers of t bits in [2^-spread, 2^above), in units of 2^-point.
inline std::vector<Wide> numbers(int t, int spread, int above, int point) {
  std::vector<Wide> all;
  for (int exponent = -spread; exponent < above; ++exponent) {
    for (Wide mantissa = Wide{1} << (t - 1); mantissa < Wide{1} << t; ++mantissa) {
      all.push_back(mantissa << (exponent + point - (t - 1)));
    }
  }
  return all;
}

// All elements of that capacity. A single x may be as large as the bound on Σx² lets it; here twice that.
inline std::vector<Element> elements(const Toy& toy, int capacity) {
  const int above = toy.machine.p / 2 + 2;
  std::vector<Wide> magnitudes;
  if (toy.kind == Kind::narrow) {
    const Wide grid = Wide{1} << (toy.point() - capacity);
    for (Wide i = 1; i < Wide{1} << (capacity + above); ++i) {
      const auto bits = static_cast<std::uint64_t>(i);
      if (bits >> std::countr_zero(bits) < std::uint64_t{1} << toy.t) {
        magnitudes.push_back(i * grid);
      }
    }
  } else {
    magnitudes = numbers(toy.t, capacity, above, toy.point());
  }
  const std::vector<Wide> weights = toy.kind == Kind::weighted
                                        ? numbers(toy.t, toy.weight_spread, 0, toy.weight_point())
                                        : std::vector<Wide>{1};
  std::vector<Element> all{{toy.kind == Kind::weighted ? 0 : 1, 0}};
  for (const Wide w : weights) {
    for (const Wide x : magnitudes) {
      all.push_back({w, x});
      all.push_back({w, -x});
    }
  }
  return all;
}

}  // namespace exactnorm::kernels::toys
