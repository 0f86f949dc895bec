// Any rank, any kept axes, any strides, any masks: the sums are those of walking index by index.

#include <exactnorm/moments.hpp>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

#include "loops.hpp"
#include "strided_array.hpp"
#include "support/forced_target.hpp"
#include "support/oracle.hpp"

namespace exactnorm {
namespace {

using arrays::StridedArray;

// At full size from the first try on: small arrays do not reach the kernels.
template <class T>
T pick(const rc::Gen<T>& gen) {
  return *rc::gen::resize(rc::kNominalSize, gen);
}

rc::Gen<DType> any_dtype() {
  return rc::gen::elementOf(std::vector<DType>(std::begin(arrays::all_dtypes), std::end(arrays::all_dtypes)));
}

// Small strides, gaps, both directions, any order, perhaps unaligned.
rc::Gen<arrays::Layout> any_layout(std::size_t rank) {
  return rc::gen::exec([rank] {
    arrays::Layout layout;
    std::vector<std::size_t> axes(rank);
    std::iota(axes.begin(), axes.end(), std::size_t{0});
    while (!axes.empty()) {
      const auto next = pick(rc::gen::inRange<std::size_t>(0, axes.size()));
      layout.order.push_back(axes[next]);
      axes.erase(axes.begin() + static_cast<std::ptrdiff_t>(next));
    }
    for (std::size_t axis = 0; axis < rank; ++axis) {
      layout.steps.push_back(pick(rc::gen::weightedElement<int>({{6, 1}, {2, -1}, {1, 2}, {1, -3}})));
    }
    layout.offset = pick(rc::gen::weightedElement<std::size_t>({{4, 0}, {1, 1}, {1, 4}}));
    return layout;
  });
}

Shape any_shape(int max_axes, std::int64_t max_elements) {
  Shape shape;
  std::int64_t left = max_elements;
  for (int rank = pick(rc::gen::inRange(0, max_axes + 1)); rank > 0; --rank) {
    const auto extent = pick(rc::gen::weightedOneOf<std::int64_t>({{20, rc::gen::inRange<std::int64_t>(1, 8)},
                                                                   {6, rc::gen::inRange<std::int64_t>(8, 80)},
                                                                   {1, rc::gen::just<std::int64_t>(0)}}));
    shape.push_back(std::min(extent, std::max<std::int64_t>(left, 1)));
    left /= std::max<std::int64_t>(extent, 1);
  }
  return shape;
}

// Bits of any value: of the whole range, or near one another so that kernels like them.
std::vector<std::uint64_t> any_bits(DType dtype, std::int64_t count) {
  const auto width = 8 * size_of(dtype);
  const auto wild = pick(rc::gen::inRange(0, 3));
  std::uint64_t state = pick(rc::gen::arbitrary<std::uint64_t>()) | 1;
  std::vector<std::uint64_t> bits;
  for (std::int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    std::uint64_t value = state ^ (state >> 29);
    if (dtype == DType::float32 && wild != 0) {
      value = (value & 0x807fffff) | (124U + (value >> 40) % (wild == 1 ? 6 : 40)) << 23;
    } else if (dtype == DType::float64 && wild != 0) {
      value = (value & 0x800fffffffffffff) | (1020U + (state >> 40) % (wild == 1 ? 6 : 40)) << 52;
    }
    bits.push_back(width == 64 ? value : value & ((std::uint64_t{1} << width) - 1));
  }
  return bits;
}

StridedArray any_array(DType dtype, const Shape& shape, const arrays::Layout& layout) {
  StridedArray array(dtype, shape, layout);
  array.set_bits(any_bits(dtype, element_count(shape)));
  return array;
}

Axes any_axes(std::size_t rank) {
  Axes axes;
  for (int axis = 0; axis < static_cast<int>(rank); ++axis) {
    if (pick(rc::gen::arbitrary<bool>())) {
      axes.push_back(axis);
    }
  }
  return axes;
}

Shape prefix_of(const Shape& shape) {
  Shape prefix;
  for (std::size_t i = pick(rc::gen::inRange<std::size_t>(0, shape.size() + 1)); i > 0; --i) {
    prefix.push_back(shape[prefix.size()]);
  }
  return prefix;
}

Moments updated(const TensorView& x, const Axes& kept, const UpdateOptions& options) {
  Moments moments(feature_shape(x.shape, kept));
  moments.update(x, kept, options);
  return moments;
}

void on_every_target(const TensorView& x, const Axes& kept, UpdateOptions options) {
  const Moments expected = oracle::moments(x, kept, options);
  for (const std::string& target : supported_targets()) {
    const ForcedTarget forced(target);
    options.threads = 1 + static_cast<int>(expected.size() % 3);
    const auto same = oracle::same(updated(x, kept, options), expected);
    if (!same) {
      RC_FAIL(target + ": " + same.message() + " for shape " + to_string(x.shape) + " strides " +
              to_string(x.strides));
    }
  }
}

void plain_data() {
  const auto dtype = pick(rc::gen::weightedOneOf<DType>(
      {{3, rc::gen::just(DType::float32)}, {3, rc::gen::just(DType::float64)}, {4, any_dtype()}}));
  const Shape shape = any_shape(5, 6000);
  const StridedArray x = any_array(dtype, shape, pick(any_layout(shape.size())));
  on_every_target(x.view(), any_axes(shape.size()), {});
}

RC_GTEST_PROP(Layout, PlainData, ()) {
  for (int again = 0; again < 10; ++again) {
    plain_data();
  }
}

void data_with_masks() {
  const auto dtype = pick(any_dtype());
  const Shape shape = any_shape(5, 500);
  const StridedArray x = any_array(dtype, shape, pick(any_layout(shape.size())));
  const auto mask = [](const Shape& of) {
    StridedArray array(DType::boolean, of, pick(any_layout(of.size())));
    auto bits = any_bits(DType::uint8, element_count(of));
    for (std::uint64_t& bit : bits) {
      bit = bit % 3 == 0 ? 0 : bit;  // any byte but 0 is true
    }
    array.set_bits(bits);
    return array;
  };
  UpdateOptions options;
  const StridedArray where = mask(prefix_of(shape));
  const StridedArray valid = mask(shape);
  const auto weights_dtype = pick(any_dtype());
  const Shape weights_shape = prefix_of(shape);
  StridedArray weights(weights_dtype, weights_shape, pick(any_layout(weights_shape.size())));
  auto bits = any_bits(weights_dtype, element_count(weights_shape));
  for (std::uint64_t& bit : bits) {
    // Neither negative nor special: below the largest exponent; an eighth is zero.
    const auto width = 8 * size_of(weights_dtype);
    bit = bit % 8 == 0                 ? 0
          : is_floating(weights_dtype) ? bit & ~(std::uint64_t{3} << (width - 2))
                                       : bit & ~(std::uint64_t{1} << (width - 1));
  }
  weights.set_bits(bits);
  if (pick(rc::gen::arbitrary<bool>())) {
    options.where = where.view();
  }
  if (pick(rc::gen::arbitrary<bool>())) {
    options.valid = valid.view();
  }
  if (pick(rc::gen::arbitrary<bool>())) {
    options.weights = weights.view();
  }
  on_every_target(x.view(), any_axes(shape.size()), options);
}

RC_GTEST_PROP(Layout, DataWithMasks, ()) {
  for (int again = 0; again < 20; ++again) {
    data_with_masks();
  }
}

// Strides of 0, and windows that overlap, as of numpy's broadcast_to and sliding_window_view.
void repeated_and_overlapping_elements() {
  const auto dtype =
      pick(rc::gen::elementOf(std::vector<DType>{DType::float32, DType::float64, DType::int16}));
  const auto item = static_cast<std::int64_t>(size_of(dtype));
  const Shape shape = any_shape(3, 3000);
  TensorView x{nullptr, dtype, shape, shape};
  std::int64_t low = 0;
  std::int64_t high = 0;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    x.strides[axis] = item * pick(rc::gen::inRange<std::int64_t>(-3, 20));
    const std::int64_t reach = x.strides[axis] * std::max<std::int64_t>(shape[axis] - 1, 0);
    (reach < 0 ? low : high) += reach;
  }
  const auto bits = any_bits(dtype, (high - low) / item + 1);
  std::vector<std::byte> memory(bits.size() * static_cast<std::size_t>(item));
  for (std::size_t i = 0; i < bits.size(); ++i) {
    std::memcpy(memory.data() + i * static_cast<std::size_t>(item), &bits[i], static_cast<std::size_t>(item));
  }
  x.data = memory.data() - low;
  on_every_target(x, any_axes(shape.size()), {});
}

RC_GTEST_PROP(Layout, RepeatedAndOverlappingElements, ()) {
  for (int again = 0; again < 20; ++again) {
    repeated_and_overlapping_elements();
  }
}

// Where rows follow one another without a gap, and where the features do, for all small numbers of them.
TEST(Layout, EveryNumberOfColumns) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (std::int64_t columns = 1; columns <= 70; ++columns) {
      for (const std::int64_t rows : {1, 15, 16, 17, 60, 300}) {
        StridedArray x(dtype, {rows, columns});
        std::vector<std::uint64_t> bits;
        for (std::int64_t i = 0; i < rows * columns; ++i) {
          const auto number = static_cast<double>(i % 977) / 8 - 11;
          const auto narrow = static_cast<float>(number);
          std::uint64_t pattern = 0;
          dtype == DType::float32 ? std::memcpy(&pattern, &narrow, 4) : std::memcpy(&pattern, &number, 8);
          bits.push_back(pattern);
        }
        x.set_bits(bits);
        const Moments expected = oracle::moments(x.view(), {1});
        for (const std::string& target : supported_targets()) {
          const ForcedTarget forced(target);
          EXPECT_TRUE(oracle::same(updated(x.view(), {1}, {}), expected))
              << target << " " << rows << "x" << columns;
        }
      }
    }
  }
}

