#pragma once
/// \file
/// The loop that an application consists of, for every pair of dtypes, and the table of those compiled in.
/// Results do not depend on the table.

#include <cstddef>
#include <cstdint>

#include <exactnorm/tensor_view.hpp>

namespace exactnorm::kernels {

enum class Direction : std::uint8_t { normalize, invert };

/// How a run uses memory; no result depends on it.
struct Traffic {
  bool prefetch = false;   ///< what lies some way behind x will be read next
  bool streaming = false;  ///< writes whole cache lines past the caches; hwy::FlushStream() must follow
                           ///< before another thread may look. y must not be x.
};

/// y[i] of x[i]: converted to T, (x - mean) / divisor or mean + x * divisor, each step rounded by itself,
/// then converted with one rounding at most. x and y are contiguous, at any address, aligned or not; y may be
/// x if their elements have one size. mean and divisor have a value for each element. Precondition:
/// FpEnvironment.
template <class T>
using ApplyRun = void (*)(const std::byte* x, const T* mean, const T* divisor, std::int64_t count,
                          std::byte* y, Direction direction, Traffic traffic) noexcept;

/// The runs of one instruction set, for the pairs whose compute_type that is.
struct ApplyTable {
  ApplyRun<float> (*float32)(DType in, DType out) noexcept;
  ApplyRun<double> (*float64)(DType in, DType out) noexcept;
};

/// The table of the target in use (see targets.hpp); "portable" is the same source compiled for the
/// instructions that every CPU of the platform has. Throws std::invalid_argument for a bad EXACTNORM_TARGET.
const ApplyTable& apply_table();

}  // namespace exactnorm::kernels
