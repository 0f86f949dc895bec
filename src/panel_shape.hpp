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

inline PanelShape panel_shape(std::int64_t row_bytes, std::int64_t row_stride_bytes) {
  constexpr auto most = static_cast<std::int64_t>(kernels::panel_rows);
  if (row_bytes > 1024) {
    return {most, 128};
  }
  return {most, most * row_stride_bytes};
}

}  // namespace exactnorm
