#include "anchored_columns.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

namespace exactnorm {

using kernels::panel_rows;

template <class T>
AnchoredColumns<T>::AnchoredColumns(kernels::PanelKernel<T> kernel, Feature* into, std::size_t period,
                                    std::ptrdiff_t step, std::size_t columns)
    : kernel_(kernel),
      into_(into),
      period_(period),
      step_(step),
      columns_(columns),
      below_(columns),
      from_(columns),
      largest_(columns),
      good_(columns),
      exponent_(columns),
      refused_rows_(columns),
      state_{{}, {}, below_.data(), from_.data(), largest_.data(), good_.data()} {
  for (std::size_t i = 0; i < Scheme::count; ++i) {
    start_[i].resize(columns);
    window_[i].resize(columns);
    state_.start[i] = start_[i].data();
    state_.window[i] = window_[i].data();
  }
}

// Sets a column's exponent so that values with this exponent field have a binade of headroom. Precondition:
// its windows are empty.
template <class T>
void AnchoredColumns<T>::anchor(std::size_t column, int field) {
  constexpr Bits magnitude = std::numeric_limits<Bits>::max();
  const int exponent = std::clamp(field - one + 2, Scheme::min_exponent, Scheme::max_exponent);
  exponent_[column] = exponent;
  for (std::size_t i = 0; i < Scheme::count; ++i) {
    const kernels::Accumulator& a = Scheme::accumulators[i];
    start_[i][column] = std::ldexp(a.mantissa, a.slope * exponent + a.offset + 52);
  }
  below_[column] = static_cast<Bits>(exponent + one) << Format::fraction_bits;
  const bool bounded = Scheme::bounded_below || exponent > Scheme::min_exponent;
  const Bits smallest = static_cast<Bits>(exponent - Scheme::spread + one) << Format::fraction_bits;
  // smallest + magnitude, wrapping, as the kernel computes it: for smallest > 0 that is smallest - 1 with the
  // top bit set.
  from_[column] = bounded ? static_cast<Bits>(smallest - 1 - magnitude - 1) : -magnitude - 1;
}

template <class T>
void AnchoredColumns<T>::spill(std::size_t column) {
  Feature& to = feature(column);
  for (std::size_t i = 0; i < Scheme::count; ++i) {
    const kernels::Accumulator& a = Scheme::accumulators[i];
    (a.slope == 1 ? to.sum : to.sumsq)
        .add(std::exchange(window_[i][column], 0), a.slope * exponent_[column] + a.offset);
  }
}

template <class T>
void AnchoredColumns<T>::flush() {
  for (std::size_t column = 0; column < columns_; ++column) {
    spill(column);
    feature(column).counts.finite += rows_ - std::exchange(refused_rows_[column], 0);
  }
  panels_ = 0;
  rows_ = 0;
}

template <class T>
void AnchoredColumns<T>::panel(const T* x, std::size_t rows, std::ptrdiff_t row_stride) {
  const bool good = kernel_(x, rows, row_stride, columns_, state_);
  rows_ += static_cast<std::int64_t>(rows);
  if (good) {
    return;
  }
  for (std::size_t column = 0; column < columns_; ++column) {
    if (good_[column] != 0) {
      continue;
    }
    buckets_.add(reinterpret_cast<const std::byte*>(x + column), rows,
                 row_stride * static_cast<std::ptrdiff_t>(sizeof(T)));
    const int field = buckets_.largest_field();
    buckets_.spill(feature(column));
    refused_rows_[column] += static_cast<std::int64_t>(rows);
    if (field >= 0) {
      spill(column);
      anchor(column, field);
    }
  }
}

template <class T>
void AnchoredColumns<T>::add(const T* x, std::size_t rows, std::ptrdiff_t row_stride) {
  if (!started_ && rows > 0) {
    // The first row is as good a guess as any: whatever it misses, the first panel corrects.
    for (std::size_t column = 0; column < columns_; ++column) {
      const auto field =
          static_cast<int>((std::bit_cast<typename Format::Bits>(x[column]) & Format::magnitude_mask) >>
                           Format::fraction_bits);
      anchor(column, field == Format::special ? one : field);
    }
    started_ = true;
  }
  while (rows > 0) {
    const std::size_t part = std::min(rows, panel_rows);
    panel(x, part, row_stride);
    x += static_cast<std::ptrdiff_t>(part) * row_stride;
    rows -= part;
    if (++panels_ == kernels::panels_per_window) {
      flush();
    }
  }
}

template class AnchoredColumns<float>;
template class AnchoredColumns<double>;

}  // namespace exactnorm
