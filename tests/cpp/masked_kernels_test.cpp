// Weights, where and valid: the fast ways against the portable one, bit by bit, in every dtype and layout.

#include <exactnorm/moments.hpp>

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "strided_array.hpp"
#include "support/families.hpp"
#include "support/forced_target.hpp"
#include "support/oracle.hpp"
#include "support/sanitized.hpp"

namespace exactnorm {
namespace {

constexpr DType dtypes[] = {DType::float16, DType::bfloat16, DType::float32, DType::float64, DType::int8,
                            DType::int16,   DType::int32,    DType::int64,   DType::uint8,   DType::uint16,
                            DType::uint32,  DType::uint64,   DType::boolean};

// What an update may look at; a feature's index is in C order.
struct Operands {
  bool where = false;
  bool weights = false;
  bool valid = false;
  bool by_row = true;  // where and weights have shape (rows,)
};

class Data {
 public:
  Data(DType dtype, std::int64_t rows, std::int64_t columns, const std::string& family, std::uint64_t seed)
      : shape_{rows, columns}, random_(seed) {
    const auto count = static_cast<std::size_t>(rows * columns);
    bits_.resize(count);
    if (dtype == DType::float32 || dtype == DType::bfloat16) {
      families::Generator<float> make(seed);
      const auto values =
          make.make(family, static_cast<std::size_t>(rows), static_cast<std::size_t>(columns));
      for (std::size_t i = 0; i < count; ++i) {
        bits_[i] = std::bit_cast<std::uint32_t>(values[i]) >> (dtype == DType::float32 ? 0 : 16);
      }
    } else if (dtype == DType::float64) {
      families::Generator<double> make(seed);
      const auto values =
          make.make(family, static_cast<std::size_t>(rows), static_cast<std::size_t>(columns));
      for (std::size_t i = 0; i < count; ++i) {
        bits_[i] = std::bit_cast<std::uint64_t>(values[i]);
      }
    } else {
      for (std::uint64_t& bits : bits_) {
        // Ordinary float16 as often as any; integers of all sizes.
        bits = random_() >> (dtype == DType::float16 ? 0 : random_() % 64);
        bits = dtype == DType::float16 && random_() % 2 == 0 ? 0x4000 | (bits & 0x83ff) : bits;
      }
    }
  }

  [[nodiscard]] const std::vector<std::uint64_t>& bits() const { return bits_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }

  UpdateOptions options(const Operands& operands) {
    UpdateOptions options;
    options.threads = 1 + static_cast<int>(random_() % 2);
    const Shape of_rows = operands.by_row ? Shape{shape_[0]} : shape_;
    const auto fill = [&](std::vector<std::uint8_t>& flags, const Shape& shape) {
      flags.resize(static_cast<std::size_t>(element_count(shape)));
      const std::uint64_t one_in = random_() % 2 == 0 ? 2 : 50;
      for (std::uint8_t& flag : flags) {
        flag = random_() % one_in == 0 ? 0 : static_cast<std::uint8_t>(1 + random_() % 255);
      }
      return TensorView{flags.data(), DType::boolean, shape, contiguous_strides(shape, DType::boolean)};
    };
    if (operands.where) {
      options.where = fill(where_, of_rows);
    }
    if (operands.valid) {
      options.valid = fill(valid_, shape_);
    }
    if (operands.weights) {
      options.weights = weights(of_rows);
    }
    return options;
  }

 private:
  // Of several kinds: what float32 holds with little and with great spread, what only float64 holds,
  // integers.
  TensorView weights(const Shape& shape) {
    const auto count = static_cast<std::size_t>(element_count(shape));
    const std::uint64_t kind = random_() % 5;
    if (kind == 4) {
      integer_weights_.resize(count);
      for (auto& w : integer_weights_) {
        w = static_cast<std::int32_t>(random_() % 7);
      }
      return contiguous(integer_weights_.data(), shape);
    }
    float_weights_.resize(count);
    double_weights_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      const double unit = static_cast<double>(random_() >> 11) * 0x1p-53;
      double_weights_[i] = random_() % 20 == 0 ? 0 : unit;
      const auto narrow = static_cast<float>(double_weights_[i]);
      float_weights_[i] = kind == 1 && random_() % 100 == 0
                              ? std::ldexp(1 + narrow, static_cast<int>(random_() % 240) - 140)
                              : narrow;
    }
    return kind == 2 ? contiguous(double_weights_.data(), shape) : contiguous(float_weights_.data(), shape);
  }

