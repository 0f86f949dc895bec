// The runs of apply_kernels.hpp, compiled once for every Highway target. The arithmetic is spelled out in
// vectors; the conversions are plain loops that compilers vectorise.

#include "apply_kernels.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <type_traits>

#include <hwy/cache_control.h>

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

// Elements that go through all steps before the next ones do: so few that the CPU reads and writes some while
// it divides others. A whole number of cache lines for every dtype.
constexpr std::size_t chunk = 64;
constexpr std::size_t line = 64;
constexpr std::size_t prefetch_distance = 2048;  // bytes

// bool as its byte, which need not be 0 or 1.
enum class boolean_bits : std::uint8_t {};

template <class To, class From>
HWY_INLINE To convert(From x) {
  if constexpr (std::is_same_v<From, float16_bits> || std::is_same_v<From, bfloat16_bits>) {
    return static_cast<To>(to_float(x));
  } else if constexpr (std::is_same_v<From, boolean_bits>) {
    return static_cast<To>(x != boolean_bits{} ? 1 : 0);
  } else if constexpr (std::is_same_v<To, float16_bits> || std::is_same_v<To, bfloat16_bits>) {
    return to_half<To>(x);
  } else {
    return static_cast<To>(x);  // one rounding at most: of integers of 64 bits, or of a double result
  }
}

