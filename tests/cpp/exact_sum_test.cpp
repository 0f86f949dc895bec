// ExactSum against a model that is too simple to be wrong, and its canonical text.

#include <exactnorm/exact_sum.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "natural.hpp"
#include "support/model.hpp"

namespace exactnorm {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Integers whose bits are runs of ones and zeros: carries run far, and tops lack headroom.
std::uint64_t runs(std::mt19937_64& random) {
  switch (random() % 6) {
    case 0:
      return random();
    case 1:
      return ~std::uint64_t{0} << (random() % 64);
    case 2:
      return ~std::uint64_t{0} >> (random() % 64);
    case 3:
      return std::uint64_t{1} << (random() % 64);
    case 4:
      return (std::uint64_t{1} << (random() % 64)) - 1;
    default:
      return random() % 4;
  }
}

// One long random life of a sum beside its model.
void live(std::uint64_t seed, int width, int steps) {
  std::mt19937_64 random(seed);
  ExactSum sum;
  Model model;
  std::vector<std::pair<ExactSum, Model>> earlier(1);
  const int center = static_cast<int>(random() % 4000) - 2000;
  for (int step = 0; step < steps; ++step) {
    const int exponent = center + static_cast<int>(random() % static_cast<unsigned>(width)) - width / 2;
    const std::uint64_t high = runs(random);
    const std::uint64_t low = runs(random);
    switch (random() % 9) {
      case 0:
      case 1:
        sum.add(static_cast<std::int64_t>(low), exponent);
        model += Model::of(static_cast<std::int64_t>(low), exponent);
        break;
      case 2:
      case 3: {
        const bool negative = random() % 2 == 0;
        sum.add_wide(high, low, exponent, negative);
        model += Model::of(high, low, exponent, negative);
        break;
      }
      case 4: {
        const auto& [other, other_model] = earlier[random() % earlier.size()];
        sum += other;
        model += other_model;
        break;
      }
      case 5: {
        const auto& [other, other_model] = earlier[random() % earlier.size()];
        sum -= other;
        model -= other_model;
        break;
      }
      case 6:
        earlier.emplace_back(sum, model);
        break;
      case 7: {  // 0 - sum, through a move
        ExactSum negated;
        negated -= sum;
        sum = std::move(negated);
        model = -model;
        break;
      }
      default: {
        const auto& other = earlier[random() % earlier.size()].first;
        sum.reserve_for(other);
        break;
      }
    }
    ASSERT_EQ(sum.to_string(), model.to_string()) << "seed " << seed << ", step " << step;
    ASSERT_EQ(sum.sign(), model.sign());
    const auto& [other, other_model] = earlier[random() % earlier.size()];
    ASSERT_EQ(sum == other, model == other_model);
    ASSERT_EQ(sum < other, model < other_model);
    ASSERT_EQ(sum > other, other_model < model);
    ASSERT_EQ(sum <= other, !(other_model < model));
  }
}

TEST(ExactSum, LivesLikeItsModel) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    for (const int width : {1, 64, 200, 5000}) {
      live(seed, width, 50);
    }
  }
}

TEST(ExactSum, AddsAtEveryBitPosition) {
  constexpr std::uint64_t all = ~std::uint64_t{0};
  for (int exponent = -130; exponent <= 130; ++exponent) {
    for (const std::uint64_t high : {std::uint64_t{0}, std::uint64_t{1}, all >> 2, all >> 1, all}) {
      for (const std::uint64_t low : {std::uint64_t{0}, std::uint64_t{1}, all}) {
        for (const bool negative : {false, true}) {
          ExactSum sum;
          Model model;
          for (int i = 0; i < 3; ++i) {
            sum.add_wide(high, low, exponent, negative);
            model += Model::of(high, low, exponent, negative);
            sum.add_wide(high, low, exponent + 64, negative);
            model += Model::of(high, low, exponent + 64, negative);
          }
          ASSERT_EQ(sum.to_string(), model.to_string());
        }
      }
    }
  }
}

