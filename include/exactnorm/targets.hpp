#pragma once
/// \file
/// Which kernels run: the instruction sets compiled in, what this CPU has, and a way to force one.

#include <string>
#include <string_view>
#include <vector>

namespace exactnorm {

struct Target {
  std::string name;  ///< "avx512", "avx2", "neon", "portable"
  bool supported;    ///< by this CPU
  bool chosen;       ///< what the next call uses
};

/// All targets compiled in, best first; "portable", integers only, is always the last and always supported.
/// Throws std::invalid_argument if EXACTNORM_TARGET names none of them, or one this CPU lacks.
std::vector<Target> targets();

/// Uses this target from now on, in the whole process; "" goes back to the best (or to EXACTNORM_TARGET).
/// Results do not depend on it. Throws std::invalid_argument that lists the targets if the name is unknown or
/// the CPU lacks it.
void force_target(std::string_view name);

}  // namespace exactnorm
