// One call of a panel kernel, at the bounds that kernels.hpp claims and one beyond: it is right, or says that
// it failed.

#include "kernels/kernels.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <exactnorm/exact_sum.hpp>

#include "fp_environment.hpp"

namespace exactnorm::kernels {
namespace {

template <class T>
class Panel : public ::testing::Test {
 protected:
  using Scheme = Anchored<T>;
  using Bits = typename Scheme::Bits;
  using Unsigned = std::make_unsigned_t<Bits>;
  static constexpr std::size_t columns = 3 * column_group;
  static constexpr T limit = std::numeric_limits<T>::infinity();
  static constexpr Bits magnitude = std::numeric_limits<Bits>::max();

  static T power(int exponent) { return std::ldexp(T{1}, exponent); }
  static Bits bits(T x) { return std::bit_cast<Bits>(x) & magnitude; }
  // 2^E as magnitude bits; beyond the largest number those of infinity.
  static Bits bound(int exponent) { return bits(power(exponent)); }
  static int smallest_exponent(int exponent) { return exponent - Scheme::spread; }
  static bool bounded(int exponent) { return Scheme::bounded_below || exponent > Scheme::min_exponent; }

  // Runs column j with exponent E[j]; element(row, column) makes the data. Checks everything that the
  // contract promises.
  void check(const std::vector<int>& exponents, std::size_t rows,
             const std::function<T(std::size_t, std::size_t)>& element) {
    constexpr std::size_t row_stride = columns + 5;
    std::vector<T> x(rows * row_stride);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        x[r * row_stride + c] = element(r, c);
      }
    }
    for (const Compiled& target : compiled()) {
      if (target.supported) {
        check_target(target.table, exponents, x, rows, row_stride);
      }
    }
  }

 private:
  void check_target(const Table& table, const std::vector<int>& exponents, const std::vector<T>& x,
                    std::size_t rows, std::size_t row_stride) {
    std::vector<double> start[Scheme::count];
    std::vector<std::int64_t> window[Scheme::count];
    std::vector<Bits> below(columns);
    std::vector<Bits> from(columns);
    std::vector<Bits> largest(columns);
    std::vector<Bits> good(columns);
    PanelColumns<T> state{{}, {}, below.data(), from.data(), largest.data(), good.data()};
    for (std::size_t i = 0; i < Scheme::count; ++i) {
      const Accumulator& a = Scheme::accumulators[i];
      for (std::size_t c = 0; c < columns; ++c) {
        start[i].push_back(std::ldexp(a.mantissa, a.slope * exponents[c] + a.offset + 52));
        window[i].push_back(static_cast<std::int64_t>(1000 * i + c));
      }
      state.start[i] = start[i].data();
      state.window[i] = window[i].data();
    }
    for (std::size_t c = 0; c < columns; ++c) {
      below[c] = bound(exponents[c]);
      const Bits smallest = bounded(exponents[c]) ? bits(power(smallest_exponent(exponents[c]))) : 1;
      from[c] = std::bit_cast<Bits>(static_cast<Unsigned>(smallest) + static_cast<Unsigned>(magnitude));
    }
    bool all_good = false;
    {
      const FpEnvironment environment;
      all_good = kernel_of<T>(table)(x.data(), rows, static_cast<std::ptrdiff_t>(row_stride), columns, state);
    }
    bool expected_all_good = true;
    for (std::size_t c = 0; c < columns; ++c) {
      Bits most = 0;
      bool allowed = true;
      ExactSum sums[2];
      for (std::size_t r = 0; r < rows; ++r) {
        const T value = x[r * row_stride + c];
        const Bits at = bits(value);
        most = std::max(most, at);
        allowed &= at < below[c] &&
                   (at == 0 || !bounded(exponents[c]) || at >= bits(power(smallest_exponent(exponents[c]))));
        if (std::isfinite(value)) {
          const ExactSum exact = ExactSum::from_double(static_cast<double>(value));
          sums[0] += exact;
          sums[1] += exact * exact;
        }
      }
      SCOPED_TRACE(std::string(table.name) + ", column " + std::to_string(c) + ", E " +
                   std::to_string(exponents[c]) + ", rows " + std::to_string(rows));
      expected_all_good &= allowed;
      ASSERT_EQ(good[c], allowed ? -1 : 0);
      ASSERT_EQ(largest[c], most);
      for (std::size_t i = 0; i < Scheme::count; ++i) {
        const Accumulator& a = Scheme::accumulators[i];
        const std::int64_t gathered = window[i][c] - static_cast<std::int64_t>(1000 * i + c);
        ASSERT_LE(std::abs(gathered), std::int64_t{1} << 52) << "1024 panels must fit";
        if (!allowed) {
          ASSERT_EQ(gathered, 0);
        }
        sums[a.slope - 1] -= ExactSum::from_integer(gathered, a.slope * exponents[c] + a.offset);
      }
      if (allowed) {
        ASSERT_EQ(sums[0].to_string(), "0x0p+0") << "sum";
        ASSERT_EQ(sums[1].to_string(), "0x0p+0") << "sum of squares";
      }
    }
    ASSERT_EQ(all_good, expected_all_good);
  }
};

