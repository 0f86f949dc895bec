#include "sparse_sums.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "decode.hpp"
#include "kernels/buckets.hpp"
#include "parallel.hpp"
#include "product_buckets.hpp"
#include "small_update.hpp"
#include "weighted_element.hpp"

namespace exactnorm {
namespace {

using kernels::Buckets;

constexpr std::int64_t most_values = 4096;  // of one column at once: what add_small takes
constexpr std::int64_t few_values = 256;    // what buckets sum as quickly as add_small, or more so
constexpr std::int64_t task_columns = 64;
constexpr std::int64_t min_steps_a_thread = 1 << 17;  // values; less does not pay for waking a thread
constexpr std::int64_t steps_of_column = 64;          // what a column costs beside its values

const std::byte* address(const TensorView& view, std::int64_t i) noexcept {
  return static_cast<const std::byte*>(view.data) + i * view.strides[0];
}

std::int64_t integer_at(const TensorView& integers, std::int64_t i) noexcept {
  const std::byte* at = address(integers, i);
  return integers.dtype == DType::int32 ? load<std::int32_t>(at) : load<std::int64_t>(at);
}

void look_at(const std::stop_token& stop) {
  if (stop.stop_requested()) {
    throw Interrupted();
  }
}

/// Sums one column after another. One object belongs to one thread.
class ColumnSums {
 public:
  ColumnSums() = default;
  ColumnSums(const ColumnSums&) = delete;
  ColumnSums& operator=(const ColumnSums&) = delete;
  virtual ~ColumnSums() = default;

  /// Adds stored values first … first + count - 1, at most most_values, to a column.
  virtual void add(std::size_t column, std::int64_t first, std::int64_t count) = 0;
  /// Ends the column, all of whose `stored` values have been added, with its zeros.
  virtual void finish(std::size_t column, std::int64_t stored) = 0;
};

template <class Format>
class PlainColumns final : public ColumnSums {
 public:
  PlainColumns(const SparseColumns& x, std::span<Feature> features) : x_(x), features_(features) {}

  void add(std::size_t column, std::int64_t first, std::int64_t count) override {
    const auto run = static_cast<std::size_t>(count);
    TensorView values = x_.values;
    values.data = address(x_.values, first);
    values.shape = {count};
    if (count >= few_values && add_small(values, {}, {}, features_.subspan(column, 1))) {
      return;
    }
    if (buckets_.count() + run > Buckets<Format>::max_run) {
      buckets_.spill(features_[column]);
    }
    buckets_.add(static_cast<const std::byte*>(values.data), run, values.strides[0]);
  }
  void finish(std::size_t column, std::int64_t stored) override {
    if (stored > 0) {
      buckets_.spill(features_[column]);
    }
    features_[column].counts.finite += x_.rows - stored;
  }

 private:
  const SparseColumns& x_;
  std::span<Feature> features_;
  Buckets<Format> buckets_;
};

/// The weights of all rows together: those of a column of nothing but zeros.
struct RowWeights {
  RowWeights(const TensorView& weights, const std::stop_token& stop) {
    const Decoder decode = decoder_of(weights.dtype);
    for (std::int64_t row = 0; row < weights.shape[0]; ++row) {
      if (row % most_values == 0) {
        look_at(stop);
      }
      const Decoded w = decode(address(weights, row));
      check_weight(w);
      counted += w.mantissa != 0 ? 1 : 0;
      sum.add_wide(0, w.mantissa, w.exponent);
    }
  }

  ExactSum sum;
  std::int64_t counted = 0;  // rows whose weight is not 0
};

class WeightedColumns final : public ColumnSums {
 public:
  WeightedColumns(const SparseColumns& x, const TensorView& row_weights, const RowWeights& all,
                  std::span<Feature> features, std::span<ExactSum> weights)
      : x_(x),
        row_weights_(row_weights),
        all_(all),
        features_(features),
        weights_(weights),
        decode_x_(decoder_of(x.values.dtype)),
        decode_w_(decoder_of(row_weights.dtype)) {}

  void add(std::size_t column, std::int64_t first, std::int64_t count) override {
    Feature& feature = features_[column];
    for (std::int64_t i = first; i < first + count; ++i) {
      if (i + prefetched < first + count) {
        __builtin_prefetch(weight_of(i + prefetched));
      }
      const Decoded w = decode_w_(weight_of(i));
      if (w.mantissa == 0) {
        continue;
      }
      const Decoded x = decode_x_(address(x_.values, i));
      if (x.kind != Kind::finite) {
        count_special(x.kind, feature.counts);
        --feature.counts.finite;
        weights_[column].add_wide(0, w.mantissa, w.exponent, true);
      } else {
        buckets_.add(w, x, feature, weight_of_stored_);
      }
    }
  }
  void finish(std::size_t column, std::int64_t stored) override {
    if (stored > 0) {
      buckets_.spill(features_[column], weight_of_stored_);
    }
    features_[column].counts.finite += all_.counted;
    weights_[column] += all_.sum;
  }

 private:
  static constexpr std::int64_t prefetched =
      16;  // weights are far apart: most of the time is waiting for them

  [[nodiscard]] const std::byte* weight_of(std::int64_t i) const noexcept {
    return address(row_weights_, integer_at(x_.row_indices, i));
  }

