// Every pattern of 16 bits and of 32 bits: float16, bfloat16, float32, int16, uint16, int32, uint32.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <exactnorm/moments.hpp>

#include "decode.hpp"
#include "support/forced_target.hpp"
#include "support/oracle.hpp"

namespace exactnorm {
namespace {

// Each pattern is a feature of its own, so that no error can hide in a sum.
TEST(Patterns, EveryOneOf16Bits) {
  std::vector<std::uint16_t> all(1 << 16);
  std::iota(all.begin(), all.end(), std::uint16_t{0});
  for (const DType dtype : {DType::float16, DType::bfloat16, DType::int16, DType::uint16}) {
    const TensorView x{all.data(), dtype, {1 << 16}, {2}};
    const Moments expected = oracle::moments(x, {0});
    const Moments expected_sum = oracle::moments(x, {});
    for (const std::string& target : supported_targets()) {
      const ForcedTarget forced(target);
      Moments each({1 << 16});
      each.update(x);
      EXPECT_TRUE(oracle::same(each, expected)) << target << " " << name_of(dtype);
      Moments sum;
      sum.update(x);
      EXPECT_TRUE(oracle::same(sum, expected_sum)) << target << " " << name_of(dtype);
    }
  }
}

// Where both have it: the hardware's conversion.
TEST(Patterns, EveryFloat32IsDecodedAsTheHardwareReadsIt) {
  std::vector<double> powers;  // of 2, from -149 on; ldexp would take minutes
  for (int exponent = -149; exponent < 128; ++exponent) {
    powers.push_back(std::ldexp(1.0, exponent));
  }
  std::uint32_t pattern = 0;
  do {
    const Decoded decoded = decode<Float32>(pattern);
    const auto value = static_cast<double>(std::bit_cast<float>(pattern));
    if (std::isfinite(value)) {
      const double read =
          static_cast<double>(decoded.mantissa) * powers[static_cast<std::size_t>(decoded.exponent + 149)];
      ASSERT_EQ(decoded.kind, Kind::finite);
      ASSERT_EQ(std::bit_cast<std::uint64_t>(decoded.negative ? -read : read),
                std::bit_cast<std::uint64_t>(value))
          << pattern;
    } else {
      ASSERT_EQ(decoded.kind, std::isnan(value) ? Kind::nan : value > 0 ? Kind::posinf : Kind::neginf);
    }
  } while (++pattern != 0);
}

// Σ m and Σ m² over consecutive integers from first, by the formulas of school.
ExactSum sum_of(std::uint64_t first, std::uint64_t count) {
  ExactSum all = ExactSum::from_unsigned(count) * ExactSum::from_unsigned(2 * first + count - 1);
  return all * ExactSum::from_integer(1, -1);
}
ExactSum sum_of_squares(std::uint64_t first, std::uint64_t count) {
  __extension__ using Wide = unsigned __int128;
  const auto up_to = [](std::uint64_t n) { return static_cast<Wide>(n) * (n + 1) * (2 * n + 1) / 6; };
  const Wide squares = up_to(first + count - 1) - (first == 0 ? 0 : up_to(first - 1));
  ExactSum all;
  all.add_wide(static_cast<std::uint64_t>(squares >> 64), static_cast<std::uint64_t>(squares), 0);
  return all;
}

Moments integers(DType dtype, std::uint32_t first, std::uint64_t count) {
  const bool negative = dtype == DType::int32 && first >> 31 != 0;
  const std::uint64_t least = negative ? (std::uint64_t{1} << 32) - first - count + 1 : first;
  Feature expected;
  const ExactSum sum = sum_of(least, count);
  negative ? expected.sum -= sum : expected.sum += sum;
  expected.sumsq = sum_of_squares(least, count);
  expected.counts.finite = static_cast<std::int64_t>(count);
  return Moments::from_parts({}, {}, {expected});
}

// All features as one.
Moments total_of(const Moments& moments) {
  Moments total;
  for (const Feature& feature : moments.features()) {
    total.merge(Moments::from_parts({}, {}, {feature}));
  }
  return total;
}

// All 2^24 patterns from there on, neighbours in one column, on every target and as every dtype of 32 bits.
void check_chunk(std::uint32_t first, std::vector<std::uint32_t>& chunk) {
  std::iota(chunk.begin(), chunk.end(), first);
  const auto count = static_cast<std::int64_t>(chunk.size());
  // 16 features, of 2^20 neighbours each, one after another in time.
  const TensorView x{chunk.data(), DType::float32, {count / 16, 16}, {4, count / 4}};
  const TensorView interleaved{chunk.data(), DType::float32, {count / 16, 16}, {64, 4}};
  Feature expected;
  const std::uint32_t magnitude = first & 0x7fffffff;
  for (std::uint32_t field = magnitude >> 23; field < (magnitude >> 23) + 2; ++field) {
    constexpr std::int64_t binade = 1 << 23;
    if (field == 255) {
      expected.counts.nan += binade - 1;
      ++(first >> 31 != 0 ? expected.counts.neginf : expected.counts.posinf);
      continue;
    }
    const std::uint64_t least = field == 0 ? 0 : std::uint64_t{binade};
    const int exponent = (field == 0 ? 1 : static_cast<int>(field)) - 150;
    const ExactSum sum = sum_of(least, binade) * ExactSum::from_integer(1, exponent);
    first >> 31 != 0 ? expected.sum -= sum : expected.sum += sum;
    expected.sumsq += sum_of_squares(least, binade) * ExactSum::from_integer(1, 2 * exponent);
    expected.counts.finite += binade;
  }
  const Moments whole = Moments::from_parts({}, {}, {expected});
  for (const std::string& target : supported_targets()) {
    const ForcedTarget forced(target);
    Moments runs({16});
    runs.update(x);
    Moments lanes({16});
    lanes.update(interleaved);
    for (const Moments& moments : {runs, lanes}) {
      ASSERT_TRUE(oracle::same(total_of(moments), whole)) << target << " from " << std::hex << first;
    }
    for (const DType dtype : {DType::int32, DType::uint32}) {
      Moments moments({16});
      moments.update({chunk.data(), dtype, interleaved.shape, interleaved.strides});
      ASSERT_TRUE(oracle::same(total_of(moments), integers(dtype, first, chunk.size())))
          << target << " " << name_of(dtype) << " from " << std::hex << first;
    }
  }
}

TEST(Patterns, EveryFloat32IsSummed) {
  std::vector<std::uint32_t> chunk(1 << 24);
  std::uint32_t first = 0;
  do {
    check_chunk(first, chunk);
    if (::testing::Test::HasFatalFailure()) {
      return;
    }
  } while ((first += 1 << 24) != 0);
}

}  // namespace
}  // namespace exactnorm
