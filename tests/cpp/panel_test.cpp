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
#include <type_traits>
#include <vector>

#include <exactnorm/exact_sum.hpp>

#include "column_range.hpp"
#include "fp_environment.hpp"
#include "support/sanitized.hpp"

namespace exactnorm::kernels {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class Format_, DType dtype_, std::size_t tier_>
struct Case {
  using Format = Format_;
  static constexpr DType dtype = dtype_;
  static constexpr std::size_t tier = tier_;
};

// Windows, starts and all else that a kernel wants, for columns of given exponents.
struct State {
  State(const Scheme& scheme, std::size_t tier, const std::vector<int>& exponents)
      : columns(exponents.size()), start(max_windows), window(max_windows), good(columns), smallest(columns) {
    for (std::size_t i = 0; i < scheme.window_count; ++i) {
      const Window& w = scheme.windows[i];
      for (std::size_t c = 0; c < columns; ++c) {
        start[i].push_back(std::ldexp(w.mantissa, w.slope * exponents[c] + w.offset + 52));
        window[i].push_back(static_cast<std::int64_t>(1000 * i + c));
      }
      panel.start[i] = start[i].data();
      panel.window[i] = window[i].data();
    }
    for (std::size_t c = 0; c < columns; ++c) {
      limit.push_back(start[scheme.square][c] * end_of_squares);
      from.push_back(smallest_allowed(scheme, exponents[c], tier));
      wanted.push_back(c % 7 == 6 ? 0 : -1);
    }
    nan.assign(columns, 5);
    panel.limit = limit.data();
    panel.from = from.data();
    panel.wanted = wanted.data();
    panel.smallest = smallest.data();
    panel.good = good.data();
    panel.nan = nan.data();
  }

  std::size_t columns;
  std::vector<std::vector<double>> start;
  std::vector<std::vector<std::int64_t>> window;
  std::vector<std::int64_t> good, smallest, from, wanted, nan;
  std::vector<double> limit;
  PanelColumns panel{};
};

template <class C>
class Panel : public ::testing::Test {
 public:
  using Format = typename C::Format;
  using Bits = typename Format::Bits;
  static constexpr Scheme scheme = scheme_of<Format>();
  static constexpr std::size_t columns = 3 * scheme.group;
  static constexpr int digits = Format::fraction_bits + 1;
  static constexpr int spread = scheme.capacity[C::tier] - scheme.fraction_bits;  // E - m

  // The bits of a number that the format holds; beyond its largest, of infinity.
  static Bits encode(double x) {
    const auto sign = static_cast<Bits>(std::signbit(x) ? ~Format::magnitude_mask : 0);
    constexpr auto special = static_cast<Bits>(Bits{Format::special} << Format::fraction_bits);
    x = std::fabs(x);
    if (std::isnan(x)) {
      return static_cast<Bits>(sign | special | 1);
    }
    if (x == 0) {
      return sign;
    }
    if (std::isinf(x)) {
      return static_cast<Bits>(sign | special);
    }
    int exponent = 0;
    const double mantissa = std::frexp(x, &exponent);
    const int field = exponent - 1 + Format::special / 2;
    if (field >= Format::special) {
      return static_cast<Bits>(sign | special);
    }
    if (field <= 0) {
      return static_cast<Bits>(sign | static_cast<Bits>(std::ldexp(x, Format::bias - 1)));
    }
    const auto fraction =
        static_cast<Bits>(static_cast<std::uint64_t>(std::ldexp(mantissa, digits)) & Format::fraction_mask);
    return static_cast<Bits>(sign | static_cast<Bits>(static_cast<Bits>(field) << Format::fraction_bits) |
                             fraction);
  }

