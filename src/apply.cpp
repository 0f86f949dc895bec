// Every block goes through a buffer of its own: elements may then be unaligned, and in may be out, without
// hindering vectorisation.

#include "apply.hpp"

#include <array>
#include <cstring>
#include <type_traits>

#include "fp_environment.hpp"
#include "half.hpp"

namespace exactnorm {
namespace {

template <class T>
using Buffer = std::array<T, BlockPlan::block_size>;

// bool as its byte, which need not be 0 or 1.
enum class boolean_bits : std::uint8_t {};

template <class T, class Element>
T convert(Element x) noexcept {
  if constexpr (std::is_same_v<Element, float16_bits> || std::is_same_v<Element, bfloat16_bits>) {
    return static_cast<T>(to_float(x));
  } else if constexpr (std::is_same_v<Element, boolean_bits>) {
    return static_cast<T>(x != boolean_bits{} ? 1 : 0);
  } else if constexpr (std::is_same_v<T, float16_bits> || std::is_same_v<T, bfloat16_bits>) {
    return to_half<T>(x);
  } else {
    return static_cast<T>(x);  // one rounding at most: of integers of 64 bits, or of a double result
  }
}

// The elements of a block lie in memory as rows × columns; in the buffer they follow one another.
template <class Element, class T>
void load(const std::byte* from, const BlockPlan::Axis& row, const BlockPlan::Axis& column, std::int64_t rows,
          std::int64_t columns, T* __restrict buffer) noexcept {
  constexpr auto size = static_cast<std::int64_t>(sizeof(Element));
  const auto load_row = [](const std::byte* x, std::int64_t stride, std::int64_t count, T* __restrict to) {
    for (std::int64_t i = 0; i < count; ++i) {
      Element element;
      std::memcpy(&element, x + i * stride, sizeof element);
      to[i] = convert<T>(element);
    }
  };
  if (column.in_stride == size && (rows == 1 || row.in_stride == columns * size)) {
    load_row(from, size, rows * columns, buffer);
  } else if (column.in_stride == size) {
    for (std::int64_t i = 0; i < rows; ++i) {
      load_row(from + i * row.in_stride, size, columns, buffer + i * columns);
    }
  } else {
    for (std::int64_t i = 0; i < rows; ++i) {
      load_row(from + i * row.in_stride, column.in_stride, columns, buffer + i * columns);
    }
  }
}

template <class Element, class T>
void store(const T* __restrict buffer, const BlockPlan::Axis& row, const BlockPlan::Axis& column,
           std::int64_t rows, std::int64_t columns, std::byte* to) noexcept {
  constexpr auto size = static_cast<std::int64_t>(sizeof(Element));
  const auto store_row = [](const T* __restrict y, std::int64_t stride, std::int64_t count, std::byte* at) {
    for (std::int64_t i = 0; i < count; ++i) {
      const auto element = convert<Element>(y[i]);
      std::memcpy(at + i * stride, &element, sizeof element);
    }
  };
  if (column.out_stride == size && (rows == 1 || row.out_stride == columns * size)) {
    store_row(buffer, size, rows * columns, to);
  } else if (column.out_stride == size) {
    for (std::int64_t i = 0; i < rows; ++i) {
      store_row(buffer + i * columns, size, columns, to + i * row.out_stride);
    }
  } else {
    for (std::int64_t i = 0; i < rows; ++i) {
      store_row(buffer + i * columns, column.out_stride, columns, to + i * row.out_stride);
    }
  }
}

template <class T>
auto loader(DType dtype) noexcept {
  switch (dtype) {
    case DType::float16:
      return load<float16_bits, T>;
    case DType::bfloat16:
      return load<bfloat16_bits, T>;
    case DType::float32:
      return load<float, T>;
    case DType::float64:
      return load<double, T>;
    case DType::int8:
      return load<std::int8_t, T>;
    case DType::int16:
      return load<std::int16_t, T>;
    case DType::int32:
      return load<std::int32_t, T>;
    case DType::int64:
      return load<std::int64_t, T>;
    case DType::uint8:
      return load<std::uint8_t, T>;
    case DType::uint16:
      return load<std::uint16_t, T>;
    case DType::uint32:
      return load<std::uint32_t, T>;
    case DType::uint64:
      return load<std::uint64_t, T>;
    case DType::boolean:
      break;
  }
  return load<boolean_bits, T>;
}

template <class T>
auto storer(DType dtype) noexcept {
  switch (dtype) {
    case DType::float16:
      return store<float16_bits, T>;
    case DType::bfloat16:
      return store<bfloat16_bits, T>;
    case DType::float32:
      return store<float, T>;
    default:
      return store<double, T>;
  }
}

// mean(i) and divisor(i) are scalars or arrays.
template <class T, class Mean, class Divisor>
void compute(Direction direction, std::int64_t count, Mean mean, Divisor divisor, T* __restrict x) noexcept {
  if (direction == Direction::normalize) {
    for (std::int64_t i = 0; i < count; ++i) {
      x[i] = (x[i] - mean(i)) / divisor(i);
    }
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      x[i] = mean(i) + x[i] * divisor(i);
    }
  }
}

// Mean and divisor of each element of a block whose features are neither one alone nor one run.
template <class T>
class Tiles {
 public:
  void fill(const Scale<T>& scale, const Block& block, const BlockPlan& plan) noexcept {
    // Blocks that begin with the same feature begin with the same kept indices: they differ in rows alone.
    if (block.feature == feature_ && block.rows <= rows_) {
      return;
    }
    T* mean = this->mean.data();
    T* divisor = this->divisor.data();
    for (std::int64_t i = 0; i < block.rows; ++i) {
      for (std::int64_t j = 0; j < block.columns; ++j) {
        const std::int64_t feature =
            block.feature + i * plan.row().feature_stride + j * plan.column().feature_stride;
        *mean++ = scale.mean[static_cast<std::size_t>(feature)];
        *divisor++ = scale.divisor[static_cast<std::size_t>(feature)];
      }
    }
    feature_ = block.feature;
    rows_ = block.rows;
  }

