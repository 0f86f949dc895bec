#pragma once
/// \file
/// What sums and counts can be, and which of them go together.

#include <algorithm>
#include <limits>
#include <string>

#include <exactnorm/moments.hpp>

namespace exactnorm {

inline constexpr std::int64_t Counts::*count_kinds[] = {&Counts::finite, &Counts::nan, &Counts::posinf,
                                                        &Counts::neginf, &Counts::null};

/// Why no data can have given this feature; empty if some could.
std::string impossible(const Feature& feature, const ExactSum* weight);

/// Throws std::invalid_argument, "cannot <verb> …", unless shapes are equal, names equal or none on one side,
/// and weighting equal or nothing counted on one side.
void check_same_kind(const Moments& a, const Moments& b, const char* verb);

/// True if some count of the sum would exceed 2^63-1.
inline bool counts_overflow(const Counts& a, const Counts& b) noexcept {
  return std::ranges::any_of(count_kinds, [&](const auto kind) {
    return a.*kind > std::numeric_limits<std::int64_t>::max() - b.*kind;
  });
}

/// Makes room, so that the next add cannot fail.
inline void reserve_for(Feature& to, const Feature& from) {
  to.sum.reserve_for(from.sum);
  to.sumsq.reserve_for(from.sumsq);
}

/// Precondition: the counts do not overflow.
inline void add(Feature& to, const Feature& from) {
  for (const auto kind : count_kinds) {
    to.counts.*kind += from.counts.*kind;
  }
  to.sum += from.sum;
  to.sumsq += from.sumsq;
}

/// Counts may become negative.
inline void subtract(Feature& to, const Feature& from) {
  for (const auto kind : count_kinds) {
    to.counts.*kind -= from.counts.*kind;
  }
  to.sum -= from.sum;
  to.sumsq -= from.sumsq;
}

}  // namespace exactnorm
