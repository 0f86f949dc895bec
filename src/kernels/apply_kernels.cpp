// The runs of apply_kernels.hpp, compiled once for every Highway target. Elements are read, converted,
// divided, converted and written in one go, so that the CPU waits for memory and for the divider at once.

#include "apply_kernels.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "../half.hpp"
#include "highway_targets.hpp"
#include "kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/apply_kernels.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace exactnorm::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t line = 64;   // bytes that streaming writes at a time
constexpr std::size_t chunk = 64;  // elements between two prefetches: whole lines of every dtype
constexpr std::size_t prefetch_distance = 2048;  // bytes

// bool as its byte, which need not be 0 or 1.
enum class boolean_bits : std::uint8_t {};

template <class In>
constexpr bool is_half = std::is_same_v<In, float16_bits> || std::is_same_v<In, bfloat16_bits>;
// Highway's conversions round correctly where they are instructions: elsewhere that to float16 truncates, and
// that of double to float saturates.
constexpr bool converts = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON;

// Which elements load converts to T, and store from T, within the registers. The others go through a chunk.
template <class In, class T>
constexpr bool loads = std::is_same_v<In, T> ||
                       (converts && sizeof(T) == 4 &&
                        (is_half<In> || (std::is_integral_v<In> && sizeof(In) <= 2))) ||
                       (converts && sizeof(T) == 8 &&
                        (std::is_same_v<In, float> || std::is_same_v<In, std::int32_t>));
template <class Out, class T>
constexpr bool stores = std::is_same_v<Out, T> || (converts && sizeof(T) == 4 && is_half<Out>) ||
                        (converts && sizeof(T) == 8 && std::is_same_v<Out, float>);

// `from` need not be aligned.
template <class In, class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load(D d, const In* from) {
  if constexpr (std::is_same_v<In, T>) {
    return hn::LoadU(d, from);
  } else if constexpr (std::is_same_v<In, float16_bits>) {
    return hn::PromoteTo(
        d, hn::LoadU(hn::Rebind<hwy::float16_t, D>(), reinterpret_cast<const hwy::float16_t*>(from)));
  } else if constexpr (std::is_same_v<In, bfloat16_bits>) {
    const hn::RebindToUnsigned<D> bits;
    const auto upper =
        hn::LoadU(hn::Rebind<std::uint16_t, D>(), reinterpret_cast<const std::uint16_t*>(from));
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(bits, upper)));
  } else if constexpr (sizeof(T) == 8) {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<In, D>(), from));  // float32 and int32
  } else {
    return hn::ConvertTo(d, hn::PromoteTo(hn::RebindToSigned<D>(), hn::LoadU(hn::Rebind<In, D>(), from)));
  }
}

// One rounding at most.
template <class Out, class D, class T = hn::TFromD<D>>
HWY_INLINE auto rounded(D d, hn::Vec<D> y) {
  if constexpr (std::is_same_v<Out, T>) {
    return y;
  } else if constexpr (std::is_same_v<Out, float>) {
    return hn::DemoteTo(hn::Rebind<float, D>(), y);
  } else {
    // As to_half: NaN becomes the quiet one of its sign, which both ways cut to the right one. Float32 has
    // bfloat16's exponents, so that its bits round as an integer, subnormals too.
    const hn::RebindToUnsigned<D> u;
    const auto bits = hn::BitCast(u, y);
    const auto quiet = hn::Or(hn::And(bits, hn::Set(u, 0x80000000)), hn::Set(u, 0x7fc00000));
    const auto is_nan = hn::RebindMask(u, hn::IsNaN(y));
    if constexpr (std::is_same_v<Out, float16_bits>) {
      const auto number = hn::BitCast(d, hn::IfThenElse(is_nan, quiet, bits));
      return hn::BitCast(hn::Rebind<std::uint16_t, D>(),
                         hn::DemoteTo(hn::Rebind<hwy::float16_t, D>(), number));
    } else {
      const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(u, 1));
      const auto up = hn::Add(bits, hn::Add(odd, hn::Set(u, 0x7fff)));
      const auto half = hn::ShiftRight<16>(hn::IfThenElse(is_nan, quiet, up));
      return hn::DemoteTo(hn::Rebind<std::uint16_t, D>(), hn::BitCast(hn::RebindToSigned<D>(), half));
    }
  }
}

// One element, where there is no vector for it.
template <class To, class From>
HWY_INLINE To convert(From x) {
  if constexpr (is_half<From>) {
    return static_cast<To>(to_float(x));
  } else if constexpr (std::is_same_v<From, boolean_bits>) {
    return static_cast<To>(x != boolean_bits{} ? 1 : 0);
  } else if constexpr (is_half<To>) {
    return to_half<To>(x);
  } else {
    return static_cast<To>(x);  // one rounding at most: of integers of 64 bits, or of a double result
  }
}

