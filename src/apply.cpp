#include "apply.hpp"

#include <algorithm>
#include <array>

#include <hwy/cache_control.h>

#include "fp_environment.hpp"

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

template <class T>
void load_rows(kernels::Load<T> load, const std::byte* from, const Strides& strides, const Block& block,
               T* to) noexcept {
  if (strides.one_run(block)) {
    load(from, strides.column, block.rows * block.columns, to);
    return;
  }
  for (std::int64_t i = 0; i < block.rows; ++i) {
    load(from + i * strides.row, strides.column, block.columns, to + i * block.columns);
  }
}

template <class T>
void store_rows(kernels::Store<T> store, const T* from, const Strides& strides, const Block& block,
                std::byte* to) noexcept {
  if (strides.one_run(block)) {
    store(from, strides.column, block.rows * block.columns, to);
    return;
  }
  for (std::int64_t i = 0; i < block.rows; ++i) {
    store(from + i * block.columns, strides.column, block.columns, to + i * strides.row);
  }
}

}  // namespace

template <class T>
void apply_blocks(const Application<T>& a, std::int64_t first, std::int64_t last) noexcept {
  const kernels::ApplyLoops<T>& loops = a.kernels.template loops<T>();
  const auto compute = a.direction == Direction::normalize ? loops.normalize : loops.invert;
  const BlockPlan::Axis& row = a.plan.row();
  const BlockPlan::Axis& column = a.plan.column();
  const Strides in{row.in_stride, column.in_stride, static_cast<std::int64_t>(size_of(a.in_dtype))};
  const Strides out{row.out_stride, column.out_stride, static_cast<std::int64_t>(size_of(a.out_dtype))};
  Tiles<T> tiles;
  Buffer<T> values;
  Buffer<T> results;  // of the output's dtype, which is no wider than T
  auto* const value_bytes = reinterpret_cast<std::byte*>(values.data());
  auto* const result_bytes = reinterpret_cast<std::byte*>(results.data());
  for (std::int64_t index = first; index < last; ++index) {
    const Block block = a.plan.block(index);
    const std::int64_t count = block.rows * block.columns;

    const T* mean = a.scale.mean.data() + block.feature;
    const T* divisor = a.scale.divisor.data() + block.feature;
    if (block.rows > 1 || column.feature_stride != 1) {
      tiles.fill(a.scale, block, a.plan);
      mean = tiles.mean.data();
      divisor = tiles.divisor.data();
    }

    // Where an array holds T in one run, the arithmetic reads or writes it itself.
    const std::byte* x = a.in + block.in_offset;
    if (a.in_dtype != dtype_of<T>() || !in.one_run(block)) {
      load_rows(loops.load_of(a.in_dtype), x, in, block, values.data());
      x = value_bytes;
    }
    std::byte* const y = a.out + block.out_offset;
    const bool direct = a.out_dtype == dtype_of<T>() && out.one_run(block);
    const bool streaming = a.streaming && out.one_run(block);
    compute(x, mean, divisor, count, direct && !streaming ? y : value_bytes);
    if (streaming) {
      if (!direct) {
        loops.store_of(a.out_dtype)(values.data(), out.size, count, result_bytes);
      }
      a.kernels.stream(direct ? value_bytes : result_bytes, count * out.size, y);
    } else if (!direct) {
      store_rows(loops.store_of(a.out_dtype), values.data(), out, block, y);
    }
  }
  if (a.streaming) {
    hwy::FlushStream();
  }
}

template void apply_blocks<float>(const Application<float>&, std::int64_t, std::int64_t) noexcept;
template void apply_blocks<double>(const Application<double>&, std::int64_t, std::int64_t) noexcept;

}  // namespace exactnorm