using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Panel, Types);

template <class T>
std::vector<int> edges() {
  using Scheme = Anchored<T>;
  std::vector<int> exponents;
  for (int i = 0; i < 4; ++i) {
    exponents.push_back(Scheme::min_exponent + i);
    exponents.push_back(Scheme::max_exponent - i);
    exponents.push_back(i * 7 - 8);
  }
  return exponents;
}

// Mantissas in [1, 2) whose squares round hard on some grid.
template <class T>
std::vector<T> mantissas(std::mt19937_64& random) {
  constexpr T ulp = std::numeric_limits<T>::epsilon();
  std::vector<T> all = {1, 1 + ulp, 2 - ulp, 2 - 2 * ulp, T{1.5}, T{1.5} + ulp, T{1.5} - ulp};
  const T root = std::sqrt(T{2});
  for (int i = -3; i <= 3; ++i) {
    all.push_back(root + static_cast<T>(i) * ulp);
  }
  // Their squares leave the largest rests, up and down, on the grids of x² from coarse to fine.
  for (int grid = -44; grid <= -10; ++grid) {
    for (const double wanted : {0.4999, -0.4999}) {
      T best = 1;
      double distance = 1;
      for (int i = 0; i < 200; ++i) {
        const T candidate = 1 + static_cast<T>(static_cast<double>(random() >> 12) * 0x1p-52);
        const double square = static_cast<double>(candidate) * static_cast<double>(candidate);
        const double rest = std::remainder(square, std::ldexp(1.0, grid)) / std::ldexp(1.0, grid);
        if (candidate < 2 && std::fabs(rest - wanted) < distance) {
          distance = std::fabs(rest - wanted);
          best = candidate;
        }
      }
      all.push_back(best);
    }
  }
  return all;
}

// 256 times the same number, of either sign or in turn, with every mantissa and at every allowed distance
// from 2^E.
TYPED_TEST(Panel, OfOneMagnitude) {
  using T = TypeParam;
  std::mt19937_64 random(1);
  const std::vector<T> choice = mantissas<T>(random);
  for (const int exponent : edges<T>()) {
    const std::vector<int> exponents(this->columns, exponent);
    for (int distance = 1; distance <= Anchored<T>::spread; ++distance) {
      const std::size_t first = random() % choice.size();
      this->check(exponents, panel_rows, [&](std::size_t r, std::size_t c) {
        const T value = choice[(first + c) % choice.size()] * this->power(exponent - distance);
        return c % 3 == 0 || (c % 3 == 1 && r % 2 == 0) ? value : -value;
      });
      if (this->HasFatalFailure()) {
        return;
      }
    }
  }
}