// Sums and differences whose top limbs have, or lack, room for one more bit.
TEST(ExactSum, AddsEveryTwoTops) {
  constexpr std::uint64_t top = std::uint64_t{1} << 63;
  const std::uint64_t tops[] = {1,   top / 2 - 1, top / 2,           top / 2 + 1,   top - 1,
                                top, top + 1,     top + top / 2 - 1, top + top / 2, ~std::uint64_t{0}};
  for (const std::uint64_t a : tops) {
    for (const std::uint64_t b : tops) {
      for (const int apart : {0, 64, -64, 256}) {
        for (const int signs : {0, 1, 2, 3}) {
          // Through text, so that neither has a limb to spare.
          const Model x = Model::of(1, a, 0, (signs & 1) != 0);
          const Model y = Model::of(1, b, apart, (signs & 2) != 0);
          const Model u = Model::of(0, a, 0, (signs & 1) != 0);
          const Model v = Model::of(0, b, apart, (signs & 2) != 0);
          for (const auto& [left, right] : {std::pair{x, y}, {u, v}, {x, v}, {u, y}}) {
            const ExactSum other = ExactSum::from_string(right.to_string());
            ExactSum sum = ExactSum::from_string(left.to_string());
            ExactSum difference = sum;
            sum += other;
            difference -= other;
            Model expected = left;
            ASSERT_EQ(sum.to_string(), (expected += right).to_string());
            expected = left;
            ASSERT_EQ(difference.to_string(), (expected -= right).to_string());
          }
        }
      }
    }
  }
}

TEST(ExactSum, DoublesItselfPastEveryLimb) {
  for (const std::int64_t start :
       {std::int64_t{1}, std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()}) {
    ExactSum sum = ExactSum::from_integer(start, -7);
    Model model = Model::of(start, -7);
    for (int i = 0; i < 400; ++i) {
      const ExactSum& same = sum;
      sum += same;
      model += Model(model);
      ASSERT_EQ(sum.to_string(), model.to_string());
    }
    const ExactSum& same = sum;
    sum -= same;
    EXPECT_EQ(sum, ExactSum());
  }
}

TEST(ExactSum, CarriesRunThroughAllLimbsAndBack) {
  ExactSum sum = ExactSum::from_integer(1, 5000);
  const ExactSum start = sum;
  sum.add(-1, -3000);
  EXPECT_EQ(sum.sign(), 1);
  EXPECT_LT(sum, start);
  sum.add(1, -3000);
  EXPECT_EQ(sum, start);
  sum.add(-1, 5000);
  EXPECT_EQ(sum, ExactSum());
  sum.add(-1, -3000);
  sum.add(1, -3000);
  EXPECT_EQ(sum.to_string(), "0x0p+0");
}

TEST(ExactSum, MultipliesLikeSumsOfShiftedModels) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 400; ++i) {
    ExactSum a;
    ExactSum b;
    Model product;
    std::vector<std::pair<std::int64_t, int>> parts[2];
    for (int side = 0; side < 2; ++side) {
      for (std::uint64_t n = random() % 6; n > 0; --n) {
        // 32 bits, so that the products of parts are int64.
        const auto integer = static_cast<std::int32_t>(runs(random));
        parts[side].emplace_back(integer, static_cast<int>(random() % 800) - 400);
        (side == 0 ? a : b).add(integer, parts[side].back().second);
      }
    }
    for (const auto& [x, at] : parts[0]) {
      for (const auto& [y, of] : parts[1]) {
        product += Model::of(x * y, at + of);
      }
    }
    ASSERT_EQ((a * b).to_string(), product.to_string());
    ASSERT_EQ((b * a).to_string(), product.to_string());
  }
}

