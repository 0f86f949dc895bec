#pragma once
/// \file
/// Running one thing on every instruction set that this CPU has.

#include <string>
#include <vector>

#include <exactnorm/targets.hpp>

/// The names of the targets that this CPU supports; "portable" is the last.
inline std::vector<std::string> supported_targets() {
  std::vector<std::string> names;
  for (const exactnorm::Target& target : exactnorm::targets()) {
    if (target.supported) {
      names.push_back(target.name);
    }
  }
  return names;
}

/// Forces a target until the end of the scope.
class ForcedTarget {
 public:
  explicit ForcedTarget(const std::string& name) { exactnorm::force_target(name); }
  ~ForcedTarget() { exactnorm::force_target(""); }
  ForcedTarget(const ForcedTarget&) = delete;
  ForcedTarget& operator=(const ForcedTarget&) = delete;
};
