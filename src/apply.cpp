#include "apply.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <hwy/cache_control.h>

namespace exactnorm {
namespace {

template <class T>
using Buffer = std::array<T, BlockPlan::block_size>;

// Mean and divisor of each element of a block whose features are not one run.
template <class T>
class Tiles {
 public:
  void fill(const Scale<T>& scale, const Block& block, const BlockPlan& plan) noexcept {
    // Blocks that begin with the same feature begin with the same kept indices: they differ in size alone,
    // and where they differ in columns they have one row.
    if (block.feature == feature_ && block.rows <= rows_ && block.columns <= columns_) {
      return;
    }
    const std::int64_t repeated = plan.row().feature_stride == 0 ? block.rows : 1;
    for (std::int64_t i = 0; i < block.rows; i += repeated) {
      const auto feature = static_cast<std::size_t>(block.feature + i * plan.row().feature_stride);
      const std::int64_t at = i * block.columns;
      spread(scale.mean.data() + feature, plan.column().feature_stride, block.columns, mean.data() + at);
      spread(scale.divisor.data() + feature, plan.column().feature_stride, block.columns,
             divisor.data() + at);
    }
    repeat(block.columns, repeated * block.columns, mean.data());
    repeat(block.columns, repeated * block.columns, divisor.data());
    feature_ = block.feature;
    rows_ = block.rows;
    columns_ = block.columns;
  }

  Buffer<T> mean;
  Buffer<T> divisor;

 private:
  static void spread(const T* from, std::int64_t stride, std::int64_t count, T* to) noexcept {
    if (stride == 0) {
      std::fill_n(to, count, *from);
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        to[i] = from[i * stride];
      }
    }
  }

  // Fills to[0 … count-1] with repetitions of its first `period` elements.
  static void repeat(std::int64_t period, std::int64_t count, T* to) noexcept {
    for (std::int64_t done = period; done < count; done *= 2) {
      std::copy_n(to, std::min(done, count - done), to + done);
    }
  }

  std::int64_t feature_ = -1;  // of the block that the tiles were last filled for
  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
};

// Where the elements of a block lie: rows × columns of them, or one run.
struct Strides {
  std::int64_t row;
  std::int64_t column;
  std::int64_t size;  // of an element

  [[nodiscard]] bool one_run(const Block& block) const noexcept {
    return column == size && (block.rows == 1 || row == block.columns * size);
  }
};

// Copies a block of elements of Size bytes.
template <std::size_t Size>
void copy_elements(const std::byte* from, const Strides& in, std::byte* to, const Strides& out,
                   const Block& block) noexcept {
  for (std::int64_t i = 0; i < block.rows; ++i) {
    for (std::int64_t j = 0; j < block.columns; ++j) {
      std::memcpy(to + j * out.column, from + j * in.column, Size);
    }
    from += in.row;
    to += out.row;
  }
}

void copy_block(const std::byte* from, const Strides& in, std::byte* to, const Strides& out,
                const Block& block) noexcept {
  switch (in.size) {
    case 1:
      return copy_elements<1>(from, in, to, out, block);
    case 2:
      return copy_elements<2>(from, in, to, out, block);
    case 4:
      return copy_elements<4>(from, in, to, out, block);
    default:
      return copy_elements<8>(from, in, to, out, block);
  }
}

}  // namespace

template <class T>
void apply_blocks(const Application<T>& a, std::int64_t first, std::int64_t last) noexcept {
  const BlockPlan::Axis& row = a.plan.row();
  const BlockPlan::Axis& column = a.plan.column();
  const Strides in{row.in_stride, column.in_stride, static_cast<std::int64_t>(size_of(a.in_dtype))};
  const Strides out{row.out_stride, column.out_stride, static_cast<std::int64_t>(size_of(a.out_dtype))};
  Tiles<T> tiles;
  Buffer<std::uint64_t> in_buffer;
  Buffer<std::uint64_t> out_buffer;
  for (std::int64_t index = first; index < last; ++index) {
    const Block block = a.plan.block(index);
    const T* mean = a.scale.mean.data() + block.feature;
    const T* divisor = a.scale.divisor.data() + block.feature;
    if (block.rows > 1 || column.feature_stride != 1) {
      tiles.fill(a.scale, block, a.plan);
      mean = tiles.mean.data();
      divisor = tiles.divisor.data();
    }

    const std::byte* x = a.in + block.in_offset;
    if (!in.one_run(block)) {
      auto* const packed = reinterpret_cast<std::byte*>(in_buffer.data());
      copy_block(x, in, packed, {block.columns * in.size, in.size, in.size}, block);
      x = packed;
    }
    std::byte* const y = a.out + block.out_offset;
    const std::int64_t count = block.rows * block.columns;
    if (out.one_run(block)) {
      a.run(x, mean, divisor, count, y, a.direction, a.traffic);
    } else {
      auto* const packed = reinterpret_cast<std::byte*>(out_buffer.data());
      a.run(x, mean, divisor, count, packed, a.direction, {});
      copy_block(packed, {block.columns * out.size, out.size, out.size}, y, out, block);
    }
  }
  if (a.traffic.streaming) {
    hwy::FlushStream();
  }
}

template void apply_blocks<float>(const Application<float>&, std::int64_t, std::int64_t) noexcept;
template void apply_blocks<double>(const Application<double>&, std::int64_t, std::int64_t) noexcept;

}  // namespace exactnorm
