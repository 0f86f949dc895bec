#include "accumulate.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

#include "block_sums.hpp"
#include "feature_checks.hpp"
#include "fp_environment.hpp"
#include "loops.hpp"
#include "parallel.hpp"

namespace exactnorm {
namespace {

constexpr std::int64_t block_bytes =
    4 << 20;  // long enough to forget the cost of a block, short enough to share out and to interrupt
constexpr std::int64_t weighted_block = 1 << 16;      // elements: 1 to 2 ms between looks at stop
constexpr std::int64_t min_bytes_a_thread = 1 << 20;  // less does not pay for waking a thread
constexpr std::int64_t max_block_columns = 4096;
constexpr std::int64_t min_run = 1024;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The blocks of a walk, numbered so that those of the same features follow one another.
class Blocks {
 public:
  Blocks(const LoopNest& nest, std::int64_t item, bool weighted) : nest_(nest) {
    // Where each feature is a run of its own, one at a time, unless they are so short that rows of many
    // features are quicker to make.
    const bool runs = nest.rows.strides[data_operand] == item && nest.columns.strides[data_operand] != item &&
                      nest.rows.extent >= min_run;
    columns_ = runs ? 1 : std::min(nest.columns.extent, max_block_columns);
    const std::int64_t rows = weighted ? std::max<std::int64_t>(weighted_block / columns_, 1)
                                       : std::max<std::int64_t>(block_bytes / (columns_ * item), 1024);
    rows_ = std::min(nest.rows.extent, rows);
    column_blocks_ = divide_up(nest.columns.extent, columns_);
    row_blocks_ = divide_up(nest.rows.extent, rows_);
    feature_parts = steps(nest.outer_kept) * column_blocks_;
    row_parts = steps(nest.outer_reduced) * row_blocks_;
  }

  void add_to(BlockSums& sums, std::int64_t feature_part, std::int64_t row_part) const {
    Position at{nest_.bases, 0};
    at.advance(nest_.outer_kept, feature_part / column_blocks_);
    at.advance(nest_.outer_reduced, row_part / row_blocks_);
    const std::int64_t column = feature_part % column_blocks_ * columns_;
    const std::int64_t row = row_part % row_blocks_ * rows_;
    at.advance(nest_.columns, column);
    at.advance(nest_.rows, row);
    sums.add(at, std::min(rows_, nest_.rows.extent - row), std::min(columns_, nest_.columns.extent - column));
  }

  std::int64_t feature_parts = 0;  // share no feature
  std::int64_t row_parts = 0;      // share all features of a feature part

 private:
  const LoopNest& nest_;
  std::int64_t columns_ = 0;
  std::int64_t rows_ = 0;
  std::int64_t column_blocks_ = 0;
  std::int64_t row_blocks_ = 0;
};

}  // namespace

void accumulate(const TensorView& x, const Axes& kept, const UpdateOptions& options,
                std::span<Feature> features, std::span<ExactSum> weights) {
  check_operands(x, options);
  const std::int64_t elements = element_count(x.shape);
  if (elements == 0) {
    static_cast<void>(resolve_threads(options.threads, 1));  // a negative number is wrong whatever the size
    return;
  }
  const auto item = static_cast<std::int64_t>(size_of(x.dtype));
  const LoopNest nest = plan_loops(x, kept, options);
  const Blocks blocks(nest, item, options.weights.has_value());
  const std::int64_t pay = elements / (min_bytes_a_thread / item) + 1;
  int threads = resolve_threads(options.threads, std::min(blocks.feature_parts * blocks.row_parts, pay));
  const bool by_features = blocks.feature_parts >= std::int64_t{4} * threads;
  const std::int64_t tasks = by_features ? blocks.feature_parts : blocks.feature_parts * blocks.row_parts;
  threads = static_cast<int>(std::min(std::int64_t{threads}, tasks));

  // Threads that share features each have their own, added up at the end: exact, so it does not matter who
  // did what.
  struct Own {
    std::vector<Feature> features;
    std::vector<ExactSum> weights;
  };
  std::vector<Own> own(by_features ? 0 : static_cast<std::size_t>(threads) - 1);
  std::atomic<std::int64_t> next{0};
  run_workers(threads, [&](int worker) {
    const FpEnvironment environment;
    Feature* into = features.data();
    ExactSum* into_weights = weights.data();
    if (worker > 0 && !by_features) {
      Own& mine = own[static_cast<std::size_t>(worker) - 1];
      mine.features.resize(features.size());
      mine.weights.resize(weights.size());
      into = mine.features.data();
      into_weights = mine.weights.data();
    }
    const std::unique_ptr<BlockSums> sums = make_block_sums(x, nest, options, into, into_weights);
    for (std::int64_t task = next++; task < tasks; task = next++) {
      if (by_features) {
        for (std::int64_t part = 0; part < blocks.row_parts; ++part) {
          if (options.stop.stop_requested()) {
            throw Interrupted();
          }
          blocks.add_to(*sums, task, part);
        }
      } else {
        if (options.stop.stop_requested()) {
          throw Interrupted();
        }
        blocks.add_to(*sums, task / blocks.row_parts, task % blocks.row_parts);
      }
    }
    sums->finish();
  });
  for (const Own& theirs : own) {
    for (std::size_t i = 0; i < theirs.features.size(); ++i) {
      add(features[i], theirs.features[i]);
    }
    for (std::size_t i = 0; i < theirs.weights.size(); ++i) {
      weights[i] += theirs.weights[i];
    }
  }
}

}  // namespace exactnorm