  const SparseColumns& x_;
  const TensorView& row_weights_;
  const RowWeights& all_;
  std::span<Feature> features_;
  std::span<ExactSum> weights_;
  Decoder decode_x_;
  Decoder decode_w_;
  ProductBuckets buckets_;
  ExactSum weight_of_stored_;  // not wanted: the sum over all rows has it
};

void check_integers(const TensorView& view, const char* what) {
  if (view.shape.size() != 1 || (view.dtype != DType::int32 && view.dtype != DType::int64)) {
    throw std::invalid_argument(std::string(what) + " must be int32 or int64 of rank 1, got " +
                                std::string(name_of(view.dtype)) + " of shape " + to_string(view.shape));
  }
}

// The offsets as one type, checked.
std::vector<std::int64_t> checked_offsets(const SparseColumns& x) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(x.offsets.shape[0]));
  const std::int64_t stored = x.values.shape[0];
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    offsets[i] = integer_at(x.offsets, static_cast<std::int64_t>(i));
    const std::int64_t least = i == 0 ? 0 : offsets[i - 1];
    const std::int64_t most = i == 0 ? 0 : stored;
    if (offsets[i] < least || offsets[i] > most || (i + 1 == offsets.size() && offsets[i] != stored)) {
      throw std::invalid_argument("offsets must ascend from 0 to the number of stored values, " +
                                  std::to_string(stored) + "; got " + std::to_string(offsets[i]) +
                                  " as number " + std::to_string(i) + " of " +
                                  std::to_string(offsets.size()));
    }
  }
  return offsets;
}

// Some of a column's row indices, the one before them being `before`; returns the last.
std::int64_t check_rows(const SparseColumns& x, std::size_t column, std::int64_t first, std::int64_t count,
                        std::int64_t before) {
  for (std::int64_t i = first; i < first + count; ++i) {
    const std::int64_t row = integer_at(x.row_indices, i);
    if (row <= before || row >= x.rows) {
      throw std::invalid_argument("row indices must ascend within a column, none twice, and be from 0 to " +
                                  std::to_string(x.rows - 1) + "; got " + std::to_string(row) +
                                  (before < 0 ? "" : " after " + std::to_string(before)) + " in column " +
                                  std::to_string(column));
    }
    before = row;
  }
  return before;
}

std::unique_ptr<ColumnSums> make_column_sums(const SparseColumns& x, const UpdateOptions& options,
                                             const std::unique_ptr<RowWeights>& all,
                                             std::span<Feature> features, std::span<ExactSum> weights) {
  if (all) {
    return std::make_unique<WeightedColumns>(x, *options.weights, *all, features, weights);
  }
  return with_format(x.values.dtype, [&]<class Format>(Format) -> std::unique_ptr<ColumnSums> {
    return std::make_unique<PlainColumns<Format>>(x, features);
  });
}

}  // namespace

std::int64_t check_sparse(const SparseColumns& x, const UpdateOptions& options) {
  if (options.where || options.valid) {
    throw std::invalid_argument(
        "a sparse table takes weights alone: options.where and options.valid must be "
        "absent");
  }
  check_integers(x.row_indices, "row indices");
  check_integers(x.offsets, "offsets");
  if (x.values.shape.size() != 1 || x.values.shape != x.row_indices.shape) {
    throw std::invalid_argument("stored values must be of rank 1, with a row index for each; got shapes " +
                                to_string(x.values.shape) + " and " + to_string(x.row_indices.shape));
  }
  if (x.offsets.shape[0] < 1 || x.values.shape[0] < 0 || x.rows < 0) {
    throw std::invalid_argument("expected one more offset than columns and a number of rows, got " +
                                to_string(x.offsets.shape) + " offsets, " + to_string(x.values.shape) +
                                " values and " + std::to_string(x.rows) + " rows");
  }
  if (options.weights && options.weights->shape != Shape{x.rows}) {
    throw std::invalid_argument("weights must have the shape of the rows, " + to_string(Shape{x.rows}) +
                                "; got " + to_string(options.weights->shape));
  }
  return x.offsets.shape[0] - 1;
}

void accumulate_sparse(const SparseColumns& x, const UpdateOptions& options, std::span<Feature> features,
                       std::span<ExactSum> weights) {
  const std::vector<std::int64_t> offsets = checked_offsets(x);
  const auto columns = static_cast<std::int64_t>(features.size());
  const std::int64_t tasks = (columns + task_columns - 1) / task_columns;
  const std::int64_t pay = (offsets.back() + columns * steps_of_column) / min_steps_a_thread + 1;
  const int threads = resolve_threads(options.threads, std::max<std::int64_t>(std::min(tasks, pay), 1));
  // Weights of no column are not looked at, as in update.
  const auto all =
      options.weights && columns > 0 ? std::make_unique<RowWeights>(*options.weights, options.stop) : nullptr;
  std::atomic<std::int64_t> next{0};
  run_workers(threads, [&](int) {
    const auto sums = make_column_sums(x, options, all, features, weights);
    for (std::int64_t task = next++; task < tasks; task = next++) {
      const auto end = static_cast<std::size_t>(std::min((task + 1) * task_columns, columns));
      for (auto column = static_cast<std::size_t>(task * task_columns); column < end; ++column) {
        look_at(options.stop);
        std::int64_t before = -1;
        for (std::int64_t first = offsets[column]; first < offsets[column + 1]; first += most_values) {
          look_at(options.stop);
          const std::int64_t count = std::min(most_values, offsets[column + 1] - first);
          before = check_rows(x, column, first, count, before);
          sums->add(column, first, count);
        }
        sums->finish(column, offsets[column + 1] - offsets[column]);
      }
    }
  });
}

}  // namespace exactnorm
