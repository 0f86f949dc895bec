// Every run of every target gives the bits of a plain loop: all pairs of dtypes, any length and alignment, in
// place, past the caches.

#include "kernels/apply_kernels.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include <exactnorm/normalizer.hpp>

#include "half.hpp"
#include "strided_array.hpp"
#include "support/forced_target.hpp"

namespace exactnorm {
namespace {

using kernels::Direction;
using kernels::Traffic;

template <class T>
T bits_as(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
T decoded(DType dtype, std::uint64_t bits) {
  switch (dtype) {
    case DType::float16:
      return to_float(static_cast<float16_bits>(bits));
    case DType::bfloat16:
      return to_float(static_cast<bfloat16_bits>(bits));
    case DType::float32:
      return static_cast<T>(bits_as<float>(bits));
    case DType::float64:
      return static_cast<T>(bits_as<double>(bits));
    case DType::int8:
      return static_cast<T>(bits_as<std::int8_t>(bits));
    case DType::int16:
      return static_cast<T>(bits_as<std::int16_t>(bits));
    case DType::int32:
      return static_cast<T>(bits_as<std::int32_t>(bits));
    case DType::int64:
      return static_cast<T>(bits_as<std::int64_t>(bits));
    case DType::boolean:
      return static_cast<T>(bits != 0 ? 1 : 0);
    default:
      return static_cast<T>(bits);
  }
}

template <class T>
std::uint64_t encoded(DType dtype, T value) {
  switch (dtype) {
    case DType::float16:
      return static_cast<std::uint64_t>(to_half<float16_bits>(value));
    case DType::bfloat16:
      return static_cast<std::uint64_t>(to_half<bfloat16_bits>(value));
    case DType::float32:
      return std::bit_cast<std::uint32_t>(static_cast<float>(value));
    default:
      return std::bit_cast<std::uint64_t>(static_cast<double>(value));
  }
}

class Random {
 public:
  std::uint64_t operator()() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return state_ >> 24 ^ state_ << 40;
  }

 private:
  std::uint64_t state_ = 1;
};

// Any bits, or numbers whose results a half can hold, subnormal ones and ties among them.
std::uint64_t element(DType dtype, Random& random) {
  const std::uint64_t bits = random();
  const std::uint64_t mask = ~std::uint64_t{0} >> (64 - 8 * size_of(dtype));
  if ((bits >> 60) < 8 && (dtype == DType::float32 || dtype == DType::float64)) {
    const double value =
        std::ldexp(static_cast<double>(bits & 0xfff) - 2048, static_cast<int>(bits >> 16 & 31) - 30);
    return dtype == DType::float64 ? std::bit_cast<std::uint64_t>(value)
                                   : std::bit_cast<std::uint32_t>(static_cast<float>(value));
  }
  return random() & mask;
}

template <class T>
kernels::ApplyRun<T> run_of(DType in, DType out) {
  if constexpr (std::is_same_v<T, float>) {
    return kernels::apply_table().float32(in, out);
  } else {
    return kernels::apply_table().float64(in, out);
  }
}

struct Case {
  std::size_t count;
  std::size_t in_offset;  // bytes after the beginning of a cache line
  std::size_t out_offset;
};

template <class T>
void expect_plain_bits(DType in, DType out, const Case& c, Random& random) {
  const std::size_t in_size = size_of(in);
  const std::size_t out_size = size_of(out);
  constexpr std::size_t margin = 64;
  alignas(64) static std::byte x_memory[8192];
  alignas(64) static std::byte y_memory[8192];
  std::byte* const x = x_memory + margin + c.in_offset;
  std::vector<T> mean;
  std::vector<T> divisor;
  std::vector<T> values;
  for (std::size_t i = 0; i < c.count; ++i) {
    const std::uint64_t bits = element(in, random);
    std::memcpy(x + i * in_size, &bits, in_size);
    values.push_back(decoded<T>(in, bits));
    mean.push_back(static_cast<T>(random() % 1000) / 7);
    divisor.push_back(random() % 3 == 0 ? T{1} : static_cast<T>(random() % 1000 + 1) / 3);
  }
  for (const Direction direction : {Direction::normalize, Direction::invert}) {
    std::vector<std::byte> expected(c.count * out_size);
    for (std::size_t i = 0; i < c.count; ++i) {
      const T result = direction == Direction::normalize ? (values[i] - mean[i]) / divisor[i]
                                                         : mean[i] + values[i] * divisor[i];
      const std::uint64_t bits = encoded(out, result);
      std::memcpy(expected.data() + i * out_size, &bits, out_size);
    }
    const auto check = [&](const std::byte* input, std::byte* y, Traffic traffic) {
      const std::vector<std::byte> before(y - margin, y);
      const std::byte* const end = y + expected.size();
      const std::vector<std::byte> after(end, end + margin);
      run_of<T>(in, out)(input, mean.data(), divisor.data(), static_cast<std::int64_t>(c.count), y, direction,
                         traffic);
      for (std::size_t i = 0; i < c.count; ++i) {
        ASSERT_EQ(std::memcmp(y + i * out_size, expected.data() + i * out_size, out_size), 0)
            << "element " << i << " of " << c.count << ", offsets " << c.in_offset << " and " << c.out_offset;
      }
      ASSERT_TRUE(std::equal(before.begin(), before.end(), y - margin)) << "wrote before y";
      ASSERT_TRUE(std::equal(after.begin(), after.end(), end)) << "wrote after y";
    };
    for (const Traffic traffic : {Traffic{false, false}, {true, false}, {true, true}}) {
      std::fill(std::begin(y_memory), std::end(y_memory), std::byte{0xa5});
      ASSERT_NO_FATAL_FAILURE(check(x, y_memory + margin + c.out_offset, traffic));
    }
    if (in_size == out_size) {
      std::copy(std::begin(x_memory), std::end(x_memory), std::begin(y_memory));
      std::byte* const both = y_memory + margin + c.in_offset;
      ASSERT_NO_FATAL_FAILURE(check(both, both, {true, false}));
    }
  }
}

void expect_plain_bits_everywhere(const std::vector<Case>& cases) {
  for (const std::string& target : supported_targets()) {
    const ForcedTarget forced(target);
    for (const DType in : arrays::all_dtypes) {
      for (const DType out : arrays::floating_dtypes) {
        SCOPED_TRACE(target + ": " + std::string(name_of(in)) + " to " + std::string(name_of(out)));
        Random random;
        for (const Case& c : cases) {
          if (compute_type(in, out) == DType::float32) {
            ASSERT_NO_FATAL_FAILURE(expect_plain_bits<float>(in, out, c, random));
          } else {
            ASSERT_NO_FATAL_FAILURE(expect_plain_bits<double>(in, out, c, random));
          }
        }
      }
    }
  }
}

TEST(ApplyKernels, TakeEveryLength) {
  std::vector<Case> cases;
  for (std::size_t count = 0; count <= 150; ++count) {
    cases.push_back({count, 0, 0});
    cases.push_back({count, 8, 16});
  }
  cases.push_back({700, 0, 0});
  expect_plain_bits_everywhere(cases);
}

TEST(ApplyKernels, TakeEveryAddress) {
  std::vector<Case> cases;
  for (std::size_t offset = 0; offset < 64; ++offset) {
    cases.push_back({200, 0, offset});
    cases.push_back({200, offset, 64 - offset});
  }
  expect_plain_bits_everywhere(cases);
}

// Outputs that no cache would keep.
TEST(ApplyKernels, GiveLargeArraysTheSameBits) {
  constexpr std::size_t count = (std::size_t{32} << 20) / 4 + 12345;
  std::vector<float> x(count);
  for (std::size_t i = 0; i < count; ++i) {
    x[i] = static_cast<float>(i % 100003) * 0.37F;
  }
  std::vector<std::byte> memory(count * 4 + 64);
  for (const std::int64_t features : {std::int64_t{1}, std::int64_t{13}, std::int64_t{700}}) {
    std::vector<double> mean;
    std::vector<double> variance;
    for (std::int64_t i = 0; i < features; ++i) {
      mean.push_back(static_cast<double>(i) / 3);
      variance.push_back(1 + static_cast<double>(i) / 7);
    }
    const Normalizer normalizer = Normalizer::from({features}, mean, variance);
    const Scale<float>& scale = normalizer.scale<float>();
    const std::int64_t rows = static_cast<std::int64_t>(count) / features;
    const Shape shape{rows, features};
    for (const std::string& target : supported_targets()) {
      const ForcedTarget forced(target);
      for (const std::size_t offset : {0U, 4U, 1U}) {
        SCOPED_TRACE(target + ", " + std::to_string(features) + " features, offset " +
                     std::to_string(offset));
        std::fill(memory.begin(), memory.end(), std::byte{0xa5});
        normalizer.apply(
            contiguous(x.data(), shape),
            {memory.data() + offset, DType::float32, shape, contiguous_strides(shape, DType::float32)}, 3);
        std::size_t wrong = 0;
        std::size_t i = 0;
        for (std::int64_t row = 0; row < rows; ++row) {
          for (std::size_t j = 0; j < static_cast<std::size_t>(features); ++j, ++i) {
            float y = 0;
            std::memcpy(&y, memory.data() + offset + i * 4, 4);
            wrong += y != (x[i] - scale.mean[j]) / scale.divisor[j] ? 1U : 0U;
          }
        }
        EXPECT_EQ(wrong, 0U);
        EXPECT_EQ(memory[offset + i * 4], std::byte{0xa5});
      }
    }
  }
}

}  // namespace
}  // namespace exactnorm
