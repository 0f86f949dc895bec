#pragma once
/// \file
/// Is it text?

#include <string_view>

namespace exactnorm {

/// True if text is well-formed UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates, nothing above
/// U+10FFFF.
bool is_utf8(std::string_view text) noexcept;

}  // namespace exactnorm
