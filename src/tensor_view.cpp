#include <exactnorm/tensor_view.hpp>

#include <algorithm>

namespace exactnorm {
namespace {

struct DTypeInfo {
  std::string_view name;
  std::size_t size;
};

// In the order of the enumeration.
constexpr std::array<DTypeInfo, 13> dtypes{{{"float16", 2},
                                            {"bfloat16", 2},
                                            {"float32", 4},
                                            {"float64", 8},
                                            {"int8", 1},
                                            {"int16", 2},
                                            {"int32", 4},
                                            {"int64", 8},
                                            {"uint8", 1},
                                            {"uint16", 2},
                                            {"uint32", 4},
                                            {"uint64", 8},
                                            {"bool", 1}}};

[[noreturn]] void throw_too_many_axes() {
  throw std::invalid_argument("an array may have at most " + std::to_string(max_rank) + " axes");
}

}  // namespace

std::size_t size_of(DType dtype) noexcept { return dtypes[static_cast<std::size_t>(dtype)].size; }

std::string_view name_of(DType dtype) noexcept { return dtypes[static_cast<std::size_t>(dtype)].name; }

DType dtype_named(std::string_view name) {
  std::string known;
  for (std::size_t i = 0; i < dtypes.size(); ++i) {
    if (dtypes[i].name == name) {
      return static_cast<DType>(i);
    }
    known.append(i == 0 ? "" : ", ").append(dtypes[i].name);
  }
  throw std::invalid_argument("dtype must be one of " + known + "; got '" + std::string(name) + "'");
}

bool is_floating(DType dtype) noexcept { return dtype <= DType::float64; }

Shape::Shape(std::span<const std::int64_t> values) : size_(values.size()) {
  if (size_ > max_rank) {
    throw_too_many_axes();
  }
  std::copy(values.begin(), values.end(), values_.begin());
}

Shape& Shape::operator=(const Shape& other) noexcept {
  size_ = other.size_;
  std::copy(other.begin(), other.end(), values_.begin());
  return *this;
}

void Shape::push_back(std::int64_t value) {
  if (size_ == max_rank) {
    throw_too_many_axes();
  }
  values_[size_++] = value;
}

bool operator==(const Shape& a, const Shape& b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  bool overflow = false;
  bool zero = false;
  for (const std::int64_t extent : shape) {
    if (extent < 0) {
      throw std::invalid_argument("negative extent in shape " + to_string(shape));
    }
    zero |= extent == 0;
    overflow |= __builtin_mul_overflow(count, extent, &count);
  }
  if (zero) {
    return 0;
  }
  if (overflow) {
    throw std::invalid_argument("shape " + to_string(shape) + " has more than 2^63-1 elements");
  }
  return count;
}

Shape contiguous_strides(const Shape& shape, DType dtype) {
  Shape strides = shape;
  // Unsigned, as it may wrap for shapes that element_count refuses, or that have no elements.
  auto stride = static_cast<std::uint64_t>(size_of(dtype));
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = static_cast<std::int64_t>(stride);
    stride *= static_cast<std::uint64_t>(std::max<std::int64_t>(shape[i], 1));
  }
  return strides;
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace exactnorm