TEST(Layout, NothingAtAll) {
  const float x[1] = {};
  const bool where[1] = {};
  for (const Shape& shape : {Shape{0, 3}, Shape{3, 0}, Shape{0, 0}, Shape{2, 0, 3}}) {
    for (const Axes& kept : {Axes{}, Axes{0}, Axes{1}, Axes{0, 1}}) {
      Moments moments(feature_shape(shape, kept));
      UpdateOptions options;
      moments.update(contiguous(x, shape), kept);
      options.where = contiguous(where, shape);
      options.valid = options.where;
      moments.update(contiguous(x, shape), kept, options);
      options.weights = contiguous(x, shape);
      moments.update(contiguous(x, shape), kept, options);
      EXPECT_TRUE(moments.empty());
      EXPECT_EQ(moments.shape(), feature_shape(shape, kept));
    }
  }
}

TEST(Layout, MaskChecksComeBeforeTheData) {
  const float x[1] = {};
  Moments moments({3});
  UpdateOptions options;
  options.where = contiguous(x, {0});
  EXPECT_THROW(moments.update(contiguous(x, {0, 3}), {}, options), std::invalid_argument);
}

std::int64_t total(const LoopNest& nest) {
  return steps(nest.outer_kept) * steps(nest.outer_reduced) * nest.rows.extent * nest.columns.extent;
}