  // Runs column j with exponent E[j]; element(row, column) makes the data. Checks everything that the
  // contract promises.
  void check(const std::vector<int>& exponents, std::size_t rows,
             const std::function<double(std::size_t, std::size_t)>& element) {
    constexpr std::size_t row_stride = columns + 5;
    std::vector<Bits> x(rows * row_stride);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        x[r * row_stride + c] = encode(element(r, c));
      }
    }
    for (const Compiled& target : compiled()) {
      for (const bool guarded : {false, true}) {
        if (target.supported) {
          const PanelKernels& kernels = target.table.of(C::dtype);
          SCOPED_TRACE(std::string(target.table.name) + (guarded ? ", guarded" : ""));
          check_kernel((guarded ? kernels.guarded : kernels.plain)[C::tier], guarded, exponents, x, rows,
                       row_stride);
          if (this->HasFatalFailure()) {
            return;
          }
        }
      }
    }
  }

 private:
  void check_kernel(PanelKernel kernel, bool guarded, const std::vector<int>& exponents,
                    const std::vector<Bits>& x, std::size_t rows, std::size_t row_stride) {
    State state(scheme, C::tier, exponents);
    bool all_good = false;
    {
      const FpEnvironment environment;
      all_good = kernel(x.data(), rows, static_cast<std::ptrdiff_t>(row_stride), columns, state.panel, 64);
    }
    bool expected_all_good = true;
    for (std::size_t c = 0; c < columns; ++c) {
      SCOPED_TRACE("column " + std::to_string(c) + ", E " + std::to_string(exponents[c]) + ", rows " +
                   std::to_string(rows));
      ExactSum sums[2];
      std::int64_t nan = 0;
      std::int64_t infinite = 0;
      for (std::size_t r = 0; r < rows; ++r) {
        const Decoded value = decode<Format>(x[r * row_stride + c]);
        nan += value.kind == Kind::nan ? 1 : 0;
        infinite += value.kind == Kind::posinf || value.kind == Kind::neginf ? 1 : 0;
        const ExactSum exact =
            ExactSum::from_integer(value.negative ? -static_cast<std::int64_t>(value.mantissa)
                                                  : static_cast<std::int64_t>(value.mantissa),
                                   value.exponent);
        sums[0] += exact;
        sums[1] += exact * exact;
      }
      const ColumnRange range = range_of<Format>(&x[c], rows, static_cast<std::ptrdiff_t>(row_stride));
      const int exponent = exponents[c];
      // By a hair more or less than the bound on Σx²: it is the kernel's choice.
      const bool small = sums[1] <= ExactSum::from_integer((1 << 29) - 1, 2 * exponent + 8 - 29);
      const bool large = sums[1] > ExactSum::from_integer(1, 2 * exponent + 8);
      const bool on_grid = exponent - scheme.capacity[C::tier] <= range.grid;
      const bool kinds = infinite == 0 && (guarded || nan == 0);
      const bool wanted = state.wanted[c] != 0;
      const bool good = state.good[c] != 0;
      ASSERT_TRUE(state.good[c] == 0 || state.good[c] == -1);
      if (!wanted || large || !on_grid || !kinds) {
        ASSERT_FALSE(good);
      } else if (small && !at_edge(exponent, range)) {
        ASSERT_TRUE(good);
      }
      expected_all_good &= good || !wanted;
      ASSERT_EQ(state.nan[c], 5 + (good && guarded ? nan : 0));
      for (std::size_t i = 0; i < scheme.window_count; ++i) {
        const Window& w = scheme.windows[i];
        const std::int64_t gathered = state.window[i][c] - static_cast<std::int64_t>(1000 * i + c);
        ASSERT_LE(std::abs(gathered), std::int64_t{1} << 52) << "1024 panels must fit";
        if (!good) {
          ASSERT_EQ(gathered, 0);
        }
        sums[w.sum == Sum::x ? 0 : 1] -= ExactSum::from_integer(gathered, w.slope * exponent + w.offset);
      }
      if (good) {
        ASSERT_EQ(sums[0].to_string(), "0x0p+0") << "sum";
        ASSERT_EQ(sums[1].to_string(), "0x0p+0") << "sum of squares";
      }
    }
    ASSERT_EQ(all_good, expected_all_good);
  }

  // Of float64 the scan sees the upper half: 2^m itself may be refused.
  static bool at_edge(int exponent, const ColumnRange& range) {
    return scheme.fraction_bits == 52 && range.grid == exponent - scheme.capacity[C::tier];
  }
};