TEST(ExactSum, TakesDoublesExactly) {
  EXPECT_EQ(ExactSum::from_double(0.0), ExactSum());
  EXPECT_EQ(ExactSum::from_double(-0.0), ExactSum());
  EXPECT_EQ(ExactSum::from_double(-1.5).to_string(), "-0x3p-1");
  EXPECT_EQ(ExactSum::from_double(std::numeric_limits<double>::max()).to_string(), "0x1fffffffffffffp+971");
  EXPECT_EQ(ExactSum::from_double(-std::numeric_limits<double>::denorm_min()).to_string(), "-0x1p-1074");
  EXPECT_EQ(ExactSum::from_double(std::numeric_limits<double>::min()).to_string(), "0x1p-1022");
  EXPECT_EQ(ExactSum::from_double(std::nextafter(std::numeric_limits<double>::min(), 0)).to_string(),
            "0xfffffffffffffp-1074");
}

TEST(ExactSum, TakesIntegersExactly) {
  EXPECT_EQ(ExactSum::from_integer(std::numeric_limits<std::int64_t>::min()).to_string(), "-0x1p+63");
  EXPECT_EQ(ExactSum::from_unsigned(~std::uint64_t{0}, -64).to_string(), "0xffffffffffffffffp-64");
  EXPECT_EQ(ExactSum::from_unsigned(0, 12345), ExactSum());
}

TEST(ExactSum, CopiesAndMovesKeepTheValue) {
  for (const char* text : {"0x0p+0", "-0x1p+0", "0x3p-1074", "0x1p+64"}) {
    const ExactSum small = ExactSum::from_string(text);
    ExactSum large = small;
    large.add(1, 900);
    large.add(-1, -900);
    for (const ExactSum& value : {small, large}) {
      ExactSum copy = value;
      ExactSum moved = std::move(copy);
      EXPECT_EQ(moved, value);
      EXPECT_EQ(copy, ExactSum());  // NOLINT(bugprone-use-after-move): promised to be zero and usable
      copy.add(3, 7);
      EXPECT_EQ(copy.to_string(), "0x3p+7");
      moved = value;
      moved = *&moved;
      EXPECT_EQ(moved, value);
      ExactSum& same = moved;
      moved = std::move(same);
      EXPECT_EQ(moved, value);
      copy = std::move(moved);
      EXPECT_EQ(copy, value);
    }
  }
}

TEST(ExactSum, AfterReserveNeitherSumNorDifferenceChangesTheOther) {
  ExactSum a = ExactSum::from_integer(-1);
  const ExactSum b = ExactSum::from_string("-0x8000000000000001p+448");
  a.reserve_for(b);
  EXPECT_EQ(a, ExactSum::from_integer(-1));
  a += b;
  a -= b;
  EXPECT_EQ(a, ExactSum::from_integer(-1));
  a.reserve_for(a);
  EXPECT_EQ(a, ExactSum::from_integer(-1));
}

TEST(ExactSum, RefusesToGrowBeyondItsCounters) {
  ExactSum sum = ExactSum::from_integer(1, 1 << 25);
  EXPECT_THROW(sum.add(1, 0), std::length_error);
  EXPECT_EQ(sum.to_string(), "0x1p+33554432");
  EXPECT_THROW(sum += ExactSum::from_integer(-5), std::length_error);
  EXPECT_THROW((void)(sum < ExactSum::from_integer(-5)), std::length_error);
  sum.add(1, 1 << 25);
  EXPECT_EQ(sum.to_string(), "0x1p+33554433");
}

RC_GTEST_PROP(ExactSumText, ComesBack, (std::int64_t integer, std::vector<std::int64_t> more)) {
  ExactSum sum = ExactSum::from_integer(integer, *rc::gen::inRange(-3000, 3000));
  for (const std::int64_t each : more) {
    sum.add(each, *rc::gen::inRange(-3000, 3000));
  }
  RC_ASSERT(ExactSum::from_string(sum.to_string()) == sum);
  RC_ASSERT(ExactSum::from_string(sum.to_string()).to_string() == sum.to_string());
}