TEST(LoopNest, MergesWhatContinues) {
  const float x[1] = {};
  // C-contiguous, last axis kept: one loop of rows over all the others.
  const LoopNest table = plan_loops(contiguous(x, {2, 3, 4, 5}), {3}, {});
  EXPECT_EQ(table.rows.extent, 24);
  EXPECT_EQ(table.columns.extent, 5);
  EXPECT_TRUE(table.outer_kept.empty());
  EXPECT_TRUE(table.outer_reduced.empty());
  // Channels first: runs of height times width.
  const LoopNest images = plan_loops(contiguous(x, {2, 3, 4, 5}), {1}, {});
  EXPECT_EQ(images.rows.extent, 20);
  EXPECT_EQ(images.rows.strides[data_operand], 4);
  EXPECT_EQ(images.columns.extent, 3);
  EXPECT_EQ(total(images), 120);
  // All reduced: one loop. All kept: one loop.
  EXPECT_EQ(plan_loops(contiguous(x, {2, 3, 4, 5}), {}, {}).rows.extent, 120);
  EXPECT_EQ(plan_loops(contiguous(x, {2, 3, 4, 5}), {0, 1, 2, 3}, {}).columns.extent, 120);
  // A mask over the first axis keeps that apart.
  UpdateOptions options;
  const bool where[2] = {};
  options.where = contiguous(where, {2});
  const LoopNest masked = plan_loops(contiguous(x, {2, 3, 4}), {2}, options);
  EXPECT_EQ(total(masked), 24);
  EXPECT_EQ(masked.rows.extent, 3);
  EXPECT_EQ(masked.outer_reduced.size(), 1U);
}

TEST(LoopNest, TurnsReducedAxesForwards) {
  const float x[12] = {};
  const TensorView backwards{x + 11, DType::float32, {4, 3}, {-12, -4}};
  const LoopNest nest = plan_loops(backwards, {}, {});
  EXPECT_EQ(nest.bases[data_operand], reinterpret_cast<const std::byte*>(x));
  EXPECT_EQ(nest.rows.extent, 12);
  EXPECT_EQ(nest.rows.strides[data_operand], 4);
}

}  // namespace
}  // namespace exactnorm