using Cases = ::testing::Types<Case<Float32, DType::float32, 1>, Case<Float32, DType::float32, 2>,
                               Case<Float64, DType::float64, 1>, Case<Float64, DType::float64, 2>,
                               Case<Float16, DType::float16, 0>, Case<Float16, DType::float16, 1>,
                               Case<BFloat16, DType::bfloat16, 0>, Case<BFloat16, DType::bfloat16, 1>,
                               Case<BFloat16, DType::bfloat16, 2>>;
TYPED_TEST_SUITE(Panel, Cases);

template <class Fixture>
std::vector<int> edges() {
  constexpr int top = Fixture::Format::special / 2 + 1;  // all numbers are below 2^top
  std::vector<int> exponents;
  for (int i = 0; i < (sanitized ? 1 : 4); ++i) {
    exponents.push_back(Fixture::scheme.min_exponent + i);
    exponents.push_back(std::min(Fixture::scheme.max_exponent, top) - i);
    exponents.push_back(i * 7 - 8);
  }
  return exponents;
}

// Mantissas in [1, 2) whose squares round hard on some grid.
template <class Fixture>
std::vector<double> mantissas(std::mt19937_64& random) {
  const double ulp = std::ldexp(1.0, 1 - Fixture::digits);
  const auto cut = [&](double x) { return std::floor(x / ulp) * ulp; };
  std::vector<double> all = {1, 1 + ulp, 2 - ulp, 2 - 2 * ulp, 1.5, 1.5 + ulp, 1.5 - ulp};
  for (int i = -3; i <= 3; ++i) {
    all.push_back(cut(std::sqrt(2.0)) + i * ulp);
  }
  // Their squares leave the largest rests, up and down, on the grids of x² from coarse to fine.
  for (int grid = -44; grid <= -10; ++grid) {
    for (const double wanted : {0.4999, -0.4999}) {
      double best = 1;
      double distance = 1;
      for (int i = 0; i < (sanitized ? 20 : 200); ++i) {
        const double candidate = cut(1 + static_cast<double>(random() >> 12) * 0x1p-52);
        const double square = candidate * candidate;
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

// 256 times the same number, of either sign or in turn, with every mantissa and at every distance from 2^E,
// so that Σx² also passes its bound.
TYPED_TEST(Panel, OfOneMagnitude) {
  std::mt19937_64 random(1);
  const std::vector<double> choice = mantissas<TestFixture>(random);
  const std::vector<int> all = edges<TestFixture>();
  for (int distance = -1; distance <= this->spread + 1; distance += sanitized ? 5 : 1) {
    const int exponent = all[random() % all.size()];
    const std::size_t first = random() % choice.size();
    this->check(std::vector<int>(this->columns, exponent), panel_rows, [&](std::size_t r, std::size_t c) {
      const double value = std::ldexp(choice[(first + c) % choice.size()], exponent - distance);
      return c % 3 == 0 || (c % 3 == 1 && r % 2 == 0) ? value : -value;
    });
    if (this->HasFatalFailure()) {
      return;
    }
  }
}

// All the largest allowed, and one small number among them, first or last; then the other way round.
TYPED_TEST(Panel, OfTheLargestAndTheSmallest) {
  std::mt19937_64 random(2);
  const std::vector<double> choice = mantissas<TestFixture>(random);
  for (const int exponent : edges<TestFixture>()) {
    const std::vector<int> exponents(this->columns, exponent);
    const double largest = std::ldexp(2 - std::ldexp(1.0, 1 - this->digits), exponent - 1);
    for (const bool mostly_large : {true, false}) {
      for (const std::size_t odd_one : {std::size_t{0}, std::size_t{100}, panel_rows - 1}) {
        this->check(exponents, panel_rows, [&](std::size_t r, std::size_t c) {
          const double small = std::ldexp(choice[c % choice.size()], exponent - this->spread);
          const double large = c % 2 == 0 ? largest : std::ldexp(choice[c % choice.size()], exponent - 1);
          const double value = (r == odd_one) == mostly_large ? small : large;
          return (c / 2 + (c % 5 == 0 ? r : 0)) % 2 == 0 ? value : -value;
        });
        if (this->HasFatalFailure()) {
          return;
        }
      }
    }
  }
}

// One number alone may be as large as all 256 together.
TYPED_TEST(Panel, OfOneThatTakesAllTheRoom) {
  std::mt19937_64 random(6);
  const std::vector<double> choice = mantissas<TestFixture>(random);
  for (const int exponent : edges<TestFixture>()) {
    const std::vector<int> exponents(this->columns, exponent);
    for (const double root : {0x1.ffffp3, 0x1.0p4, 0x1.00001p4, 0x1.8p3}) {
      this->check(exponents, panel_rows, [&](std::size_t r, std::size_t c) {
        const double value = r == c ? std::ldexp(root, exponent)
                                    : std::ldexp(choice[(r + c) % choice.size()], exponent - this->spread);
        return (r + c) % 2 == 0 ? value : -value;
      });
      if (this->HasFatalFailure()) {
        return;
      }
    }
  }
}

TYPED_TEST(Panel, OfAllExponentsAndZeros) {
  std::mt19937_64 random(3);
  const std::vector<double> choice = mantissas<TestFixture>(random);
  for (int round = 0; round < (sanitized ? 10 : 60); ++round) {
    std::vector<int> exponents;
    for (std::size_t c = 0; c < this->columns; ++c) {
      const auto all = edges<TestFixture>();
      exponents.push_back(all[random() % all.size()]);
    }
    const std::size_t rows = std::vector<std::size_t>{1, 2, 16, 255, 256, 256, 256}[random() % 7];
    this->check(exponents, rows, [&](std::size_t, std::size_t c) {
      const int distance = 1 + static_cast<int>(random() % static_cast<unsigned>(this->spread));
      const double value =
          random() % 50 == 0 ? 0.0 : std::ldexp(choice[random() % choice.size()], exponents[c] - distance);
      return random() % 2 == 0 ? value : -value;
    });
    if (this->HasFatalFailure()) {
      return;
    }
  }
}

// One bad element anywhere spoils its column and no other.
TYPED_TEST(Panel, RefusesOneBeyond) {
  std::mt19937_64 random(4);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const int exponent : edges<TestFixture>()) {
    const std::vector<int> exponents(this->columns, exponent);
    const double below = std::ldexp(2 - std::ldexp(1.0, 1 - this->digits), exponent - this->spread - 1);
    for (const double bad : {std::ldexp(17.0, exponent), -std::ldexp(17.0, exponent), below, -below, nan,
                             -nan, infinity, -infinity, std::ldexp(1.0, TypeParam::Format::special / 2)}) {
      for (const std::size_t rows : {std::size_t{1}, std::size_t{3}, panel_rows}) {
        const std::size_t row = random() % rows;
        const std::size_t column = random() % this->columns;
        this->check(exponents, rows, [&](std::size_t r, std::size_t c) {
          return r == row && c == column ? bad : std::ldexp(1.0, exponent - 1 - static_cast<int>(c % 5));
        });
        if (this->HasFatalFailure()) {
          return;
        }
      }
    }
  }
}

// Where the grid is that of the subnormals there is no smallest number.
TYPED_TEST(Panel, TakesSubnormalsAtTheLeastExponents) {
  std::mt19937_64 random(5);
  if (this->scheme.finest == INT_MIN) {
    return;  // float64: refused, see above
  }
  const int exponent =
      std::max(this->scheme.finest + this->scheme.capacity[TypeParam::tier], this->scheme.min_exponent);
  for (int round = 0; round < (sanitized ? 5 : 20); ++round) {
    this->check(std::vector<int>(this->columns, exponent), panel_rows, [&](std::size_t, std::size_t c) {
      const double subnormal = std::ldexp(static_cast<double>(random() % 5), this->scheme.finest);
      const double value = c % 3 == 0   ? subnormal
                           : c % 3 == 1 ? std::ldexp(2 - std::ldexp(1.0, 1 - this->digits), exponent - 1)
                           : random() % 2 == 0
                               ? std::ldexp(static_cast<double>(random() % 1024), this->scheme.finest)
                               : 0;
      return c % 2 == 0 && random() % 2 == 0 ? -value : value;
    });
    if (this->HasFatalFailure()) {
      return;
    }
  }
}

// Integers need no bound: any bits, and all the largest ones.
template <class T>
class IntegerPanel : public ::testing::Test {};
using Integers = ::testing::Types<std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t,
                                  std::uint16_t, std::uint32_t, std::uint64_t, bool>;
TYPED_TEST_SUITE(IntegerPanel, Integers);

TYPED_TEST(IntegerPanel, IsRightForAllBits) {
  using Format = std::conditional_t<std::is_same_v<TypeParam, bool>, BooleanFormat, IntegerFormat<TypeParam>>;
  using Bits = typename Format::Bits;
  constexpr Scheme scheme = scheme_of<Format>();
  constexpr std::size_t columns = 3 * scheme.group;
  std::mt19937_64 random(1);
  for (const std::size_t rows : {std::size_t{1}, std::size_t{2}, std::size_t{255}, panel_rows}) {
    std::vector<Bits> x(rows * columns);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t column = i % columns;
      x[i] = column % 4 == 0   ? std::numeric_limits<Bits>::max()
             : column % 4 == 1 ? std::numeric_limits<Bits>::min()
                               : static_cast<Bits>(random() >> (column % 4 == 2 ? 0 : random() % 64));
    }
    for (const Compiled& target : compiled()) {
      if (!target.supported) {
        continue;
      }
      State state(scheme, scheme.first_tier(), std::vector<int>(columns, scheme.min_exponent));
      {
        const FpEnvironment environment;
        ASSERT_TRUE(target.table.of(dtype_of<TypeParam>())
                        .plain[scheme.first_tier()](x.data(), rows, columns, columns, state.panel, 64));
      }
      for (std::size_t c = 0; c < columns; ++c) {
        const bool wanted = state.wanted[c] != 0 || scheme.windows[0].mantissa == 0;  // integers sum all
        ExactSum sums[2];
        for (std::size_t r = 0; r < rows && wanted; ++r) {
          const Decoded value = decode<Format>(x[r * columns + c]);
          const ExactSum magnitude = ExactSum::from_unsigned(value.mantissa);
          (value.negative ? sums[0] -= magnitude : sums[0] += magnitude);
          sums[1] += magnitude * magnitude;
        }
        for (std::size_t i = 0; i < scheme.window_count; ++i) {
          const Window& w = scheme.windows[i];
          const std::int64_t gathered = state.window[i][c] - static_cast<std::int64_t>(1000 * i + c);
          ASSERT_LE(std::abs(gathered), std::int64_t{1} << 52);
          sums[w.sum == Sum::x ? 0 : 1] -=
              ExactSum::from_integer(gathered, w.slope * scheme.min_exponent + w.offset);
        }
        ASSERT_EQ(sums[0].to_string(), "0x0p+0")
            << target.table.name << ", column " << c << ", rows " << rows;
        ASSERT_EQ(sums[1].to_string(), "0x0p+0")
            << target.table.name << ", column " << c << ", rows " << rows;
      }
    }
  }
}

}  // namespace
}  // namespace exactnorm::kernels
