#pragma once
/// \file
/// How tall panels are, and how far ahead of them to read, by the width of their rows.

#include <cstdint>

#include "kernels/kernels.hpp"

namespace exactnorm {

struct PanelShape {
  std::int64_t rows;
  std::int64_t ahead;  ///< bytes
};

/// Narrow rows: a panel fits the cache, and the next is asked for while it is summed. Wide ones: the columns
/// that are summed next are asked for; of rows many pages apart that share sets of the cache, few at a time.
constexpr PanelShape panel_shape(std::int64_t row_stride_bytes) noexcept {
  constexpr auto most = static_cast<std::int64_t>(kernels::panel_rows);
  if (row_stride_bytes <= 512) {
    return {most, most * row_stride_bytes};
  }
  return {row_stride_bytes % 4096 == 0 ? most / 4 : most, 128};
}

}  // namespace exactnorm