TEST(ExactSumText, OfEveryShift) {
  for (int exponent = -200; exponent <= 200; ++exponent) {
    const ExactSum sum = ExactSum::from_integer(-0x123456789abcdef, exponent);
    ASSERT_EQ(sum.to_string(),
              "-0x123456789abcdef" + std::string(exponent < 0 ? "p" : "p+") + std::to_string(exponent));
    ASSERT_EQ(ExactSum::from_string(sum.to_string()), sum);
  }
}

TEST(ExactSumText, KeepsZerosInsideTheDigits) {
  ExactSum sum = ExactSum::from_integer(1, 128);
  sum.add(1, 0);
  EXPECT_EQ(sum.to_string(), "0x100000000000000000000000000000001p+0");
  EXPECT_EQ(ExactSum::from_string(sum.to_string()), sum);
}

TEST(ExactSumText, AcceptsTheCanonicalFormAlone) {
  for (const char* text :
       {"",           "0x",       "0",        "0x1",     "0x1p",     "0x1p+",    "0x1p0",     "1p+0",
        "0X1p+0",     "0x1P+0",   "0x2p+0",   "0x01p+0", "0x1p+00",  "0x1p-0",   "0x1p+01",   "0x1p-01",
        "0x1p++1",    "0x1p+-1",  "0x1p--1",  "0xAp+0",  "0xBp+0",   "-0x0p+0",  "0x0p+1",    "0x0p-1",
        "+0x1p+0",    "--0x1p+0", " 0x1p+0",  "0x1p+0 ", "0x1p+0x0", "0x1.8p+0", "0x1p+3223", "0x1p-3223",
        "0x1p+99999", "0xgp+0",   "0x1p+1e1", "0x-1p+0", "0x1p+ 1",  "nan",      "inf",       "0x1p+0\n",
        "0x1q+0",     "-",        "-0x",      "0x1p+2.0"}) {
    EXPECT_THROW((void)ExactSum::from_string(text), std::invalid_argument) << text;
  }
  EXPECT_THROW((void)ExactSum::from_string(std::string("0x1p+0\0", 7)), std::invalid_argument);
  EXPECT_NO_THROW((void)ExactSum::from_string("0x1p+3222"));
  EXPECT_NO_THROW((void)ExactSum::from_string("0x1p-3222"));
}

TEST(ExactSumText, RefusesEveryExponentOutOfRange) {
  for (const char* text : {"0x1p-2147483648", "0x1p-2147483647", "0x1p+2147483647", "0x1p+2147483648",
                           "0x1p-2147483649", "0x1p-99999999999999999999"}) {
    EXPECT_THROW((void)ExactSum::from_string(text), std::invalid_argument) << text;
  }
}

TEST(ExactSumText, HasAMaximalLength) {
  const std::string longest = "0x" + std::string(ExactSum::max_text_length - 5, 'f') + "p+0";
  ASSERT_EQ(longest.size(), ExactSum::max_text_length);
  EXPECT_EQ(ExactSum::from_string(longest).to_string(), longest);
  EXPECT_THAT([&] { (void)ExactSum::from_string("0x1" + longest.substr(2)); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("longer")));
}

TEST(ExactSumText, HoldsTheLargestSums) {
  // Σ w x², 2^63-1 times the largest and once the smallest.
  ExactSum largest = ExactSum::from_double(std::numeric_limits<double>::max());
  largest = largest * largest * largest * ExactSum::from_integer(std::numeric_limits<std::int64_t>::max());
  ExactSum smallest = ExactSum::from_double(std::numeric_limits<double>::denorm_min());
  largest += smallest * smallest * smallest;
  EXPECT_LE(largest.to_string().size(), ExactSum::max_text_length);
  EXPECT_EQ(ExactSum::from_string(largest.to_string()), largest);
  ExactSum power = ExactSum::from_integer(1, 971 * 3 + 52 * 3 + 62);
  EXPECT_EQ(ExactSum::from_string(power.to_string()), power);
}

