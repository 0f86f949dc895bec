#include "group_sums.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "accumulate.hpp"
#include "decode.hpp"
#include "feature_checks.hpp"
#include "gathered.hpp"
#include "kernels/buckets.hpp"
#include "packing.hpp"
#include "parallel.hpp"
#include "product_buckets.hpp"
#include "small_update.hpp"
#include "weighted_element.hpp"

namespace exactnorm {
namespace {

constexpr std::size_t task_bytes = 256 << 10;  // gathered at a time: stays in a core's own cache
constexpr std::size_t max_task_bytes = 16 << 20;
constexpr std::size_t min_task_rows = 256;
constexpr std::int64_t min_bytes_a_thread = 1 << 18;  // less does not pay for waking a thread
constexpr std::int64_t few_values = 48;               // fewer are summed one by one
constexpr std::int64_t many_values = 256;             // more pay for planning
constexpr std::size_t runs_ahead = 8;                 // whose features are asked for, where they are many

/// Sums a few rows, which need neither a plan nor memory.
class ShortRuns {
 public:
  ShortRuns() = default;
  ShortRuns(const ShortRuns&) = delete;
  ShortRuns& operator=(const ShortRuns&) = delete;
  virtual ~ShortRuns() = default;

  /// x has rows of as many elements as feature_of, in C order; options are those of the gathered rows.
  virtual void add(const TensorView& x, const GatheredOptions& options,
                   std::span<const std::uint32_t> feature_of, Feature* features, ExactSum* weights) = 0;
};

template <class Format>
class ShortRunsOf final : public ShortRuns {
 public:
  explicit ShortRunsOf(const UpdateOptions& options)
      : masked_(options.where || options.valid),
        decode_weight_(options.weights ? decoder_of(options.weights->dtype) : nullptr) {}

  void add(const TensorView& x, const GatheredOptions& options, std::span<const std::uint32_t> feature_of,
           Feature* features, ExactSum* weights) override {
    const auto rows = x.shape[0];
    const auto row_bytes = static_cast<std::int64_t>(feature_of.size() * sizeof(Bits));
    const auto* column = static_cast<const std::byte*>(x.data);
    for (std::size_t i = 0; i < feature_of.size(); ++i, column += sizeof(Bits)) {
      Feature& feature = features[feature_of[i]];
      if (decode_weight_ == nullptr && !masked_) {
        buckets_.add(column, static_cast<std::size_t>(rows), row_bytes);
        buckets_.spill(feature);
        continue;
      }
      ExactSum* weight = weights != nullptr ? weights + feature_of[i] : nullptr;
      for (std::int64_t row = 0; row < rows; ++row) {
        add_element(column + row * row_bytes, options, row, static_cast<std::int64_t>(i), feature, weight);
      }
      if (weight != nullptr) {
        products_.spill(feature, *weight);
      } else {
        buckets_.spill(feature);
      }
    }
  }

 private:
  using Bits = typename Format::Bits;

  void add_element(const std::byte* at, const GatheredOptions& options, std::int64_t row, std::int64_t i,
                   Feature& feature, ExactSum* weight) {
    if (!is_set(options.at(0, row, i))) {
      return;
    }
    Decoded w;
    if (weight != nullptr) {
      w = decode_weight_(options.at(1, row, i));
      check_weight(w);
      if (w.mantissa == 0) {
        return;
      }
    }
    if (!is_set(options.at(2, row, i))) {
      ++feature.counts.null;
      return;
    }
    if (weight == nullptr) {
      buckets_.add(at, 1, 0);
      return;
    }
    const Decoded x = decode<Format>(load<Bits>(at));
    if (x.kind != Kind::finite) {
      count_special(x.kind, feature.counts);
      return;
    }
    ++feature.counts.finite;
    products_.add(w, x, feature, *weight);
  }

  bool masked_;
  Decoder decode_weight_;
  kernels::Buckets<Format> buckets_;
  ProductBuckets products_;
};

/// One thread's memory.
class Worker {
 public:
  Worker(const TensorView& x, const Axes& kept, const UpdateOptions& options,
         std::span<const std::uint32_t> feature_of, const GroupTargets& into)
      : kept_(kept),
        feature_of_(feature_of),
        into_(into),
        plain_(!options.where && !options.weights && !options.valid),
        x_(x),
        options_(options, static_cast<std::int64_t>(feature_of.size())),
        own_features_(into.width),
        own_weights_(into.weights != nullptr ? into.width : 0),
        short_runs_(with_format(x.dtype, [&]<class Format>(Format) -> std::unique_ptr<ShortRuns> {
          return std::make_unique<ShortRunsOf<Format>>(options);
        })) {}

