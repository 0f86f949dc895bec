#include "packed_weights.hpp"

#include <algorithm>
#include <bit>
#include <climits>
#include <cstring>
#include <type_traits>

#include "weighted_element.hpp"

namespace exactnorm {
namespace {

// Whether all are +0 or positive normal numbers.
bool all_plain(const std::byte* from, std::int64_t count) noexcept {
  bool plain = true;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto bits = load<std::uint32_t>(from + i * static_cast<std::int64_t>(sizeof(float)));
    plain &= bits - 0x00800000 < 0x7f800000 - 0x00800000 || bits == 0;
  }
  return plain;
}

template <class Format>
bool pack(const std::byte* from, std::ptrdiff_t stride, std::int64_t count, float* to) {
  if constexpr (std::is_same_v<Format, Float32>) {
    if (stride == sizeof(float) && all_plain(from, count)) {
      std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
      return true;
    }
  }
  bool exact = true;
  for (std::int64_t i = 0; i < count; ++i, from += stride) {
    const Decoded w = decode<Format>(load<typename Format::Bits>(from));
    check_weight(w);
    to[i] = 0;
    if (w.mantissa != 0) {
      // ±mantissa · 2^exponent is a normal float32 if its highest bit is and it has at most 24.
      const int length = 64 - std::countl_zero(w.mantissa);
      const int top = length - 1 + w.exponent;
      if (length - std::countr_zero(w.mantissa) > 24 || top < -126 || top > 127) {
        exact = false;
        continue;
      }
      const auto fraction =
          static_cast<std::uint32_t>(length > 24 ? w.mantissa >> (length - 24) : w.mantissa << (24 - length));
      to[i] = std::bit_cast<float>((static_cast<std::uint32_t>(top + 127) << 23) | (fraction & 0x7fffff));
    }
  }
  return exact;
}
}  // namespace

PackWeights packing_of_weights(DType dtype) {
  return with_format(dtype, []<class Format>(Format) -> PackWeights { return &pack<Format>; });
}

WeightRange range_of_weights(const std::vector<float>& weights) noexcept {
  std::uint32_t largest = 0;
  std::uint32_t smallest = ~std::uint32_t{0};  // less one, so that zero is the largest
  for (const float weight : weights) {
    const auto bits = std::bit_cast<std::uint32_t>(weight);
    largest = std::max(largest, bits);
    smallest = std::min(smallest, bits - 1);
  }
  if (largest == 0) {
    return {INT_MIN, INT_MAX};
  }
  return {static_cast<int>(largest >> 23) - 127 + 1, static_cast<int>((smallest + 1) >> 23) - 127};
}

}  // namespace exactnorm
