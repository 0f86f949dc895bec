#pragma once
/// \file
/// Feeds panels to an anchored kernel: chooses each column's exponent, keeps its windows, and sums in
/// integers what the kernel refuses.

#include <cstddef>
#include <vector>

#include <exactnorm/moments.hpp>

#include "decode.hpp"
#include "kernels/buckets.hpp"
#include "kernels/kernels.hpp"

namespace exactnorm {

/// T is float or double.
template <class T>
class AnchoredColumns {
 public:
  /// Works for `columns` columns (a multiple of kernels::column_group); column j belongs to feature into[(j %
  /// period) · step].
  AnchoredColumns(kernels::PanelKernel<T> kernel, Feature* into, std::size_t period, std::ptrdiff_t step,
                  std::size_t columns);

  /// Adds rows of `columns` contiguous elements; row_stride in elements. Precondition: FpEnvironment.
  void add(const T* x, std::size_t rows, std::ptrdiff_t row_stride);

  /// Moves everything to the features. Must be called last; a destructor could not report that memory is
  /// short.
  void flush();

 private:
  using Scheme = kernels::Anchored<T>;
  using Bits = typename Scheme::Bits;
  using Format = std::conditional_t<sizeof(T) == 4, Float32, Float64>;
  static constexpr int one = Format::special / 2;  // the exponent field of 1.0

  void panel(const T* x, std::size_t rows, std::ptrdiff_t row_stride);
  void anchor(std::size_t column, int field);
  void spill(std::size_t column);
  [[nodiscard]] Feature& feature(std::size_t column) const {
    return into_[static_cast<std::ptrdiff_t>(column % period_) * step_];
  }

  kernels::PanelKernel<T> kernel_;
  Feature* into_;
  std::size_t period_;
  std::ptrdiff_t step_;
  std::size_t columns_;
  std::size_t panels_ = 0;  // in the open windows
  std::int64_t rows_ = 0;   // that the kernel has summed, except …
  bool started_ = false;

  std::array<std::vector<double>, Scheme::count> start_;
  std::array<std::vector<std::int64_t>, Scheme::count> window_;
  std::vector<Bits> below_;
  std::vector<Bits> from_;
  std::vector<Bits> largest_;
  std::vector<Bits> good_;
  std::vector<int> exponent_;
  std::vector<std::int64_t> refused_rows_;  // … these, per column
  kernels::PanelColumns<T> state_;
  kernels::Buckets<Format> buckets_;
};

extern template class AnchoredColumns<float>;
extern template class AnchoredColumns<double>;

}  // namespace exactnorm
