#pragma once
/// \file
/// Many things in one message.

#include <cstddef>
#include <string>

namespace exactnorm {

/// "a, b, c, d, e and 7 more": item(0) … item(count-1), of which at most five are spelled out.
template <class Item>
std::string listed(std::size_t count, Item&& item) {
  constexpr std::size_t most = 5;
  std::string text;
  for (std::size_t i = 0; i < count && i < most; ++i) {
    text += (i == 0 ? "" : ", ") + item(i);
  }
  return count > most ? text + " and " + std::to_string(count - most) + " more" : text;
}

}  // namespace exactnorm
