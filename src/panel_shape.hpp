#pragma once
/// \file
/// How tall panels are, and how far ahead of them to read, by the width of their rows.

#include <algorithm>
#include <cstdint>

#include "kernels/kernels.hpp"

namespace exactnorm {

struct PanelShape {
  std::int64_t rows;
  std::int64_t ahead;  ///< bytes
};

/// Of rows up to 2 KiB a panel has about 16 KiB, a third of a first cache, and the next is asked for while it
/// is summed. Of wider rows the columns that are summed next are asked for; if the rows are many pages apart
/// and share sets of the cache, fewer of them at a time. The stride may be 0 or negative.
constexpr PanelShape panel_shape(std::int64_t row_stride_bytes) noexcept {
  constexpr auto most = static_cast<std::int64_t>(kernels::panel_rows);
  constexpr std::int64_t panel_bytes = 16384;
  if (row_stride_bytes <= panel_bytes / most) {
    return {most, most * row_stride_bytes};
  }
  if (row_stride_bytes <= 2048) {
    const std::int64_t rows = std::max(panel_bytes / row_stride_bytes, most / 8);
    return {rows, rows * row_stride_bytes};
  }
  return {row_stride_bytes % 4096 == 0 ? most / 2 : most, 128};
}

}  // namespace exactnorm
