// 3 · 10^8 elements: every dtype and every family of hard data, in memory of many shapes, with and without
// masks and weights. Every target gives what the portable path gives.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <exactnorm/moments.hpp>

#include "strided_array.hpp"
#include "support/families.hpp"
#include "support/forced_target.hpp"
#include "support/oracle.hpp"

namespace exactnorm {
namespace {

constexpr std::int64_t elements_a_dtype = 24'000'000;

// A way to look at a table of rows × columns: x and whatever masks it lie alike.
struct Look {
  Shape shape;
  Shape steps;         // between elements, of each axis
  std::int64_t first;  // element
  Axes kept;
};

std::vector<Look> looks(std::int64_t rows, std::int64_t columns) {
  std::vector<Look> all = {
      {{rows, columns}, {columns, 1}, 0, {1}},
      {{rows, columns}, {columns, 1}, 0, {}},
      {{columns, rows}, {1, columns}, 0, {0}},
      // Backwards, and every other column.
      {{rows, (columns + 1) / 2}, {-columns, 2}, (rows - 1) * columns, {1}},
      {{rows, (columns + 1) / 2}, {-columns, 2}, (rows - 1) * columns, {}},
  };
  if (rows <= 4096) {
    all.push_back({{rows, columns}, {columns, 1}, 0, {0}});
  }
  for (const std::int64_t channels : {3, 16}) {
    if (const std::int64_t images = rows / channels; images > 0) {  // channels first
      all.push_back({{images, channels, columns}, {channels * columns, columns, 1}, 0, {1}});
    }
  }
  return all;
}

class Table {
 public:
  Table(DType dtype, std::int64_t rows, std::int64_t columns, std::mt19937_64& random)
      : dtype_(dtype),
        rows_(rows),
        columns_(columns),
        random_(random),
        memory_(static_cast<std::size_t>(rows * columns) * size_of(dtype)) {}

  void fill(const std::string& family) {
    if (dtype_ == DType::float32 || dtype_ == DType::bfloat16) {
      fill_from(families::Generator<float>(random_()), family);
    } else if (dtype_ == DType::float64) {
      fill_from(families::Generator<double>(random_()), family);
    } else if (dtype_ == DType::float16) {
      fill_float16();
    } else {
      fill_integers();
    }
  }

  // Flags and weights as large as the table; `weights` of one of several kinds.
  void fill_masks(std::size_t kind) {
    const auto count = static_cast<std::size_t>(rows_ * columns_);
    for (std::vector<std::uint8_t>* flags : {&where_, &valid_}) {
      const std::uint64_t one_in = random_() % 2 == 0 ? 2 : 100;
      flags->resize(count);
      std::generate(flags->begin(), flags->end(), [&] {
        return static_cast<std::uint8_t>(random_() % one_in == 0 ? 0 : 1 + random_() % 255);
      });
    }
    weights_.resize(count);
    for (float& w : weights_) {
      const auto unit = static_cast<float>(static_cast<double>(random_() >> 40) * 0x1p-24);
      const int exponent = kind == 0   ? 0
                           : kind == 1 ? -static_cast<int>(random_() % 24)
                                       : static_cast<int>(random_() % 240) - 140;
      w = random_() % 20 == 0 ? 0 : std::ldexp(unit, kind == 2 && random_() % 200 != 0 ? 0 : exponent);
    }
  }

  [[nodiscard]] TensorView x(const Look& look) const { return view(memory_.data(), dtype_, look); }
  [[nodiscard]] TensorView where(const Look& look) const { return view(where_.data(), DType::boolean, look); }
  [[nodiscard]] TensorView valid(const Look& look) const { return view(valid_.data(), DType::boolean, look); }
  [[nodiscard]] TensorView weights(const Look& look) const {
    return view(weights_.data(), DType::float32, look);
  }

 private:
  static TensorView view(const void* data, DType dtype, const Look& look) {
    const auto size = static_cast<std::int64_t>(size_of(dtype));
    Shape strides = look.steps;
    for (std::size_t axis = 0; axis < strides.size(); ++axis) {
      strides[axis] *= size;
    }
    return {static_cast<const std::byte*>(data) + look.first * size, dtype, look.shape, strides};
  }

  template <class Generator>
  void fill_from(Generator make, const std::string& family) {
    const auto values =
        make.make(family, static_cast<std::size_t>(rows_), static_cast<std::size_t>(columns_));
    if (dtype_ == DType::bfloat16) {  // the upper half of a float32
      for (std::size_t i = 0; i < values.size(); ++i) {
        std::memcpy(memory_.data() + 2 * i, reinterpret_cast<const std::byte*>(&values[i]) + 2, 2);
      }
    } else {
      std::memcpy(memory_.data(), values.data(), memory_.size());
    }
  }

  template <class Bits>
  void set(std::size_t i, std::uint64_t bits) {
    const auto value = static_cast<Bits>(bits);
    std::memcpy(memory_.data() + i * sizeof(Bits), &value, sizeof(Bits));
  }

  // Of a few binades, of all, or all bits with their NaN and infinities.
  void fill_float16() {
    const std::uint64_t kind = random_() % 4;
    const std::uint64_t lowest = random_() % 28 << 10;
    for (std::size_t i = 0; i < memory_.size() / 2; ++i) {
      const std::uint64_t bits = random_();
      const bool special = kind == 3 || (kind == 2 && random_() % 100 == 0);
      set<std::uint16_t>(i, special     ? bits
                            : kind == 0 ? (bits & 0x83ff) + lowest
                            : kind == 1 ? (bits & 0x8fff) + lowest
                                        : (bits & 0x8000) + bits / 0x10000 % 0x7c00);
    }
  }

