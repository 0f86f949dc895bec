#pragma once
/// \file
/// Work that is large enough for several threads, and its results.

#include <gtest/gtest.h>

#include <exactnorm/moments.hpp>
#include <exactnorm/normalizer.hpp>

#include <algorithm>
#include <cstddef>
#include <random>
#include <vector>

#include "oracle.hpp"

namespace exactnorm {

/// Moments and normalized values of 9 MB of data, to be computed again and again in odd places.
class SharedWork {
 public:
  SharedWork() {
    std::mt19937 random(7);
    std::normal_distribution<float> normal(100, 3);
    std::generate(data_.begin(), data_.end(), [&] { return normal(random); });
    moments_.update(view(), {}, {.threads = 1});
    normalized_.resize(data_.size());
    Normalizer::from(moments_).apply(view(), rows(normalized_.data(), n_rows, n_columns), 1);
  }

  /// Whether an update and an application by so many threads give what one thread gave.
  [[nodiscard]] bool comes_out_the_same(int threads) const {
    Moments again({n_columns});
    again.update(view(), {}, {.threads = threads});
    std::vector<float> normalized(data_.size());
    Normalizer::from(again).apply(view(), rows(normalized.data(), n_rows, n_columns), threads);
    return oracle::same(again, moments_) && normalized == normalized_;
  }

 private:
  static constexpr std::size_t n_rows = 150000;
  static constexpr std::int64_t n_columns = 15;

  [[nodiscard]] TensorView view() const { return rows(data_.data(), n_rows, n_columns); }

  std::vector<float> data_ = std::vector<float>(n_rows * n_columns);
  Moments moments_{{n_columns}};
  std::vector<float> normalized_;
};

}  // namespace exactnorm