// All the largest allowed, and one small number among them, first or last; then the other way round.
TYPED_TEST(Panel, OfTheLargestAndTheSmallest) {
  using T = TypeParam;
  std::mt19937_64 random(2);
  const std::vector<T> choice = mantissas<T>(random);
  for (const int exponent : edges<T>()) {
    const std::vector<int> exponents(this->columns, exponent);
    const T largest = this->power(exponent - 1) * (2 - std::numeric_limits<T>::epsilon());
    for (const bool mostly_large : {true, false}) {
      for (const std::size_t odd_one : {std::size_t{0}, std::size_t{100}, panel_rows - 1}) {
        this->check(exponents, panel_rows, [&](std::size_t r, std::size_t c) {
          const T small = choice[c % choice.size()] * this->power(this->smallest_exponent(exponent));
          const T large = c % 2 == 0 ? largest : choice[c % choice.size()] * this->power(exponent - 1);
          const T value = (r == odd_one) == mostly_large ? small : large;
          return (c / 2 + (c % 5 == 0 ? r : 0)) % 2 == 0 ? value : -value;
        });
        if (this->HasFatalFailure()) {
          return;
        }
      }
    }
  }
}

TYPED_TEST(Panel, OfAllExponentsAndZeros) {
  using T = TypeParam;
  std::mt19937_64 random(3);
  const std::vector<T> choice = mantissas<T>(random);
  for (int round = 0; round < 60; ++round) {
    std::vector<int> exponents;
    for (std::size_t c = 0; c < this->columns; ++c) {
      const auto all = edges<T>();
      exponents.push_back(all[random() % all.size()]);
    }
    const std::size_t rows = std::vector<std::size_t>{1, 2, 16, 255, 256, 256, 256}[random() % 7];
    this->check(exponents, rows, [&](std::size_t, std::size_t c) {
      const int distance = 1 + static_cast<int>(random() % static_cast<unsigned>(Anchored<T>::spread));
      const T value =
          random() % 50 == 0 ? T{0} : choice[random() % choice.size()] * this->power(exponents[c] - distance);
      return random() % 2 == 0 ? value : -value;
    });
    if (this->HasFatalFailure()) {
      return;
    }
  }
}

// One bad element anywhere spoils its column and no other.
TYPED_TEST(Panel, RefusesOneBeyond) {
  using T = TypeParam;
  std::mt19937_64 random(4);
  for (const int exponent : edges<T>()) {
    const std::vector<int> exponents(this->columns, exponent);
    const T smallest = this->power(this->smallest_exponent(exponent));
    for (const T bad : {this->power(exponent), -this->power(exponent), std::nextafter(smallest, T{0}),
                        -std::nextafter(smallest, T{0}), std::numeric_limits<T>::denorm_min(),
                        std::numeric_limits<T>::quiet_NaN(), -std::numeric_limits<T>::quiet_NaN(),
                        this->limit, -this->limit, std::numeric_limits<T>::max()}) {
      for (const std::size_t rows : {std::size_t{1}, std::size_t{3}, panel_rows}) {
        const std::size_t row = random() % rows;
        const std::size_t column = random() % this->columns;
        this->check(exponents, rows, [&](std::size_t r, std::size_t c) {
          return r == row && c == column ? bad : this->power(exponent - 1 - static_cast<int>(c % 5));
        });
        if (this->HasFatalFailure()) {
          return;
        }
      }
    }
  }
}

// Every float32 below 2^-106 is a multiple of the grid, subnormals too.
TEST(PanelFloat32, TakesSubnormalsAtTheLeastExponent) {
  struct Least : Panel<float> {
    void TestBody() override {
      std::mt19937_64 random(5);
      for (int round = 0; round < 20; ++round) {
        check(std::vector<int>(columns, Scheme::min_exponent), panel_rows, [&](std::size_t, std::size_t c) {
          const auto top = std::bit_cast<std::uint32_t>(power(Scheme::min_exponent));
          const auto pattern = static_cast<std::uint32_t>(c % 3 == 0   ? random() % 5
                                                          : c % 3 == 1 ? top - 1 - random() % 3
                                                                       : random() % top);
          const float value = std::bit_cast<float>(pattern);
          return c % 2 == 0 && random() % 2 == 0 ? -value : value;
        });
      }
    }
  } test;
  test.TestBody();
}

}  // namespace
}  // namespace exactnorm::kernels