// a = q b + r with r < b is what division means.
TEST(Natural, DividesEverything) {
  std::mt19937_64 random(2);
  const auto number = [&](std::size_t most) {
    Natural n(random() % (most + 1));
    for (std::uint64_t& limb : n) {
      limb = runs(random);
    }
    trim(n);
    return n;
  };
  const auto exact = [](const Natural& n) {
    ExactSum sum;
    for (std::size_t i = 0; i < n.size(); ++i) {
      sum.add_wide(0, n[i], static_cast<int>(64 * i));
    }
    return sum;
  };
  for (int i = 0; i < 30000; ++i) {
    Natural divisor = number(5);
    if (divisor.empty()) {
      continue;
    }
    const Natural dividend = number(8);
    Natural rest = dividend;
    const Natural quotient = divide(rest, divisor);
    ASSERT_LT(exact(rest), exact(divisor));
    ExactSum back = exact(quotient) * exact(divisor);
    back += exact(rest);
    ASSERT_EQ(back, exact(dividend));
  }
}

// The estimate of a digit is 2^64 or more, 1 too large, 2 too large, and right.
TEST(Natural, CorrectsEveryEstimateOfADigit) {
  constexpr std::uint64_t top = std::uint64_t{1} << 63;
  constexpr std::uint64_t all = ~std::uint64_t{0};
  const Natural divisors[] = {{all, top},  {0, top},   {1, top},    {all, all, top},
                              {0, 0, top}, {all, all}, {1, 0, top}, {0, all, top}};
  for (const Natural& divisor : divisors) {
    for (const Natural& quotient : {Natural{all}, Natural{all, all}, Natural{all - 1}, Natural{0, 1},
                                    Natural{top}, Natural{all, 0, all}}) {
      Natural dividend = multiply(quotient, divisor);
      Natural exactly = dividend;
      ASSERT_EQ(divide(exactly, divisor), quotient);
      ASSERT_TRUE(exactly.empty());
      // One less: the quotient one less, the remainder the largest.
      std::size_t i = 0;
      while (dividend[i]-- == 0) {
        ++i;
      }
      trim(dividend);
      Natural less = quotient;
      for (i = 0; less[i]-- == 0;) {
        ++i;
      }
      trim(less);
      ASSERT_EQ(divide(dividend, divisor), less);
      Natural largest = divisor;
      for (i = 0; largest[i]-- == 0;) {
        ++i;
      }
      trim(largest);
      ASSERT_EQ(dividend, largest);
    }
  }
}

TEST(Natural, ShiftsAndSaysWhatWasCutOff) {
  const Natural n = {0x8000000000000001, 0, 1};
  for (int bits = 0; bits <= 200; ++bits) {
    bool inexact = false;
    Natural left = shift(n, bits, inexact);
    ASSERT_FALSE(inexact);
    ASSERT_EQ(bit_length(left), 129 + bits);
    ASSERT_EQ(shift(left, -bits, inexact), n);
    ASSERT_FALSE(inexact);
    const Natural right = shift(n, -bits, inexact);
    ASSERT_EQ(inexact, bits > 0);
    ASSERT_EQ(bit_length(right), std::max(0, 129 - bits));
  }
  bool inexact = false;
  EXPECT_EQ(shift({0, 2}, -65, inexact), Natural{1});
  EXPECT_FALSE(inexact);
  EXPECT_TRUE(shift({}, 70, inexact).empty());
  EXPECT_TRUE(shift({}, -70, inexact).empty());
  EXPECT_FALSE(inexact);
}

TEST(Natural, SquareRootIsTheIntegerPart) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t root = runs(random);
    const uint128 square = static_cast<uint128>(root) * root;
    ASSERT_EQ(square_root(square), root);
    ASSERT_EQ(square_root(square + root), root);
    if (root > 0) {
      ASSERT_EQ(square_root(square - 1), root - 1);
      ASSERT_EQ(square_root(square + root + root), root);  // (root+1)² - 1
    }
  }
  EXPECT_EQ(square_root(~uint128{0}), ~std::uint64_t{0});
}

}  // namespace
}  // namespace exactnorm
