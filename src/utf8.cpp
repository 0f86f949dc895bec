#include "utf8.hpp"

#include <cstddef>

namespace exactnorm {

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) {
      continue;
    }
    const int following = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (lead < 0xc2 || lead > 0xf4) {
      return false;
    }
    // What the second byte may be depends on the first: this is where overlong forms, surrogates and too
    // large code points end.
    unsigned least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    for (int k = 0; k < following; ++k) {
      if (i == text.size()) {
        return false;
      }
      const auto next = static_cast<unsigned char>(text[i++]);
      if (next < least || next > most) {
        return false;
      }
      least = 0x80;
      most = 0xbf;
    }
  }
  return true;
}

}  // namespace exactnorm
