#pragma once
/// \file
/// An application block by block.

#include <cstddef>
#include <cstdint>

#include <exactnorm/normalizer.hpp>

#include "block_plan.hpp"
#include "kernels/apply_kernels.hpp"

namespace exactnorm {

using kernels::Direction;

/// What is to be done, computed in T (float or double). out may be in itself.
/// Preconditions: T == compute_type(in_dtype, out_dtype); no streaming if out is in.
template <class T>
struct Application {
  const BlockPlan& plan;
  const std::byte* in;
  DType in_dtype;
  std::byte* out;
  DType out_dtype;
  const Scale<T>& scale;
  Direction direction;
  kernels::Traffic traffic;
  kernels::ApplyRun<T> run;  ///< of the two dtypes
};

/// Does blocks first … last-1 of the plan. Precondition: FpEnvironment is in effect.
template <class T>
void apply_blocks(const Application<T>& application, std::int64_t first, std::int64_t last) noexcept;

}  // namespace exactnorm
