#pragma once
/// \file
/// The loops that an application consists of, and the table of those compiled in. All are elementwise, every
/// step is rounded by itself, and elements may lie at any address, aligned or not. Results do not depend on
/// the table. Precondition of those that compute: FpEnvironment.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <exactnorm/tensor_view.hpp>

namespace exactnorm::kernels {

/// to[i] = the element stride bytes after the last one, converted: at most one rounding.
template <class T>
using Load = void (*)(const std::byte* from, std::int64_t stride, std::int64_t count, T* to) noexcept;
/// The way back, of floating-point dtypes: one rounding.
template <class T>
using Store = void (*)(const T* from, std::int64_t stride, std::int64_t count, std::byte* to) noexcept;
/// y[i] of x[i], both contiguous T: (x - mean) / divisor or mean + x * divisor. y may be x itself.
template <class T>
using Compute = void (*)(const std::byte* x, const T* mean, const T* divisor, std::int64_t count,
                         std::byte* y) noexcept;
/// Copies past the caches whatever whole cache lines there are. hwy::FlushStream() must follow before another
/// thread may look.
using Stream = void (*)(const std::byte* from, std::int64_t bytes, std::byte* to) noexcept;

/// The loops of one compute type.
template <class T>
struct ApplyLoops {
  Load<T> (*load_of)(DType dtype) noexcept;
  Store<T> (*store_of)(DType dtype) noexcept;
  Compute<T> normalize;
  Compute<T> invert;
};

/// The loops of one instruction set.
struct ApplyTable {
  ApplyLoops<float> float32;
  ApplyLoops<double> float64;
  Stream stream;

  template <class T>
  [[nodiscard]] const ApplyLoops<T>& loops() const noexcept {
    if constexpr (std::is_same_v<T, float>) {
      return float32;
    } else {
      return float64;
    }
  }
};

/// The table of the target in use (see targets.hpp); "portable" is the same source compiled for the
/// instructions that every CPU of the platform has. Throws std::invalid_argument for a bad EXACTNORM_TARGET.
const ApplyTable& apply_table();

}  // namespace exactnorm::kernels
