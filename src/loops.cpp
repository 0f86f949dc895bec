#include "loops.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace exactnorm {
namespace {

// The stride of an operand along an axis of x: 0 on the trailing axes that a leading-prefix mask lacks.
std::int64_t stride_of(const std::optional<TensorView>& view, std::size_t axis) {
  return view && axis < view->shape.size() ? view->strides[axis] : 0;
}

// a outside b, as one loop, if every operand steps evenly across their boundary.
bool merge_into(Loop& a, const Loop& b) {
  bool even = a.feature == b.extent * b.feature;
  for (std::size_t i = 0; i < operand_count; ++i) {
    even &= a.strides[i] == b.extent * b.strides[i];
  }
  if (even) {
    a = {a.extent * b.extent, b.strides, b.feature};
  }
  return even;
}

std::vector<Loop> coalesced(const std::vector<Loop>& loops) {
  std::vector<Loop> merged;
  for (const Loop& loop : loops) {
    if (merged.empty() || !merge_into(merged.back(), loop)) {
      merged.push_back(loop);
    }
  }
  return merged;
}

// The data lie the same way backwards; stepping upwards lets neighbours merge.
void make_ascending(Loop& loop, std::array<const std::byte*, operand_count>& bases) {
  if (loop.strides[data_operand] < 0) {
    for (std::size_t i = 0; i < operand_count; ++i) {
      bases[i] += loop.strides[i] * (loop.extent - 1);
      loop.strides[i] = -loop.strides[i];
    }
  }
}

Loop take(std::vector<Loop>& loops, std::vector<Loop>::iterator which) {
  const Loop loop = *which;
  loops.erase(which);
  return loop;
}

std::int64_t distance(const Loop& loop) { return std::abs(loop.strides[data_operand]); }

void check_prefix(const TensorView& x, const TensorView& view, const char* what) {
  const bool fits = view.shape.size() <= x.shape.size() &&
                    std::equal(view.shape.begin(), view.shape.end(), x.shape.begin());
  if (!fits) {
    throw std::invalid_argument(std::string(what) + " must have the shape of the data, " +
                                to_string(x.shape) + ", or a leading part of it; got " +
                                to_string(view.shape));
  }
}

void check_boolean(const TensorView& view, const char* what) {
  if (view.dtype != DType::boolean) {
    throw std::invalid_argument(std::string(what) + " must be boolean, got " +
                                std::string(name_of(view.dtype)));
  }
}

}  // namespace

void check_operands(const TensorView& x, const UpdateOptions& options) {
  if (options.where) {
    check_boolean(*options.where, "where");
    check_prefix(x, *options.where, "where");
  }
  if (options.weights) {
    check_prefix(x, *options.weights, "weights");
  }
  if (options.valid) {
    check_boolean(*options.valid, "valid");
    if (options.valid->shape != x.shape) {
      throw std::invalid_argument("valid must have the shape of the data, " + to_string(x.shape) + "; got " +
                                  to_string(options.valid->shape));
    }
  }
}

LoopNest plan_loops(const TensorView& x, const Axes& kept, const UpdateOptions& options) {
  LoopNest nest;
  nest.bases[data_operand] = static_cast<const std::byte*>(x.data);
  const std::array<const std::optional<TensorView>*, operand_count> masks{nullptr, &options.where,
                                                                          &options.weights, &options.valid};
  for (std::size_t i = where_operand; i < operand_count; ++i) {
    nest.bases[i] = *masks[i] ? static_cast<const std::byte*>((*masks[i])->data) : nullptr;
  }

  std::vector<Loop> reduced;
  std::vector<Loop> features;
  std::int64_t feature = 1;
  for (std::size_t axis = x.shape.size(); axis-- > 0;) {
    Loop loop{x.shape[axis],
              {x.strides[axis], stride_of(options.where, axis), stride_of(options.weights, axis),
               stride_of(options.valid, axis)},
              0};
    const bool keep = std::binary_search(kept.begin(), kept.end(), static_cast<int>(axis));
    if (keep) {
      loop.feature = std::exchange(feature, feature * loop.extent);
    }
    if (loop.extent != 1) {
      (keep ? features : reduced).insert((keep ? features : reduced).begin(), loop);
    }
  }
  for (Loop& loop : reduced) {
    make_ascending(loop, nest.bases);
  }
  std::stable_sort(reduced.begin(), reduced.end(),
                   [](const Loop& a, const Loop& b) { return distance(a) > distance(b); });
  reduced = coalesced(reduced);
  features = coalesced(features);

  const auto item = static_cast<std::int64_t>(size_of(x.dtype));
  const auto nearest = std::min_element(features.begin(), features.end(), [](const Loop& a, const Loop& b) {
    return distance(a) < distance(b);
  });
  if (nearest != features.end()) {
    nest.columns = take(features, nearest);
  }
  if (!reduced.empty()) {
    // A contiguous run of one feature, unless the features themselves are contiguous; else the longest loop.
    const bool run =
        reduced.back().strides[data_operand] == item && nest.columns.strides[data_operand] != item;
    const auto longest = std::max_element(reduced.begin(), reduced.end(),
                                          [](const Loop& a, const Loop& b) { return a.extent < b.extent; });
    nest.rows = take(reduced, run ? reduced.end() - 1 : longest);
  }
  nest.outer_reduced = std::move(reduced);
  nest.outer_kept = std::move(features);
  return nest;
}

std::int64_t steps(const std::vector<Loop>& loops) noexcept {
  std::int64_t product = 1;
  for (const Loop& loop : loops) {
    product *= loop.extent;
  }
  return product;
}

void Position::advance(const std::vector<Loop>& loops, std::int64_t index) noexcept {
  for (std::size_t i = loops.size(); i-- > 0;) {
    advance(loops[i], index % loops[i].extent);
    index /= loops[i].extent;
  }
}

}  // namespace exactnorm
