#include "block_plan.hpp"

#include <algorithm>
#include <cstdlib>

namespace exactnorm {
namespace {

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

// Outer's neighbours lie one whole inner axis apart, so that the two are one axis.
bool continues(const BlockPlan::Axis& outer, const BlockPlan::Axis& inner) {
  return outer.in_stride == inner.in_stride * inner.extent &&
         outer.out_stride == inner.out_stride * inner.extent &&
         outer.feature_stride == inner.feature_stride * inner.extent;
}

}  // namespace

BlockPlan::BlockPlan(const TensorView& in, const TensorView& out, const Axes& kept) noexcept {
  std::array<Axis, max_rank> given;
  std::size_t count = 0;
  std::int64_t features = 1;
  auto next_kept = kept.rbegin();
  for (std::size_t i = in.shape.size(); i-- > 0;) {
    const std::int64_t extent = in.shape[i];
    const bool is_kept = next_kept != kept.rend() && static_cast<std::size_t>(*next_kept) == i;
    if (extent == 0) {
      return;  // no blocks
    }
    if (extent > 1) {
      given[count++] = {extent, in.strides[i], out.strides[i], is_kept ? features : 0};
    }
    if (is_kept) {
      features *= extent;
      ++next_kept;
    }
  }
  std::reverse(given.begin(), given.begin() + count);
  std::stable_sort(given.begin(), given.begin() + count, [](const Axis& a, const Axis& b) {
    return std::abs(a.in_stride) + std::abs(a.out_stride) > std::abs(b.in_stride) + std::abs(b.out_stride);
  });

  size_ = 2;  // a row and a column of one element, before which nothing or outer axes
  for (std::size_t i = 0; i < count; ++i) {
    if (size_ > 2 && continues(axes_[size_ - 1], given[i])) {
      const std::int64_t extent = axes_[size_ - 1].extent * given[i].extent;
      axes_[size_ - 1] = given[i];
      axes_[size_ - 1].extent = extent;
    } else {
      axes_[size_++] = given[i];
    }
  }

  // Equal parts rather than full blocks and a short one; whole rows wherever they fit.
  column_blocks_ = divide_up(column().extent, block_size);
  block_columns_ = divide_up(column().extent, column_blocks_);
  block_rows_ = column_blocks_ > 1 ? 1 : std::min(row().extent, block_size / block_columns_);
  row_blocks_ = divide_up(row().extent, block_rows_);
  blocks_ = row_blocks_ * column_blocks_;
  for (std::size_t i = 0; i + 2 < size_; ++i) {
    blocks_ *= axes_[i].extent;
  }
}

Block BlockPlan::block(std::int64_t index) const noexcept {
  const std::int64_t first_column = index % column_blocks_ * block_columns_;
  index /= column_blocks_;
  const std::int64_t first_row = index % row_blocks_ * block_rows_;
  index /= row_blocks_;
  Block block{first_row * row().in_stride + first_column * column().in_stride,
              first_row * row().out_stride + first_column * column().out_stride,
              first_row * row().feature_stride + first_column * column().feature_stride,
              std::min(block_rows_, row().extent - first_row),
              std::min(block_columns_, column().extent - first_column)};
  for (std::size_t i = size_ - 2; i-- > 0;) {
    const std::int64_t step = index % axes_[i].extent;
    index /= axes_[i].extent;
    block.in_offset += step * axes_[i].in_stride;
    block.out_offset += step * axes_[i].out_stride;
    block.feature += step * axes_[i].feature_stride;
  }
  return block;
}

}  // namespace exactnorm
