#pragma once
/// \file
/// Arrays of bit patterns in any memory layout.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include <exactnorm/tensor_view.hpp>

namespace arrays {

using exactnorm::DType;
using exactnorm::Shape;

constexpr DType all_dtypes[] = {DType::float16, DType::bfloat16, DType::float32, DType::float64,
                                DType::int8,    DType::int16,    DType::int32,   DType::int64,
                                DType::uint8,   DType::uint16,   DType::uint32,  DType::uint64,
                                DType::boolean};
constexpr DType floating_dtypes[] = {DType::float16, DType::bfloat16, DType::float32, DType::float64};

/// Calls f(index) for every index of the shape, in C order.
inline void for_each_index(const Shape& shape, const std::function<void(const Shape&)>& f) {
  Shape index = shape;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    index[i] = 0;
  }
  for (std::int64_t left = element_count(shape); left > 0; --left) {
    f(index);
    for (std::size_t i = shape.size(); i-- > 0;) {
      if (++index[i] < shape[i]) {
        break;
      }
      index[i] = 0;
    }
  }
}

/// How an array lies in memory.
struct Layout {
  std::vector<std::size_t> order = {};  ///< the axes, outermost in memory first; empty: C order
  std::vector<int> steps = {};          ///< of each axis: 2 leaves a gap, -1 runs backwards; empty: all 1
  std::size_t offset = 0;               ///< bytes before the first element: 1 makes all unaligned
};

class StridedArray {
 public:
  StridedArray(DType dtype, const Shape& shape, const Layout& layout = {})
      : dtype_(dtype), shape_(shape), strides_(shape) {
    std::vector<std::size_t> order = layout.order;
    if (order.empty()) {
      order.resize(shape.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
    }
    auto size = static_cast<std::int64_t>(size_of(dtype));
    std::int64_t first = 0;
    for (std::size_t i = order.size(); i-- > 0;) {
      const std::size_t axis = order[i];
      const int step = layout.steps.empty() ? 1 : layout.steps[axis];
      strides_[axis] = size * step;
      first += step < 0 ? -strides_[axis] * std::max<std::int64_t>(shape[axis] - 1, 0) : 0;
      size *= std::max<std::int64_t>(shape[axis], 1) * std::abs(step);
    }
    first_ = static_cast<std::size_t>(first) + layout.offset;
    memory_.resize(static_cast<std::size_t>(size) + layout.offset, std::byte{0xa5});
  }

  exactnorm::TensorView view() const { return {memory_.data() + first_, dtype_, shape_, strides_}; }
  exactnorm::MutableTensorView mutable_view() { return {memory_.data() + first_, dtype_, shape_, strides_}; }
  /// The same memory as elements of another dtype of the same size.
  exactnorm::MutableTensorView view_as(DType dtype) {
    return {memory_.data() + first_, dtype, shape_, strides_};
  }

  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  const std::vector<std::byte>& memory() const { return memory_; }

  /// All elements in C order, as the integers that their bits are.
  std::vector<std::uint64_t> bits() const {
    std::vector<std::uint64_t> result;
    for_each_index(shape_, [&](const Shape& index) {
      std::uint64_t value = 0;
      std::memcpy(&value, memory_.data() + position(index), size_of(dtype_));
      result.push_back(value);
    });
    return result;
  }
  void set_bits(const std::vector<std::uint64_t>& bits) {
    std::size_t next = 0;
    for_each_index(shape_, [&](const Shape& index) {
      const std::uint64_t value = bits.at(next++);
      std::memcpy(memory_.data() + position(index), &value, size_of(dtype_));
    });
  }

 private:
  std::size_t position(const Shape& index) const {
    auto at = static_cast<std::int64_t>(first_);
    for (std::size_t i = 0; i < index.size(); ++i) {
      at += index[i] * strides_[i];
    }
    return static_cast<std::size_t>(at);
  }

  DType dtype_;
  Shape shape_;
  Shape strides_;
  std::size_t first_ = 0;
  std::vector<std::byte> memory_;
};

/// The numbers' bits.
template <class T>
std::vector<std::uint64_t> bits_of(const std::vector<T>& numbers) {
  std::vector<std::uint64_t> bits;
  for (const T number : numbers) {
    bits.push_back(std::bit_cast<std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>(number));
  }
  return bits;
}

inline bool is_nan_bits(DType dtype, std::uint64_t bits) {
  switch (dtype) {
    case DType::float16:
      return (bits & 0x7fff) > 0x7c00;
    case DType::bfloat16:
      return (bits & 0x7fff) > 0x7f80;
    case DType::float32:
      return (bits & 0x7fffffff) > 0x7f800000;
    case DType::float64:
      return (bits & 0x7fffffffffffffff) > 0x7ff0000000000000;
    default:
      return false;
  }
}

/// Bit by bit, but any NaN equals any NaN.
inline ::testing::AssertionResult equal_bits(DType dtype, const std::vector<std::uint64_t>& actual,
                                             const std::vector<std::uint64_t>& expected) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure() << actual.size() << " elements, expected " << expected.size();
  }
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (actual[i] != expected[i] && !(is_nan_bits(dtype, actual[i]) && is_nan_bits(dtype, expected[i]))) {
      return ::testing::AssertionFailure()
             << "element " << i << " is " << std::hex << actual[i] << ", expected " << expected[i];
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace arrays
