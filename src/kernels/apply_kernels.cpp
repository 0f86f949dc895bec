// The loops of apply_kernels.hpp, compiled once for every Highway target. The arithmetic is spelled out in
// vectors; the conversions are plain loops that compilers vectorise.

#include "apply_kernels.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "../half.hpp"
#include "kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/apply_kernels.cpp"
// As in anchored.cpp.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace exactnorm::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// bool as its byte, which need not be 0 or 1.
enum class boolean_bits : std::uint8_t {};

template <class T, class Element>
HWY_INLINE T convert(Element x) noexcept {
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

template <class Element, class T>
HWY_INLINE void load_strided(const std::byte* from, std::int64_t stride, std::int64_t count,
                             T* HWY_RESTRICT to) noexcept {
  for (std::int64_t i = 0; i < count; ++i) {
    Element element;
    std::memcpy(&element, from + i * stride, sizeof element);
    to[i] = convert<T>(element);
  }
}

template <class Element, class T>
void load(const std::byte* from, std::int64_t stride, std::int64_t count, T* to) noexcept {
  constexpr auto size = static_cast<std::int64_t>(sizeof(Element));
  if (stride == size) {
    load_strided<Element>(from, size, count, to);  // a constant stride is what gets vectorised
  } else {
    load_strided<Element>(from, stride, count, to);
  }
}

template <class Element, class T>
HWY_INLINE void store_strided(const T* HWY_RESTRICT from, std::int64_t stride, std::int64_t count,
                              std::byte* to) noexcept {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto element = convert<Element>(from[i]);
    std::memcpy(to + i * stride, &element, sizeof element);
  }
}

template <class Element, class T>
void store(const T* from, std::int64_t stride, std::int64_t count, std::byte* to) noexcept {
  constexpr auto size = static_cast<std::int64_t>(sizeof(Element));
  if (stride == size) {
    store_strided<Element>(from, size, count, to);
  } else {
    store_strided<Element>(from, stride, count, to);
  }
}

template <class T>
Load<T> load_of(DType dtype) noexcept {
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
Store<T> store_of(DType dtype) noexcept {
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

struct Normalize {
  template <class Vector>
  static HWY_INLINE Vector of(Vector x, Vector mean, Vector divisor) {
    return hn::Div(hn::Sub(x, mean), divisor);
  }
};

struct Invert {
  template <class Vector>
  static HWY_INLINE Vector of(Vector x, Vector mean, Vector divisor) {
    return hn::Add(mean, hn::Mul(x, divisor));  // two roundings: never MulAdd
  }
};

template <class Formula, class D, class T = hn::TFromD<D>>
HWY_INLINE void step(D d, const T* x, const T* mean, const T* divisor, std::size_t i, T* y) {
  hn::StoreU(Formula::of(hn::LoadU(d, x + i), hn::LoadU(d, mean + i), hn::LoadU(d, divisor + i)), d, y + i);
}

template <class Formula, class T>
void compute(const std::byte* from, const T* mean, const T* divisor, std::int64_t count,
             std::byte* to) noexcept {
  const auto* x = reinterpret_cast<const T*>(from);  // only LoadU and StoreU look at them
  auto* y = reinterpret_cast<T*>(to);
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  const std::size_t lanes = hn::Lanes(d);
  const auto size = static_cast<std::size_t>(count);
  std::size_t i = 0;
  for (; i + 2 * lanes <= size; i += 2 * lanes) {
    step<Formula>(d, x, mean, divisor, i, y);
    step<Formula>(d, x, mean, divisor, i + lanes, y);
  }
  for (; i < size; ++i) {
    step<Formula>(one, x, mean, divisor, i, y);
  }
}

void stream(const std::byte* from, std::int64_t bytes, std::byte* to) noexcept {
  constexpr std::size_t line = 64;
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t lanes = hn::Lanes(d);
  auto left = static_cast<std::size_t>(bytes);
  const std::size_t head = std::min(left, (0 - reinterpret_cast<std::uintptr_t>(to)) % line);
  std::memcpy(to, from, head);
  from += head;
  to += head;
  left -= head;
  const auto* x = reinterpret_cast<const std::uint8_t*>(from);
  auto* y = reinterpret_cast<std::uint8_t*>(to);
  const std::size_t whole = left / line * line;
  for (std::size_t i = 0; i < whole; i += lanes) {
    hn::Stream(hn::LoadU(d, x + i), d, y + i);
  }
  std::memcpy(to + whole, from + whole, left - whole);
}

template <class T>
constexpr ApplyLoops<T> loops() {
  return {&load_of<T>, &store_of<T>, &compute<Normalize, T>, &compute<Invert, T>};
}

// Data, not a function that makes it: that would itself be compiled for the target.
constexpr ApplyTable table{loops<float>(), loops<double>(), &stream};

}  // namespace
}  // namespace exactnorm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace exactnorm::kernels {

const ApplyTable& apply_table() {
  [[maybe_unused]] const std::string_view name = chosen().name;
#if HWY_TARGETS & HWY_AVX3
  if (name == "avx512") {
    return N_AVX3::table;
  }
#endif
#if HWY_TARGETS & HWY_AVX2
  if (name == "avx2") {
    return N_AVX2::table;
  }
#endif
#if HWY_TARGETS & HWY_NEON
  if (name == "neon") {
    return N_NEON::table;
  }
#endif
  return HWY_STATIC_DISPATCH(table);
}

}  // namespace exactnorm::kernels
#endif
