#pragma once
/// \file
/// A view of somebody else's array: pointer, element type, shape, byte strides. It owns nothing.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace exactnorm {

/// Element types, in the machine's byte order. float16 is IEEE binary16, bfloat16 the upper half of a
/// float32, boolean one byte that is 0 (false) or anything else (true).
enum class DType : std::uint8_t {
  float16,
  bfloat16,
  float32,
  float64,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  boolean,
};

/// Bytes of one element.
std::size_t size_of(DType dtype) noexcept;
/// "float32", "bool", …: numpy's names.
std::string_view name_of(DType dtype) noexcept;
/// The inverse of name_of. Throws std::invalid_argument that lists the known names.
DType dtype_named(std::string_view name);
/// True for float16, bfloat16, float32 and float64.
bool is_floating(DType dtype) noexcept;

/// The bits of a binary16 or bfloat16 number, for spans and pointers of those types.
enum class float16_bits : std::uint16_t {};
enum class bfloat16_bits : std::uint16_t {};

/// The DType of a C++ element type.
template <class T>
constexpr DType dtype_of() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<U, float16_bits>) {
    return DType::float16;
  } else if constexpr (std::is_same_v<U, bfloat16_bits>) {
    return DType::bfloat16;
  } else if constexpr (std::is_same_v<U, float>) {
    return DType::float32;
  } else if constexpr (std::is_same_v<U, double>) {
    return DType::float64;
  } else if constexpr (std::is_same_v<U, bool>) {
    return DType::boolean;
  } else {
    static_assert(std::is_integral_v<U>, "not an element type of exactnorm");
    constexpr bool is_signed = std::is_signed_v<U>;
    switch (sizeof(U)) {
      case 1:
        return is_signed ? DType::int8 : DType::uint8;
      case 2:
        return is_signed ? DType::int16 : DType::uint16;
      case 4:
        return is_signed ? DType::int32 : DType::uint32;
      default:
        return is_signed ? DType::int64 : DType::uint64;
    }
  }
}

/// Most axes a view may have.
inline constexpr std::size_t max_rank = 32;

/// A short list of extents or strides, kept in place: views are made and copied without allocating.
class Shape {
 public:
  Shape() noexcept = default;
  Shape(std::initializer_list<std::int64_t> values) : Shape(std::span(values.begin(), values.size())) {}
  /// Throws std::invalid_argument if there are more than max_rank.
  explicit Shape(std::span<const std::int64_t> values);
  Shape(const Shape& other) noexcept { *this = other; }
  Shape& operator=(const Shape& other) noexcept;

  /// Throws std::invalid_argument at the (max_rank + 1)th.
  void push_back(std::int64_t value);
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  std::int64_t& operator[](std::size_t i) noexcept { return values_[i]; }
  std::int64_t operator[](std::size_t i) const noexcept { return values_[i]; }
  [[nodiscard]] const std::int64_t* begin() const noexcept { return values_.data(); }
  [[nodiscard]] const std::int64_t* end() const noexcept { return values_.data() + size_; }

  friend bool operator==(const Shape& a, const Shape& b) noexcept;

 private:
  std::array<std::int64_t, max_rank> values_;  // only the first size_ are meaningful
  std::size_t size_ = 0;
};

/// The product of the extents, 1 for rank 0. Throws std::invalid_argument for a negative extent or a product
/// above 2^63-1.
std::int64_t element_count(const Shape& shape);
/// Byte strides of a C-contiguous array.
Shape contiguous_strides(const Shape& shape, DType dtype);
/// "(32, 16)", "(3,)", "()": as Python prints a tuple.
std::string to_string(const Shape& shape);

/// An array to read. Element (i, j, …) lies at data + i*strides[0] + j*strides[1] + …; strides may be
/// negative, zero or no multiple of the element size (unaligned elements are fine).
struct TensorView {
  const void* data = nullptr;
  DType dtype = DType::float32;
  Shape shape;
  Shape strides;
};

/// An array to write.
struct MutableTensorView {
  void* data = nullptr;
  DType dtype = DType::float32;
  Shape shape;
  Shape strides;

  // NOLINTNEXTLINE(google-explicit-constructor)
  operator TensorView() const { return {data, dtype, shape, strides}; }
};

/// A C-contiguous array of the given shape.
template <class T>
TensorView contiguous(const T* data, const Shape& shape) {
  return {data, dtype_of<T>(), shape, contiguous_strides(shape, dtype_of<T>())};
}
template <class T>
requires(!std::is_const_v<T>) MutableTensorView contiguous(T* data, const Shape& shape) {
  return {data, dtype_of<T>(), shape, contiguous_strides(shape, dtype_of<T>())};
}

/// A row-major table: n_rows × n_features.
template <class T>
auto rows(T* data, std::size_t n_rows, std::size_t n_features) {
  return contiguous(data, Shape{static_cast<std::int64_t>(n_rows), static_cast<std::int64_t>(n_features)});
}

/// Memory that somebody else keeps: a span, an lvalue vector or array, …; not a temporary vector.
template <class Range>
concept ContiguousData = std::ranges::contiguous_range<Range> && std::ranges::borrowed_range<Range>;

/// All of a contiguous range as rows of n_features. Throws std::invalid_argument if it does not come out
/// even.
template <ContiguousData Range>
auto rows(Range&& values, std::size_t n_features) {
  const std::size_t size = std::ranges::size(values);
  if (n_features == 0 || size % n_features != 0) {
    throw std::invalid_argument(std::to_string(size) + " values are no whole number of rows of " +
                                std::to_string(n_features) + " features");
  }
  return rows(std::ranges::data(values), size / n_features, n_features);
}

/// A contiguous range as a 1-d array.
template <ContiguousData Range>
auto column(Range&& values) {
  return contiguous(std::ranges::data(values), Shape{static_cast<std::int64_t>(std::ranges::size(values))});
}

}  // namespace exactnorm
