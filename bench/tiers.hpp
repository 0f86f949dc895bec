#pragma once
/// \file
/// Which way panels took: the one place that asks the library.

#include <functional>
#include <string>

namespace bench {

/// Shares of the panels that `run` summed in tier 1, in tier 2 and in integers, as a JSON list; null while
/// the library does not count them.
inline std::string tier_shares(const std::function<void()>& /*run*/) { return "null"; }

}  // namespace bench
