#pragma once
/// \file
/// Real numbers as the shortest text that reads back to the same bits.

#include <charconv>
#include <cmath>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace exactnorm::state {

/// As std::to_chars writes: the fewest digits, in fixed notation or, where that is shorter, in scientific;
/// "inf", "-inf"; "nan" for every NaN.
template <class T>
std::string real_to_text(T value) {
  if (std::isnan(value)) {
    return "nan";
  }
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

/// The inverse; accepts what real_to_text writes alone. Throws std::invalid_argument.
template <class T>
T real_from_text(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || real_to_text(value) != text) {
    throw std::invalid_argument("expected the shortest decimal of a " +
                                std::string(sizeof(T) == 4 ? "float32" : "float64"));
  }
  return value;
}

}  // namespace exactnorm::state