template <class From, class To>
HWY_INLINE void convert_all(const From* HWY_RESTRICT from, std::size_t count, To* HWY_RESTRICT to) {
  for (std::size_t i = 0; i < count; ++i) {
    From x;
    std::memcpy(&x, from + i, sizeof x);  // may be unaligned
    const To y = convert<To>(x);
    std::memcpy(to + i, &y, sizeof y);
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

struct StoreInCache {
  template <class Vector, class D, class T>
  static HWY_INLINE void store(Vector y, D d, T* to) {
    hn::StoreU(y, d, to);
  }
};

struct StorePastCaches {
  template <class Vector, class D, class T>
  static HWY_INLINE void store(Vector y, D d, T* to) {
    hn::Stream(y, d, to);
  }
};

template <class Formula, class Storing, class In, class Out, class D, class T = hn::TFromD<D>>
HWY_INLINE void step(D d, const In* x, const T* mean, const T* divisor, Out* y) {
  using Element = std::conditional_t<is_half<Out>, std::uint16_t, Out>;
  const hn::Rebind<Element, D> out;
  const auto result = Formula::of(load<In>(d, x), hn::LoadU(d, mean), hn::LoadU(d, divisor));
  Storing::store(rounded<Out>(d, result), out, reinterpret_cast<Element*>(y));
}

// Everything within the registers.
template <class Formula, class Storing, class In, class Out, class T>
HWY_INLINE void run_vectors(const In* x, const T* mean, const T* divisor, std::size_t count, Out* y) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    step<Formula, Storing>(d, x + i, mean + i, divisor + i, y + i);
  }
  for (; i < count; ++i) {
    step<Formula, StoreInCache>(hn::CappedTag<T, 1>(), x + i, mean + i, divisor + i, y + i);
  }
}

template <class Formula, class Storing, class In, class Out, class T>
HWY_INLINE void run_chunks(const In* x, const T* mean, const T* divisor, std::size_t count, Out* y,
                           bool prefetch) {
  for (std::size_t i = 0; i < count; i += chunk) {
    const std::size_t n = std::min(chunk, count - i);
    if (prefetch) {
      for (std::size_t k = 0; k < chunk * sizeof(In); k += line) {
        hwy::Prefetch(reinterpret_cast<const std::byte*>(x + i) + prefetch_distance + k);
      }
    }
    T values[chunk];
    const auto store = [&](const auto* from) HWY_ATTR {
      if constexpr (stores<Out, T>) {
        run_vectors<Formula, Storing>(from, mean + i, divisor + i, n, y + i);
      } else {
        run_vectors<Formula, StoreInCache>(from, mean + i, divisor + i, n, values);
        convert_all(values, n, y + i);
      }
    };
    if constexpr (loads<In, T>) {
      store(x + i);
    } else {
      convert_all(x + i, n, values);
      store(values);
    }
  }
}

template <class Formula, class In, class Out, class T>
HWY_INLINE void run_formula(const In* x, const T* mean, const T* divisor, std::size_t count, Out* y,
                            Traffic traffic) {
  std::size_t done = 0;
  if (traffic.streaming && reinterpret_cast<std::uintptr_t>(y) % sizeof(Out) == 0) {
    // Whole lines past the caches, what comes before and after as usual. The line after is fetched in time,
    // or all later stores would wait behind the first one to it.
    hwy::Prefetch(y + count);
    const std::size_t before = (0 - reinterpret_cast<std::uintptr_t>(y)) % line / sizeof(Out);
    if (before < count) {
      run_chunks<Formula, StoreInCache>(x, mean, divisor, before, y, false);
      const std::size_t lines = (count - before) * sizeof(Out) / line;
      done = before + lines * line / sizeof(Out);
      run_chunks<Formula, StorePastCaches>(x + before, mean + before, divisor + before, done - before,
                                           y + before, traffic.prefetch);
    }
  }
  run_chunks<Formula, StoreInCache>(x + done, mean + done, divisor + done, count - done, y + done,
                                    traffic.prefetch);
}

template <class In, class Out, class T>
void run(const std::byte* x, const T* mean, const T* divisor, std::int64_t count, std::byte* y,
         Direction direction, Traffic traffic) noexcept {
  const auto* from = reinterpret_cast<const In*>(x);
  auto* to = reinterpret_cast<Out*>(y);
  const auto size = static_cast<std::size_t>(count);
  if (direction == Direction::normalize) {
    run_formula<Normalize>(from, mean, divisor, size, to, traffic);
  } else {
    run_formula<Invert>(from, mean, divisor, size, to, traffic);
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
