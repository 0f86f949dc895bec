#include "group_keys.hpp"

#include <algorithm>
#include <stdexcept>

namespace exactnorm {

std::string describe(std::int64_t key) { return std::to_string(key); }
std::string describe(std::string_view key) {
  constexpr std::size_t longest = 60;
  return "'" + std::string(key.substr(0, longest)) + (key.size() > longest ? "…'" : "'");
}

std::string describe_key(const KeyList& keys, std::size_t group) {
  return std::visit([&](const auto& all) { return describe(all[group]); }, keys);
}

void refuse_mix(const char* mine, const char* theirs) {
  throw std::invalid_argument(std::string("the keys are ") + mine + ", and " + theirs +
                              " do not mix with them");
}

bool any_counted(std::span<const Feature> features) noexcept {
  return std::any_of(features.begin(), features.end(),
                     [](const Feature& feature) { return feature.counts.any(); });
}

}  // namespace exactnorm
