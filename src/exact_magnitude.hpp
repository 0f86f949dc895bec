#pragma once
/// \file
/// ExactSum taken apart into sign and natural number, for products and readings.

#include <exactnorm/exact_sum.hpp>

#include "natural.hpp"

namespace exactnorm {

/// ±limbs · 2^(64·exponent); limbs trimmed.
struct ExactSum::Magnitude {
  Natural limbs;
  std::int32_t exponent = 0;
  bool negative = false;
};

}  // namespace exactnorm
