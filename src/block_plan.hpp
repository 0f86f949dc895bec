#pragma once
/// \file
/// How an elementwise pass walks over two strided arrays of one shape: in blocks that fit the first-level
/// cache.

#include <array>
#include <cstddef>
#include <cstdint>

#include <exactnorm/tensor_view.hpp>

namespace exactnorm {

/// Axes of one array, axis i as bit i.
using AxisSet = std::uint32_t;
static_assert(max_rank <= 32);

/// rows × columns elements: bytes from the arrays' data to the first element, and the feature of that.
struct Block {
  std::int64_t in_offset;
  std::int64_t out_offset;
  std::int64_t feature;
  std::int64_t rows;
  std::int64_t columns;
};

/// Axes in the order that suits memory (small strides innermost), those that continue one another merged. The
/// two innermost, called row and column, are cut into blocks; the blocks have numbers, so that threads can
/// share them.
class BlockPlan {
 public:
  /// Elements of a block, at most: three buffers of doubles take 12 KiB.
  static constexpr std::int64_t block_size = 512;

  /// Steps between neighbours, in bytes of the arrays and in features.
  struct Axis {
    std::int64_t extent;
    std::int64_t in_stride;
    std::int64_t out_stride;
    std::int64_t feature_stride;
  };

  /// Preconditions: as many strides of each array as extents, and no more than 2^63-1 elements. Costs a few
  /// tens of cycles where there is little to walk over: no memory, and no divisions for a single block.
  BlockPlan(const Shape& shape, const Shape& in_strides, const Shape& out_strides, AxisSet kept) noexcept;

  [[nodiscard]] std::int64_t blocks() const noexcept { return blocks_; }
  [[nodiscard]] Block block(std::int64_t index) const noexcept;
  [[nodiscard]] const Axis& row() const noexcept { return axes_[1]; }
  [[nodiscard]] const Axis& column() const noexcept { return axes_[0]; }

 private:
  std::array<Axis, max_rank + 2> axes_;  // innermost first; the first size_ are meaningful
  std::size_t size_ = 0;                 // at least 2
  std::int64_t block_rows_ = 0;
  std::int64_t block_columns_ = 0;
  std::int64_t row_blocks_ = 0;
  std::int64_t column_blocks_ = 0;
  std::int64_t blocks_ = 0;
};

}  // namespace exactnorm