template <class From, class To>
HWY_INLINE void convert_all(const std::byte* HWY_RESTRICT from, std::size_t count,
                            std::byte* HWY_RESTRICT to) {
  for (std::size_t i = 0; i < count; ++i) {
    From x;
    std::memcpy(&x, from + i * sizeof x, sizeof x);
    const auto y = convert<To>(x);
    std::memcpy(to + i * sizeof y, &y, sizeof y);
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
HWY_INLINE hn::Vec<D> step(D d, const T* x, const T* mean, const T* divisor, std::size_t i) {
  return Formula::of(hn::LoadU(d, x + i), hn::LoadU(d, mean + i), hn::LoadU(d, divisor + i));
}

// Only LoadU, StoreU and Stream look at x and y, which may be unaligned.
template <class Formula, class T>
HWY_INLINE void compute(const T* x, const T* mean, const T* divisor, std::size_t count, T* y) {
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, 1> one;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(step<Formula>(d, x, mean, divisor, i), d, y + i);
  }
  for (; i < count; ++i) {
    hn::StoreU(step<Formula>(one, x, mean, divisor, i), one, y + i);
  }
}

// The same of a chunk, for y at the beginning of a cache line.
template <class Formula, class T>
HWY_INLINE void compute_streaming(const T* x, const T* mean, const T* divisor, T* y) {
  const hn::ScalableTag<T> d;
  for (std::size_t i = 0; i < chunk; i += hn::Lanes(d)) {
    hn::Stream(step<Formula>(d, x, mean, divisor, i), d, y + i);
  }
}

// Of the lines of `to`, those that are written in full go past the caches.
HWY_INLINE void stream(const std::byte* from, std::size_t bytes, std::byte* to) {
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t head = std::min(bytes, (0 - reinterpret_cast<std::uintptr_t>(to)) % line);
  const std::size_t body_end = head + (bytes - head) / line * line;
  std::memcpy(to, from, head);
  const auto* x = reinterpret_cast<const std::uint8_t*>(from);
  auto* y = reinterpret_cast<std::uint8_t*>(to);
  for (std::size_t i = head; i < body_end; i += hn::Lanes(d)) {
    hn::Stream(hn::LoadU(d, x + i), d, y + i);
  }
  std::memcpy(to + body_end, from + body_end, bytes - body_end);
}

// n <= chunk elements.
template <class In, class Out, class T, class Formula>
HWY_INLINE void run_chunk(const std::byte* x, const T* mean, const T* divisor, std::size_t n, std::byte* y,
                          bool streaming) {
  alignas(line) T values[chunk];
  alignas(line) std::byte results[chunk * sizeof(Out)];
  auto* const value_bytes = reinterpret_cast<std::byte*>(values);
  const T* from = reinterpret_cast<const T*>(x);
  if constexpr (!std::is_same_v<In, T>) {
    convert_all<In, T>(x, n, value_bytes);
    from = values;
  }
  if constexpr (std::is_same_v<Out, T>) {
    auto* const to = reinterpret_cast<T*>(y);
    if (!streaming) {
      compute<Formula>(from, mean, divisor, n, to);
    } else if (n == chunk && reinterpret_cast<std::uintptr_t>(y) % line == 0) {
      compute_streaming<Formula>(from, mean, divisor, to);
    } else {
      compute<Formula>(from, mean, divisor, n, values);
      stream(value_bytes, n * sizeof(Out), y);
    }
  } else {
    compute<Formula>(from, mean, divisor, n, values);
    convert_all<T, Out>(value_bytes, n, streaming ? results : y);
    if (streaming) {
      stream(results, n * sizeof(Out), y);
    }
  }
}

template <class In, class Out, class T>
void run(const std::byte* x, const T* mean, const T* divisor, std::int64_t count, std::byte* y,
         Direction direction, Traffic traffic) noexcept {
  const auto size = static_cast<std::size_t>(count);
  // The first chunk may be shorter, so that the others begin lines of y.
  const std::size_t head = (0 - reinterpret_cast<std::uintptr_t>(y)) % line / sizeof(Out);
  std::size_t n = std::min(size, traffic.streaming && head > 0 ? head : chunk);
  for (std::size_t i = 0; i < size; i += n, n = std::min(size - i, chunk)) {
    const std::byte* const from = x + i * sizeof(In);
    if (traffic.prefetch) {
      for (std::size_t k = 0; k < chunk * sizeof(In); k += line) {
        hwy::Prefetch(from + prefetch_distance + k);
      }
    }
    std::byte* const to = y + i * sizeof(Out);
    if (direction == Direction::normalize) {
      run_chunk<In, Out, T, Normalize>(from, mean + i, divisor + i, n, to, traffic.streaming);
    } else {
      run_chunk<In, Out, T, Invert>(from, mean + i, divisor + i, n, to, traffic.streaming);
    }
  }
}

template <class In, class T>
ApplyRun<T> run_to(DType out) {
  if constexpr (std::is_same_v<T, float>) {
    switch (out) {
      case DType::float16:
        return &run<In, float16_bits, T>;
      case DType::bfloat16:
        return &run<In, bfloat16_bits, T>;
      default:
        return &run<In, float, T>;
    }
  } else if constexpr (std::is_same_v<In, double> || (std::is_integral_v<In> && sizeof(In) >= 4)) {
    switch (out) {
      case DType::float16:
        return &run<In, float16_bits, T>;
      case DType::bfloat16:
        return &run<In, bfloat16_bits, T>;
      case DType::float32:
        return &run<In, float, T>;
      default:
        return &run<In, double, T>;
    }
  } else {
    return &run<In, double, T>;  // compute_type is float32 for all other outputs
  }
}

template <class T>
ApplyRun<T> narrow_run(DType in, DType out) {
  switch (in) {
    case DType::float16:
      return run_to<float16_bits, T>(out);
    case DType::bfloat16:
      return run_to<bfloat16_bits, T>(out);
    case DType::float32:
      return run_to<float, T>(out);
    case DType::int8:
      return run_to<std::int8_t, T>(out);
    case DType::int16:
      return run_to<std::int16_t, T>(out);
    case DType::uint8:
      return run_to<std::uint8_t, T>(out);
    case DType::uint16:
      return run_to<std::uint16_t, T>(out);
    default:
      return run_to<boolean_bits, T>(out);
  }
}

ApplyRun<float> run_of_floats(DType in, DType out) noexcept { return narrow_run<float>(in, out); }

ApplyRun<double> run_of_doubles(DType in, DType out) noexcept {
  switch (in) {
    case DType::float64:
      return run_to<double, double>(out);
    case DType::int32:
      return run_to<std::int32_t, double>(out);
    case DType::int64:
      return run_to<std::int64_t, double>(out);
    case DType::uint32:
      return run_to<std::uint32_t, double>(out);
    case DType::uint64:
      return run_to<std::uint64_t, double>(out);
    default:
      return narrow_run<double>(in, out);
  }
}

// Data, not a function that makes it: that would itself be compiled for the target.
constexpr ApplyTable table{&run_of_floats, &run_of_doubles};

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
