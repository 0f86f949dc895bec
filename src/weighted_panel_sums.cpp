#include "weighted_panel_sums.hpp"

#include <algorithm>
#include <bit>
#include <climits>
#include <utility>

#include "column_range.hpp"
#include "power_of_two.hpp"

namespace exactnorm {
namespace {

constexpr int least_exponent = -126;  // smaller numbers are refused

}  // namespace

WeightedPanelSums::WeightedPanelSums(const kernels::Table& table, Feature* into, ExactSum* weights,
                                     std::size_t period, std::ptrdiff_t step, std::size_t columns)
    : table_(table),
      into_(into),
      weights_(weights),
      period_(period),
      step_(step),
      columns_(columns),
      range_{INT_MIN, INT_MAX},
      doubles_((windows + 1) * columns),
      integers_((windows + 4) * columns),
      exponent_(columns) {
  std::int64_t* integers = integers_.data();
  const auto next = [&] { return std::exchange(integers, integers + columns); };
  for (std::size_t i = 0; i < windows; ++i) {
    state_.start[i] = start_[i] = doubles_.data() + i * columns;
    state_.window[i] = next();
  }
  state_.limit = limit_ = doubles_.data() + windows * columns;
  state_.from = from_ = next();
  state_.wanted = wanted_ = next();
  state_.smallest = next();
  state_.good = next();
  std::fill_n(wanted_, columns, -1);
}

// Precondition: the column's windows are empty.
void WeightedPanelSums::anchor(std::size_t column, int exponent) {
  exponent_[column] = exponent;
  for (std::size_t i = 0; i < windows; ++i) {
    const kernels::Window& w = kernels::weighted_windows[i];
    start_[i][column] = w.mantissa * power_of_two(w.slope * exponent + w.offset + range_.above + 52);
  }
  limit_[column] = start_[1][column] * kernels::end_of_squares;
  const int spread = kernels::weighted_spread(range_.above - range_.least);
  from_[column] = kernels::scanned(std::max(exponent - spread, least_exponent), false);
}

void WeightedPanelSums::spill(std::size_t column) {
  Feature& to = into_[index(column)];
  for (std::size_t i = 0; i < windows; ++i) {
    const kernels::Window& w = kernels::weighted_windows[i];
    ExactSum& sum = w.sum == kernels::Sum::x         ? to.sum
                    : w.sum == kernels::Sum::squares ? to.sumsq
                                                     : weights_[index(column)];
    sum.add(std::exchange(state_.window[i][column], 0),
            w.slope * exponent_[column] + w.offset + range_.above);
  }
}

void WeightedPanelSums::flush() {
  if (range_.above == INT_MIN) {
    return;  // nothing has come yet
  }
  for (std::size_t column = 0; column < columns_; ++column) {
    spill(column);
  }
  panels_ = 0;
}

bool WeightedPanelSums::run(const float* x, const float* w, std::size_t rows) {
  const auto stride = static_cast<std::ptrdiff_t>(columns_);
  return table_.weighted(x, stride, w, stride, rows, columns_, state_);
}

// The range grows, so that it soon stays as it is, unless that makes it too wide. False if no range will do.
bool WeightedPanelSums::fit_weights(const WeightRange& range) {
  const auto fits = [](const WeightRange& r) {
    return r.least >= least_exponent && r.above - r.least <= kernels::max_weight_spread;
  };
  if (range.above <= range_.above && range.least >= range_.least) {
    return true;
  }
  const WeightRange both{std::max(range.above, range_.above), std::min(range.least, range_.least)};
  if (!fits(range)) {
    return false;
  }
  flush();
  range_ = fits(both) ? both : range;
  for (std::size_t column = 0; column < columns_; ++column) {
    anchor(column, exponent_[column]);
  }
  return true;
}

void WeightedPanelSums::add_integers(const float* x, const float* w, std::size_t rows, std::size_t column) {
  Feature& feature = into_[index(column)];
  ExactSum& weight = weights_[index(column)];
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t at = row * columns_ + column;
    const Decoded decoded = decode<Float32>(std::bit_cast<std::uint32_t>(w[at]));
    if (decoded.mantissa != 0) {
      buckets_.add(decoded, decode<Float32>(std::bit_cast<std::uint32_t>(x[at])), feature, weight);
    }
  }
  buckets_.spill(feature, weight);
}

void WeightedPanelSums::repair(const float* x, const float* w, std::size_t rows) {
  for (std::size_t column = 0; column < columns_; ++column) {
    wanted_[column] = 0;
    if (state_.good[column] == 0) {
      const ColumnRange range = range_of<Float32>(reinterpret_cast<const std::uint32_t*>(x + column), rows,
                                                  static_cast<std::ptrdiff_t>(columns_));
      spill(column);
      anchor(column, std::max(range.above, least_exponent + 1));
      wanted_[column] = -1;
    }
  }
  run(x, w, rows);
  for (std::size_t column = 0; column < columns_; ++column) {
    if (wanted_[column] != 0 && state_.good[column] == 0) {
      add_integers(x, w, rows, column);
    }
    wanted_[column] = -1;
  }
}

void WeightedPanelSums::add(const float* x, const float* w, std::size_t rows, const WeightRange& range) {
  if (range.least == INT_MAX) {
    return;
  }
  if (!fit_weights(range)) {
    for (std::size_t column = 0; column < columns_; ++column) {
      add_integers(x, w, rows, column);
    }
    return;
  }
  if (!run(x, w, rows)) {
    repair(x, w, rows);
  }
  end_panel();
}

bool WeightedPanelSums::try_rows(const float* x, std::ptrdiff_t x_stride, const float* w, std::size_t rows,
                                 const WeightRange& range) {
  if (range.least == INT_MAX || !fit_weights(range)) {
    return false;
  }
  trial_.assign((windows - 1) * columns_, 0);
  kernels::PanelColumns state = state_;
  for (std::size_t i = 0; i + 1 < windows; ++i) {
    state.window[i] = trial_.data() + i * columns_;
  }
  if (!table_.weighted_rows(x, x_stride, w, 1, rows, columns_, state)) {
    return false;
  }
  // A weight is an integer number of its units below 2^48, as a float64 too.
  const double scale = power_of_two(48 - range_.above);
  std::int64_t weight = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    weight += static_cast<std::int64_t>(static_cast<double>(w[row]) * scale);
  }
  for (std::size_t i = 0; i + 1 < windows; ++i) {
    for (std::size_t column = 0; column < columns_; ++column) {
      state_.window[i][column] += state.window[i][column];
    }
  }
  for (std::size_t column = 0; column < columns_; ++column) {
    state_.window[windows - 1][column] += weight;
  }
  end_panel();
  return true;
}

void WeightedPanelSums::end_panel() {
  if (++panels_ == panels_per_window) {
    flush();
  }
}

}  // namespace exactnorm
