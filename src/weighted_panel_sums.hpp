#pragma once
/// \file
/// Feeds packed panels of values and weights to the weighted kernel, as PanelSums does without weights.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <exactnorm/moments.hpp>

#include "kernels/kernels.hpp"
#include "packed_weights.hpp"
#include "product_buckets.hpp"

namespace exactnorm {

class WeightedPanelSums {
 public:
  /// Column j of `columns` (a multiple of 16) belongs to feature into[(j % period) · step], and likewise to
  /// weights.
  WeightedPanelSums(const kernels::Table& table, Feature* into, ExactSum* weights, std::size_t period,
                    std::ptrdiff_t step, std::size_t columns);

  /// Adds at most kernels::panel_rows packed rows of finite x and of weights in that range, 0 (with x = 0)
  /// where nothing counts. Counts are the caller's business. Precondition: FpEnvironment.
  void add(const float* x, const float* w, std::size_t rows, const WeightRange& range);

  /// Adds rows of values where they are, x_stride elements apart, each with a weight in that range or 0, if
  /// the kernel takes them all; else adds nothing and returns false. Values of weight 0 add nothing, but are
  /// looked at.
  bool try_rows(const float* x, std::ptrdiff_t x_stride, const float* w, std::size_t rows,
                const WeightRange& range);

  /// Moves everything to the features and weights. Must be called last.
  void flush();

 private:
  // The windows of the weights fill fastest: below 2^56 a panel.
  static constexpr std::size_t panels_per_window = 64;
  static constexpr std::size_t windows = kernels::weighted_windows.size();

  [[nodiscard]] std::ptrdiff_t index(std::size_t column) const {
    return static_cast<std::ptrdiff_t>(column % period_) * step_;
  }
  void anchor(std::size_t column, int exponent);
  void spill(std::size_t column);
  bool fit_weights(const WeightRange& range);
  bool run(const float* x, const float* w, std::size_t rows);
  void end_panel();
  void repair(const float* x, const float* w, std::size_t rows);
  void add_integers(const float* x, const float* w, std::size_t rows, std::size_t column);

  const kernels::Table& table_;
  Feature* into_;
  ExactSum* weights_;
  std::size_t period_;
  std::ptrdiff_t step_;
  std::size_t columns_;
  std::size_t panels_ = 0;
  WeightRange range_;
  std::vector<double> doubles_;
  std::vector<std::int64_t> integers_;
  std::array<double*, kernels::max_windows> start_{};
  double* limit_;
  std::int64_t* from_;
  std::int64_t* wanted_;
  kernels::PanelColumns state_{};
  std::vector<std::int64_t> trial_;  // windows of try_rows
  std::vector<int> exponent_;
  ProductBuckets buckets_;
};

}  // namespace exactnorm
