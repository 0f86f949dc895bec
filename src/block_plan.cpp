#include "block_plan.hpp"

#include <algorithm>
#include <cstdlib>

namespace exactnorm {
namespace {

constexpr std::int64_t line = 16;  // elements that fill at least one cache line, if they are float32

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

// Outer's neighbours lie one whole inner axis apart, so that the two are one axis.
bool continues(const BlockPlan::Axis& outer, const BlockPlan::Axis& inner) {
  return outer.in_stride == inner.in_stride * inner.extent &&
         outer.out_stride == inner.out_stride * inner.extent &&
         outer.feature_stride == inner.feature_stride * inner.extent;
}

std::int64_t reach(const BlockPlan::Axis& axis) {
  return std::abs(axis.in_stride) + std::abs(axis.out_stride);
}

}  // namespace

BlockPlan::BlockPlan(const Shape& shape, const Shape& in_strides, const Shape& out_strides,
                     AxisSet kept) noexcept {
  // Sorted by insertion: smallest strides first, inner axes before outer ones with the same.
  std::array<Axis, max_rank> sorted;
  std::size_t count = 0;
  std::int64_t features = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    const std::int64_t extent = shape[i];
    const bool is_kept = (kept >> i & 1) != 0;
    if (extent == 0) {
      return;  // no blocks
    }
    if (extent > 1) {
      const Axis axis{extent, in_strides[i], out_strides[i], is_kept ? features : 0};
      std::size_t at = count++;
      for (; at > 0 && reach(sorted[at - 1]) > reach(axis); --at) {
        sorted[at] = sorted[at - 1];
      }
      sorted[at] = axis;
    }
    features *= is_kept ? extent : 1;
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (size_ > 0 && continues(sorted[i], axes_[size_ - 1])) {
      axes_[size_ - 1].extent *= sorted[i].extent;
    } else {
      axes_[size_++] = sorted[i];
    }
  }
  while (size_ < 2) {
    axes_[size_++] = {1, 0, 0, 0};
  }

  // Equal parts of a long row, or else whole rows: as many as make blocks begin where cache lines do.
  if (column().extent > block_size) {
    column_blocks_ = divide_up(column().extent, block_size);
    block_columns_ = divide_up(divide_up(column().extent, column_blocks_), line) * line;
    block_rows_ = 1;
    row_blocks_ = row().extent;
  } else if (column().extent * row().extent <= block_size) {
    column_blocks_ = row_blocks_ = 1;
    block_columns_ = column().extent;
    block_rows_ = row().extent;
  } else {
    column_blocks_ = 1;
    block_columns_ = column().extent;
    block_rows_ = block_size / block_columns_;
    block_rows_ -= block_rows_ > line ? block_rows_ % line : 0;
    row_blocks_ = divide_up(row().extent, block_rows_);
  }
  blocks_ = row_blocks_ * column_blocks_;
  for (std::size_t i = 2; i < size_; ++i) {
    blocks_ *= axes_[i].extent;
  }
}

Block BlockPlan::block(std::int64_t index) const noexcept {
  // The remainder, and the quotient in index; most plans need few of these divisions.
  const auto step = [&index](std::int64_t extent) {
    if (extent == 1) {
      return std::int64_t{0};
    }
    const std::int64_t remainder = index % extent;
    index /= extent;
    return remainder;
  };
  const std::int64_t first_column = step(column_blocks_) * block_columns_;
  const std::int64_t first_row = step(row_blocks_) * block_rows_;
  Block block{first_row * row().in_stride + first_column * column().in_stride,
              first_row * row().out_stride + first_column * column().out_stride,
              first_row * row().feature_stride + first_column * column().feature_stride,
              std::min(block_rows_, row().extent - first_row),
              std::min(block_columns_, column().extent - first_column)};
  for (std::size_t i = 2; i < size_; ++i) {
    const std::int64_t at = step(axes_[i].extent);
    block.in_offset += at * axes_[i].in_stride;
    block.out_offset += at * axes_[i].out_stride;
    block.feature += at * axes_[i].feature_stride;
  }
  return block;
}

}  // namespace exactnorm
