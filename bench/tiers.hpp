#pragma once
/// \file
/// Which way panels took, as the library counts them.

#include <array>
#include <exactnorm/moments.hpp>
#include <functional>
#include <string>

namespace bench {

/// What updates under measurement count into.
inline exactnorm::TierCounts panels{};

/// Shares of the panels that `run` summed in tiers 0 and 1, in tier 2 and in integers, as a JSON list; null
/// if it counted none.
inline std::string tier_shares(const std::function<void()>& run) {
  panels = {};
  run();
  const auto [zero, one, two, integers] = panels;
  const double all = static_cast<double>(zero + one + two + integers);
  if (all == 0) {
    return "null";
  }
  const auto share = [&](std::int64_t count) { return std::to_string(static_cast<double>(count) / all); };
  return "[" + share(zero + one) + ", " + share(two) + ", " + share(integers) + "]";
}

}  // namespace bench