  Shape shape_;
  std::mt19937_64 random_;
  std::vector<std::uint64_t> bits_;
  std::vector<std::uint8_t> where_;
  std::vector<std::uint8_t> valid_;
  std::vector<float> float_weights_;
  std::vector<double> double_weights_;
  std::vector<std::int32_t> integer_weights_;
};

Moments learned(const std::string& target, const TensorView& x, const Axes& kept,
                const UpdateOptions& options) {
  const ForcedTarget forced(target);
  Moments moments(feature_shape(x.shape, kept));
  moments.update(x, kept, options);
  return moments;
}

void expect_same(DType dtype, std::int64_t rows, std::int64_t columns, const std::string& family,
                 const Operands& operands, std::uint64_t seed) {
  Data data(dtype, rows, columns, family, seed);
  const UpdateOptions options = data.options(operands);
  const std::vector<arrays::Layout> layouts = {{{0, 1}, {}, 0}, {{1, 0}, {}, 0}, {{0, 1}, {1, 2}, 1}};
  for (const arrays::Layout& layout : layouts) {
    arrays::StridedArray array(dtype, data.shape(), layout);
    array.set_bits(data.bits());
    for (const Axes& kept : {Axes{1}, Axes{}, Axes{0}}) {
      const Moments expected = learned("portable", array.view(), kept, options);
      for (const std::string& target : supported_targets()) {
        ASSERT_TRUE(oracle::same(learned(target, array.view(), kept, options), expected))
            << target << " " << name_of(dtype) << " " << family << " " << rows << " x " << columns << " seed "
            << seed << " strides " << to_string(array.view().strides);
      }
    }
  }
}

class MaskedKernels : public ::testing::TestWithParam<Operands> {};

TEST_P(MaskedKernels, EveryDTypeInManyShapes) {
  std::mt19937_64 random(1);
  const std::int64_t row_counts[] = {1, 2, 31, 255, 256, 257, 700, 1025};
  const std::int64_t column_counts[] = {1, 2, 3, 5, 16, 17, 48, 63, 100, 257, 300};
  const auto names = families::Generator<float>::names();
  for (const DType dtype : dtypes) {
    for (int i = 0; i < (sanitized ? 1 : 6); ++i) {
      const std::int64_t rows = row_counts[random() % std::size(row_counts)];
      const std::int64_t columns = column_counts[random() % std::size(column_counts)];
      expect_same(dtype, rows, columns, names[random() % names.size()], GetParam(), random());
      if (HasFatalFailure()) {
        return;
      }
    }
  }
}

TEST_P(MaskedKernels, EveryFamily) {
  constexpr std::pair<int, int> shapes[] = {{900, 7}, {5000, 1}, {300, 32}};
  std::uint64_t seed = 10;
  for (const std::string& family : families::Generator<float>::names()) {
    ++seed;
    if (sanitized && seed % 4 != 0) {
      continue;
    }
    expect_same(DType::float32, shapes[seed % 3].first, shapes[seed % 3].second, family, GetParam(), seed);
    expect_same(DType::float64, shapes[(seed + 1) % 3].first, shapes[(seed + 1) % 3].second, family,
                GetParam(), seed);
    if (HasFatalFailure()) {
      return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Operands, MaskedKernels,
                         ::testing::Values(Operands{}, Operands{true}, Operands{true, false, false, false},
                                           Operands{false, false, true}, Operands{true, false, true, false},
                                           Operands{false, true}, Operands{false, true, false, false},
                                           Operands{true, true, true}, Operands{true, true, true, false}));

// More panels than the windows of weights hold.
TEST(MaskedKernels, ManyPanelsOfFullWeights) {
  const std::int64_t rows = 70 * 256 + 3;
  std::vector<float> x(static_cast<std::size_t>(rows) * 16);
  std::vector<float> w(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = i % 3 == 0 ? 0x1.fffffep0F : -0x1.fffffcp0F;
  }
  for (std::size_t i = 0; i < w.size(); ++i) {
    w[i] = i % 1000 == 0 ? 0x1p-25F : 0x1.fffffep-1F;
  }
  UpdateOptions options;
  options.threads = 1;
  options.weights = column(w);
  const TensorView view = exactnorm::rows(x, 16);
  for (const std::string& target : supported_targets()) {
    EXPECT_TRUE(oracle::same(learned(target, view, {1}, options), learned("portable", view, {1}, options)));
  }
}

TEST(MaskedKernels, ThePortableWeightedWayIsTheOracles) {
  for (const DType dtype : dtypes) {
    Data data(dtype, 40, 3, "any bits", 5);
    for (const bool by_row : {true, false}) {
      const UpdateOptions options = data.options({true, true, true, by_row});
      arrays::StridedArray array(dtype, data.shape());
      array.set_bits(data.bits());
      EXPECT_TRUE(oracle::same(learned("portable", array.view(), {1}, options),
                               oracle::moments(array.view(), {1}, options)))
          << name_of(dtype);
    }
  }
}

}  // namespace
}  // namespace exactnorm
