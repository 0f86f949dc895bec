#pragma once
/// \file
/// Elements of every dtype as integers: no floating-point instruction looks at the data, so no control word
/// can change what they are.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <type_traits>

#include <exactnorm/tensor_view.hpp>

namespace exactnorm {

/// The layout of an IEEE-like binary format: sign, exponent, fraction. A finite number is ±mantissa ·
/// 2^(max(exponent field, 1) - bias).
template <class BitsType, int ExponentBits, int FractionBits>
struct FloatFormat {
  using Bits = BitsType;
  static constexpr bool is_float = true;
  static constexpr int fraction_bits = FractionBits;
  static constexpr int exponents = 1 << ExponentBits;
  static constexpr int special = exponents - 1;  // the exponent field of infinities and NaN
  static constexpr int bias = (exponents / 2 - 1) + FractionBits;
  static constexpr Bits fraction_mask = static_cast<Bits>((Bits{1} << FractionBits) - 1);
  static constexpr Bits magnitude_mask = static_cast<Bits>((Bits{1} << (ExponentBits + FractionBits)) - 1);
};

template <class T>
struct IntegerFormat {
  using Bits = T;
  static constexpr bool is_float = false;
};

struct BooleanFormat : IntegerFormat<std::uint8_t> {};

using Float16 = FloatFormat<std::uint16_t, 5, 10>;
using BFloat16 = FloatFormat<std::uint16_t, 8, 7>;
using Float32 = FloatFormat<std::uint32_t, 8, 23>;
using Float64 = FloatFormat<std::uint64_t, 11, 52>;

/// Calls f with the format of the dtype as a value of that type.
template <class F>
decltype(auto) with_format(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float16:
      return f(Float16{});
    case DType::bfloat16:
      return f(BFloat16{});
    case DType::float32:
      return f(Float32{});
    case DType::float64:
      return f(Float64{});
    case DType::int8:
      return f(IntegerFormat<std::int8_t>{});
    case DType::int16:
      return f(IntegerFormat<std::int16_t>{});
    case DType::int32:
      return f(IntegerFormat<std::int32_t>{});
    case DType::int64:
      return f(IntegerFormat<std::int64_t>{});
    case DType::uint8:
      return f(IntegerFormat<std::uint8_t>{});
    case DType::uint16:
      return f(IntegerFormat<std::uint16_t>{});
    case DType::uint32:
      return f(IntegerFormat<std::uint32_t>{});
    case DType::uint64:
      return f(IntegerFormat<std::uint64_t>{});
    case DType::boolean:
      return f(BooleanFormat{});
  }
  throw std::logic_error("unreachable: unknown dtype");
}

/// An element at any address, aligned or not.
template <class T>
T load(const std::byte* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

enum class Kind : std::uint8_t { finite, nan, posinf, neginf };

/// ±mantissa · 2^exponent if kind is finite.
struct Decoded {
  std::uint64_t mantissa = 0;
  int exponent = 0;
  bool negative = false;
  Kind kind = Kind::finite;
};

template <class Format>
Decoded decode(typename Format::Bits bits) noexcept {
  if constexpr (Format::is_float) {
    const auto field = static_cast<int>((bits & Format::magnitude_mask) >> Format::fraction_bits);
    const std::uint64_t fraction = bits & Format::fraction_mask;
    const bool negative = bits > Format::magnitude_mask;
    if (field == Format::special) {
      return {0, 0, negative, fraction != 0 ? Kind::nan : negative ? Kind::neginf : Kind::posinf};
    }
    const std::uint64_t hidden = field != 0 ? std::uint64_t{1} << Format::fraction_bits : 0;
    return {fraction | hidden, (field != 0 ? field : 1) - Format::bias, negative, Kind::finite};
  } else if constexpr (std::is_same_v<Format, BooleanFormat>) {
    return {bits != 0 ? 1U : 0U, 0, false, Kind::finite};
  } else {
    const auto wide = static_cast<std::uint64_t>(bits);  // sign-extended
    const bool negative = bits < 0;
    return {negative ? -wide : wide, 0, negative, Kind::finite};
  }
}

using Decoder = Decoded (*)(const std::byte*) noexcept;
/// Loads and decodes an element of the dtype.
inline Decoder decoder_of(DType dtype) {
  return with_format(dtype, []<class Format>(Format) -> Decoder {
    return [](const std::byte* at) noexcept { return decode<Format>(load<typename Format::Bits>(at)); };
  });
}

}  // namespace exactnorm
