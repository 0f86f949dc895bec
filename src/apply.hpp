#pragma once
/// \file
/// The arithmetic of an application, block by block: load, (x - mean) / divisor or back, store.

#include <cstddef>
#include <cstdint>

#include <exactnorm/normalizer.hpp>

#include "block_plan.hpp"

namespace exactnorm {

enum class Direction : std::uint8_t { normalize, invert };

/// Blocks first … last-1 of the plan for in and out, computed in T (float or double). out may be in itself.
/// Preconditions: FpEnvironment is in effect; T == compute_type(in.dtype, out.dtype).
template <class T>
void apply_blocks(const BlockPlan& plan, const TensorView& in, const MutableTensorView& out,
                  const Scale<T>& scale, Direction direction, std::int64_t first, std::int64_t last) noexcept;

}  // namespace exactnorm
