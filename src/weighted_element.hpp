#pragma once
/// \file
/// What sums of weighted data do with an element that is no ordinary one.

#include <stdexcept>
#include <string>

#include <exactnorm/moments.hpp>

#include "decode.hpp"

namespace exactnorm {

/// Throws std::invalid_argument for a weight that is negative or not finite.
inline void check_weight(const Decoded& w) {
  if (w.kind != Kind::finite || (w.negative && w.mantissa != 0)) {
    const char* what = w.kind == Kind::nan ? "NaN" : w.kind == Kind::posinf ? "infinity" : "a negative one";
    throw std::invalid_argument(std::string("weights must be non-negative and finite, got ") + what);
  }
}

/// Counts a NaN or an infinity.
inline void count_special(Kind kind, Counts& counts) noexcept {
  ++(kind == Kind::nan ? counts.nan : kind == Kind::posinf ? counts.posinf : counts.neginf);
}

}  // namespace exactnorm