  /// Adds rows begin … end - 1 of the order. Groups that have others, which may be another thread's, are
  /// summed aside and added while that waits.
  void add(const RowOrder& order, std::uint32_t begin, std::uint32_t end, std::mutex& shared) {
    const auto rows = order.rows().subspan(begin, end - begin);
    x_.gather(rows);
    options_.gather(rows);
    const auto runs = order.runs();
    auto run = static_cast<std::size_t>(
        std::upper_bound(runs.begin(), runs.end(), begin,
                         [](std::uint32_t at, const GroupRun& r) { return at < r.begin; }) -
        runs.begin() - 1);
    for (std::uint32_t first = begin; first < end; ++run) {
      const std::uint32_t last = std::min(end, order.end(run));
      if (run + runs_ahead < runs.size()) {
        const Feature* soon = into_.features + runs[run + runs_ahead].group * into_.stride;
        __builtin_prefetch(soon, 1);
        __builtin_prefetch(reinterpret_cast<const std::byte*>(soon + 1) - 1, 1);
      }
      const std::size_t at = runs[run].group * into_.stride;
      ExactSum* weights = into_.weights != nullptr ? into_.weights + at : nullptr;
      if (runs[run].begin >= begin && order.end(run) <= end) {
        sum(first - begin, last - first, into_.features + at, weights);
      } else {
        sum(first - begin, last - first, own_features_.data(), own_weights_.data());
        const std::lock_guard lock(shared);
        for (std::size_t i = 0; i < own_features_.size(); ++i) {
          exactnorm::add(into_.features[at + i], std::exchange(own_features_[i], {}));
        }
        for (std::size_t i = 0; i < own_weights_.size(); ++i) {
          weights[i] += std::exchange(own_weights_[i], {});
        }
      }
      first = last;
    }
  }

 private:
  void sum(std::size_t first, std::size_t rows, Feature* features, ExactSum* weights) {
    const TensorView& x = x_.part(first, rows);
    const UpdateOptions& options = options_.part(first, rows);
    const std::span<Feature> into(features, into_.width);
    const auto values = static_cast<std::int64_t>(rows * feature_of_.size());
    if (plain_ && values >= few_values && add_small(x, kept_, options, into)) {
      return;
    }
    if (values >= many_values) {
      accumulate(x, kept_, options, into, {weights, options.weights ? into_.width : 0});
      return;
    }
    short_runs_->add(x, options_, feature_of_, features, options.weights ? weights : nullptr);
  }

  const Axes& kept_;
  std::span<const std::uint32_t> feature_of_;
  const GroupTargets& into_;
  bool plain_;
  Gathered x_;
  GatheredOptions options_;
  std::vector<Feature> own_features_;
  std::vector<ExactSum> own_weights_;
  std::unique_ptr<ShortRuns> short_runs_;
};

// The feature of each element of a row.
std::vector<std::uint32_t> features_of_row(const Shape& shape, const Axes& kept) {
  std::vector<std::uint32_t> result(
      static_cast<std::size_t>(element_count(Shape(std::span(shape.begin() + 1, shape.size() - 1)))));
  for (std::size_t i = 0; i < result.size(); ++i) {
    auto index = static_cast<std::int64_t>(i);
    std::int64_t step = 1;
    for (std::size_t axis = shape.size(); axis-- > 1;) {
      if (std::binary_search(kept.begin(), kept.end(), static_cast<int>(axis))) {
        result[i] += static_cast<std::uint32_t>(index % shape[axis] * step);
        step *= shape[axis];
      }
      index /= shape[axis];
    }
  }
  return result;
}

}  // namespace

TensorView rows_of(TensorView view, std::int64_t first, std::int64_t count) {
  view.data = static_cast<const std::byte*>(view.data) + first * view.strides[0];
  view.shape[0] = count;
  return view;
}

UpdateOptions rows_of(const UpdateOptions& options, std::int64_t first, std::int64_t count) {
  UpdateOptions part = options;
  for (const auto member : GatheredOptions::masks) {
    if (part.*member && !(part.*member)->shape.empty()) {
      part.*member = rows_of(*(part.*member), first, count);
    }
  }
  return part;
}

void accumulate_groups(const TensorView& x, const Axes& kept, const UpdateOptions& options,
                       const RowOrder& order, const GroupTargets& into) {
  const std::vector<std::uint32_t> feature_of = features_of_row(x.shape, kept);
  const auto rows = static_cast<std::uint32_t>(x.shape[0]);
  if (rows == 0 || feature_of.empty()) {
    return;
  }
  const std::size_t row_bytes = feature_of.size() * size_of(x.dtype);
  // Wide rows come at least so many at a time that adding up what they give, column by column, is no burden.
  const std::size_t step_rows =
      std::max(task_bytes / row_bytes, std::min(min_task_rows, max_task_bytes / row_bytes));
  const auto step = static_cast<std::uint32_t>(std::clamp<std::size_t>(step_rows, 1, 1 << 16));
  const std::uint32_t tasks = (rows - 1) / step + 1;
  const std::int64_t bytes = static_cast<std::int64_t>(row_bytes) * rows;
  const int threads =
      resolve_threads(options.threads, std::min<std::int64_t>(tasks, bytes / min_bytes_a_thread + 1));
  std::atomic<std::uint32_t> next{0};
  std::mutex shared;
  run_workers(threads, [&](int) {
    std::unique_ptr<Worker> worker;
    for (std::uint32_t task = next++; task < tasks; task = next++) {
      if (options.stop.stop_requested()) {
        throw Interrupted();
      }
      if (!worker) {
        worker = std::make_unique<Worker>(x, kept, options, feature_of, into);
      }
      worker->add(order, task * step, std::min(rows, (task + 1) * step), shared);
    }
  });
}

}  // namespace exactnorm
