#pragma once
/// \file
/// Keys of groups in messages.

#include <string>

#include <exactnorm/grouped_moments.hpp>

namespace exactnorm {

/// "'NL'", cut short if it is long, or "7".
std::string describe(std::int64_t key);
std::string describe(std::string_view key);
/// Of the key of that group.
std::string describe_key(const KeyList& keys, std::size_t group);

template <class Keys>
const char* kind_of(const Keys& keys) noexcept {
  return keys.index() == 0 ? "integers" : "strings";
}

/// Throws std::invalid_argument.
[[noreturn]] void refuse_mix(const char* mine, const char* theirs);

/// True if some value of any kind has been counted.
bool any_counted(std::span<const Feature> features) noexcept;

}  // namespace exactnorm