  Buffer<T> mean;
  Buffer<T> divisor;

 private:
  std::int64_t feature_ = -1;  // of the block that the tiles were last filled for
  std::int64_t rows_ = 0;
};

}  // namespace

template <class T>
EXACTNORM_NOINLINE void apply_blocks(const BlockPlan& plan, const TensorView& in,
                                     const MutableTensorView& out, const Scale<T>& scale, Direction direction,
                                     std::int64_t first, std::int64_t last) noexcept {
  const auto load_block = loader<T>(in.dtype);
  const auto store_block = storer<T>(out.dtype);
  const BlockPlan::Axis& row = plan.row();
  const BlockPlan::Axis& column = plan.column();
  Buffer<T> buffer;
  Tiles<T> tiles;
  for (std::int64_t index = first; index < last; ++index) {
    const Block block = plan.block(index);
    const std::int64_t count = block.rows * block.columns;
    load_block(static_cast<const std::byte*>(in.data) + block.in_offset, row, column, block.rows,
               block.columns, buffer.data());
    const bool rows_differ = block.rows > 1 && row.feature_stride != 0;
    if (column.feature_stride == 0 && !rows_differ) {
      const T mean = scale.mean[static_cast<std::size_t>(block.feature)];
      const T divisor = scale.divisor[static_cast<std::size_t>(block.feature)];
      compute(
          direction, count, [=](std::int64_t) { return mean; }, [=](std::int64_t) { return divisor; },
          buffer.data());
    } else {
      const T* mean = scale.mean.data() + block.feature;
      const T* divisor = scale.divisor.data() + block.feature;
      if (column.feature_stride != 1 || block.rows > 1) {
        tiles.fill(scale, block, plan);
        mean = tiles.mean.data();
        divisor = tiles.divisor.data();
      }
      compute(
          direction, count, [=](std::int64_t i) { return mean[i]; },
          [=](std::int64_t i) { return divisor[i]; }, buffer.data());
    }
    store_block(buffer.data(), row, column, block.rows, block.columns,
                static_cast<std::byte*>(out.data) + block.out_offset);
  }
}

template void apply_blocks<float>(const BlockPlan&, const TensorView&, const MutableTensorView&,
                                  const Scale<float>&, Direction, std::int64_t, std::int64_t) noexcept;
template void apply_blocks<double>(const BlockPlan&, const TensorView&, const MutableTensorView&,
                                   const Scale<double>&, Direction, std::int64_t, std::int64_t) noexcept;

}  // namespace exactnorm