  // Of all sizes, all the largest or smallest, or any bits.
  void fill_integers() {
    const std::uint64_t kind = random_() % 4;
    const std::uint64_t top = std::uint64_t{1} << (8 * size_of(dtype_) - 1);
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows_ * columns_); ++i) {
      const std::uint64_t bits = random_();
      const std::uint64_t value = kind == 0   ? bits
                                  : kind == 1 ? bits >> (random_() % 64)
                                  : kind == 2 ? top - (bits & 1)
                                              : 0 - (bits & 3);
      switch (size_of(dtype_)) {
        case 1:
          set<std::uint8_t>(i, value);
          break;
        case 2:
          set<std::uint16_t>(i, value);
          break;
        case 4:
          set<std::uint32_t>(i, value);
          break;
        default:
          set<std::uint64_t>(i, value);
      }
    }
  }

  DType dtype_;
  std::int64_t rows_;
  std::int64_t columns_;
  std::mt19937_64& random_;
  std::vector<std::byte> memory_;
  std::vector<std::uint8_t> where_;
  std::vector<std::uint8_t> valid_;
  std::vector<float> weights_;
};

Moments learned(const std::string& target, const TensorView& x, const Axes& kept, UpdateOptions options,
                int threads) {
  const ForcedTarget forced(target);
  Moments moments(feature_shape(x.shape, kept));
  options.threads = threads;
  moments.update(x, kept, options);
  return moments;
}

class EveryDType : public ::testing::TestWithParam<DType> {};

TEST_P(EveryDType, IsTheSameOnEveryTarget) {
  const DType dtype = GetParam();
  std::mt19937_64 random(2026);
  const std::vector<std::string> names = families::Generator<float>::names();
  std::size_t next_name = 0;
  std::int64_t elements = 0;
  for (int round = 0; elements < elements_a_dtype; ++round) {
    // First more panels than windows hold; later all shapes, some of them wide, some that fill vectors.
    const bool weighted = round % 4 == 3;
    const bool by_row_alone = round % 8 == 3;  // weights of whole rows and no masks
    const auto up_to = [&](std::int64_t most) {
      return 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most));
    };
    const std::int64_t columns = round == 0        ? 16
                                 : by_row_alone    ? 16 * up_to(8)
                                 : round % 16 == 5 ? 4000 + up_to(1000)
                                                   : up_to(round % 4 == 1 ? 300 : 40);
    const std::int64_t rows = round == 0 ? 280'000 : up_to((weighted ? 40'000 : 400'000) / columns + 1);
    const std::string& family = names[next_name++ % names.size()];
    Table table(dtype, rows, columns, random);
    table.fill(family);
    const std::uint64_t masks = by_row_alone     ? 4
                                : weighted       ? 4 + random() % 4
                                : round % 2 == 0 ? 0
                                                 : random() % 4;
    if (masks != 0) {
      table.fill_masks(random() % 3);
    }
    for (const Look& look : looks(rows, columns)) {
      UpdateOptions options;
      // Masks of rows alone have the shape of the first axis.
      const bool by_row = look.shape.size() == 2 && (by_row_alone || random() % 2 == 0);
      const Look part = by_row ? Look{{look.shape[0]}, {look.steps[0]}, look.first, {}} : look;
      if ((masks & 1) != 0) {
        options.where = table.where(part);
      }
      if ((masks & 2) != 0) {
        options.valid = table.valid(look);
      }
      if ((masks & 4) != 0) {
        options.weights = table.weights(part);
      }
      const TensorView x = table.x(look);
      const Moments portable = learned("portable", x, look.kept, options, 2);
      for (const std::string& target : supported_targets()) {
        for (const int threads : {1, 3}) {
          ASSERT_TRUE(target == "portable" ||
                      oracle::same(learned(target, x, look.kept, options, threads), portable))
              << target << " " << name_of(dtype) << " " << family << " " << to_string(look.shape) << " steps "
              << to_string(look.steps) << " keeping " << look.kept.size() << ", masks " << masks << ", "
              << threads << " threads, round " << round;
        }
      }
    }
    elements += rows * columns;
  }
}

INSTANTIATE_TEST_SUITE_P(Differential, EveryDType, ::testing::ValuesIn(arrays::all_dtypes),
                         [](const auto& info) { return std::string(name_of(info.param)); });

// Why the accumulator of squares must end well below the end of its binade. A first panel sets E = 2 and tier
// 2. In the second one 2^(E+4) alone takes it to the very end, where its unit is twice as large, so that
// squares just below its old one are all rests, twice as large as the next accumulator has room for.
TEST(Differential, SquaresThatReachTheEndExactly) {
  constexpr std::size_t columns = 16;
  std::vector<float> x(512 * columns);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t row = i / columns;
    x[i] = row < 256 ? (row % 32 == 0 ? 0x1p-22F : 1.5F) : row == 256 ? 64.0F : 0x1.fffffep-21F;
  }
  const TensorView view = rows(x, columns);
  const Moments portable = learned("portable", view, {1}, {}, 1);
  for (const std::string& target : supported_targets()) {
    EXPECT_TRUE(oracle::same(learned(target, view, {1}, {}, 1), portable)) << target;
  }
}

}  // namespace
}  // namespace exactnorm
