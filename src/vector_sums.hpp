#pragma once
/// \file
/// Summing blocks by the panel kernels.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "block_sums.hpp"
#include "fold.hpp"
#include "packing.hpp"
#include "panel_shape.hpp"
#include "panel_sums.hpp"

namespace exactnorm {

/// Through the panel kernels. Rows whose elements lie side by side are read where they are; all others, and
/// what masks leave, are packed first.
template <class Format>
class VectorSums final : public BlockSums {
 public:
  VectorSums(const kernels::PanelKernels& kernels, const TensorView& x, const LoopNest& nest,
             const UpdateOptions& options, Feature* features)
      : kernels_(kernels),
        nest_(nest),
        features_(features),
        packing_(nest),
        tier_counts_(options.tier_counts),
        packs_(options.where || options.valid ||
               reinterpret_cast<std::uintptr_t>(x.data) % alignof(Bits) != 0 ||
               std::any_of(x.strides.begin(), x.strides.end(),
                           [](std::int64_t stride) { return stride % item != 0; })) {}

  void add(const Position& at, std::int64_t rows, std::int64_t columns) override {
    for (std::int64_t j = 0; j < columns; ++j) {
      features_[at.feature + j * nest_.columns.feature].counts.finite += rows;
    }
    if (is_direct(columns)) {
      add_rows(reinterpret_cast<const Bits*>(at.at[data_operand]), rows,
               nest_.rows.strides[data_operand] / item, columns, at.feature);
      return;
    }
    const std::int64_t most = packed_rows(columns);
    Position next = at;
    while (rows > 0) {
      const std::size_t packed = packing_.next(
          next, rows, columns, static_cast<std::size_t>(most), [&](std::size_t column, const LeftOut& lost) {
            Counts& counts =
                features_[at.feature + static_cast<std::int64_t>(column) * nest_.columns.feature].counts;
            counts.finite -= lost.absent + lost.null;
            counts.null += lost.null;
          });
      add_rows(packing_.data(), static_cast<std::int64_t>(packed), columns, columns, at.feature);
    }
  }

  void finish() override {
    for (Columns* each : {&main_, &tail_}) {
      flush(*each);
    }
  }

 private:
  using Bits = typename Format::Bits;
  static constexpr std::int64_t item = sizeof(Bits);
  static constexpr auto group = static_cast<std::int64_t>(kernels::scheme_of<Format>().group);
  static constexpr std::int64_t last_ahead = 1024;          // bytes; where no next panel follows
  static constexpr std::int64_t packed_elements = 1 << 14;  // a panel of folded rows; stays in the cache

  // Sums for some columns, for as long as blocks of the same columns come.
  struct Columns {
    std::optional<PanelSums<Format>> sums;
    std::int64_t first_feature = 0;
    std::int64_t width = 0;
    std::int64_t period = 0;
  };

  [[nodiscard]] bool is_direct(std::int64_t columns) const {
    return !packs_ && (nest_.columns.strides[data_operand] == item ||
                       (columns == 1 && nest_.rows.strides[data_operand] == item));
  }

  // So many rows are packed at a time: a whole number of folded ones.
  static std::int64_t packed_rows(std::int64_t columns) {
    const std::int64_t fold = rows_to_fold(columns, group);
    return std::max(packed_elements / columns / fold, std::int64_t{1}) * fold;
  }

  void add_rows(const Bits* x, std::int64_t rows, std::int64_t row_stride, std::int64_t columns,
                std::int64_t feature) {
    const std::int64_t fold = rows_to_fold(columns, group);
    const std::int64_t whole = columns / group * group;
    if (row_stride == columns && fold > 1) {
      const std::int64_t width = fold * columns;
      PanelSums<Format>& sums = sums_for(whole > 0 ? main_ : tail_, feature, width, columns);
      const std::int64_t long_rows = rows / fold;
      add_panels(sums, x, long_rows, width);
      if (const std::int64_t left = (rows - long_rows * fold) * columns; left > 0) {
        // Zeros fill the last row: they add nothing.
        last_row_.assign(static_cast<std::size_t>(width), Bits{0});
        std::copy_n(x + long_rows * width, left, last_row_.begin());
        sums.add(last_row_.data(), 1, width, 0);
      }
      return;
    }
    if (whole > 0) {
      add_panels(sums_for(main_, feature, whole, whole), x, rows, row_stride);
    }
    if (const std::int64_t rest = columns - whole; rest > 0) {
      add_tail(x + whole, rows, row_stride, rest, feature + whole * nest_.columns.feature);
    }
  }

  // Columns that fill no group, packed so that they can be folded.
  void add_tail(const Bits* x, std::int64_t rows, std::int64_t row_stride, std::int64_t columns,
                std::int64_t feature) {
    const std::int64_t most = packed_rows(columns);
    tail_rows_.resize(static_cast<std::size_t>(std::min(rows, most) * columns));
    while (rows > 0) {
      const std::int64_t count = std::min(rows, most);
      for (std::int64_t row = 0; row < count; ++row, x += row_stride) {
        std::copy_n(x, columns, tail_rows_.data() + row * columns);
      }
      add_rows(tail_rows_.data(), count, columns, columns, feature);
      rows -= count;
    }
  }

  static void add_panels(PanelSums<Format>& sums, const Bits* x, std::int64_t rows, std::int64_t row_stride) {
    const std::int64_t row_bytes = row_stride * item;
    const PanelShape shape = panel_shape(row_bytes);
    while (rows > 0) {
      const std::int64_t count = std::min(rows, shape.rows);
      sums.add(x, static_cast<std::size_t>(count), row_stride,
               shape.ahead < rows * row_bytes ? shape.ahead : last_ahead);
      x += count * row_stride;
      rows -= count;
    }
  }

  PanelSums<Format>& sums_for(Columns& columns, std::int64_t feature, std::int64_t width,
                              std::int64_t period) {
    if (!columns.sums || columns.first_feature != feature || columns.width != width ||
        columns.period != period) {
      flush(columns);
      columns.sums.emplace(kernels_, features_ + feature, static_cast<std::size_t>(period),
                           nest_.columns.feature, static_cast<std::size_t>(width));
      columns.first_feature = feature;
      columns.width = width;
      columns.period = period;
    }
    return *columns.sums;
  }

  void flush(Columns& columns) {
    if (columns.sums) {
      columns.sums->flush();
      for (std::size_t i = 0; tier_counts_ != nullptr && i < tier_counts_->size(); ++i) {
        std::atomic_ref((*tier_counts_)[i]) += columns.sums->tier_counts()[i];
      }
      columns.sums.reset();
    }
  }

  const kernels::PanelKernels& kernels_;
  const LoopNest& nest_;
  Feature* features_;
  Packing<Bits> packing_;
  TierCounts* tier_counts_;
  bool packs_;  // whatever the strides
  Columns main_;
  Columns tail_;
  std::vector<Bits> last_row_;
  std::vector<Bits> tail_rows_;
};

}  // namespace exactnorm
