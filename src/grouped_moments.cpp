#include <exactnorm/grouped_moments.hpp>

#include <algorithm>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "columns.hpp"
#include "feature_checks.hpp"
#include "group_ids.hpp"
#include "group_keys.hpp"
#include "group_sums.hpp"
#include "loops.hpp"
#include "utf8.hpp"

namespace exactnorm {
namespace {

constexpr std::int64_t piece_rows = 1 << 20;  // put in order at a time

template <class Key>
using Keys = std::vector<Key>;

std::size_t count(const KeyList& keys) noexcept {
  const auto* integers = std::get_if<Keys<std::int64_t>>(&keys);
  return integers != nullptr ? integers->size() : std::get_if<Keys<std::string>>(&keys)->size();
}

// Where the key is, or would be.
template <class Key, class Wanted>
std::size_t position(const Keys<Key>& keys, const Wanted& wanted) {
  return static_cast<std::size_t>(std::lower_bound(keys.begin(), keys.end(), wanted) - keys.begin());
}

template <class Key, class Wanted>
std::optional<std::size_t> find(const KeyList& list, const Wanted& wanted) noexcept {
  const auto* keys = std::get_if<Keys<Key>>(&list);
  const std::size_t at = keys != nullptr ? position(*keys, wanted) : 0;
  return keys != nullptr && at < keys->size() && (*keys)[at] == wanted ? std::optional(at) : std::nullopt;
}

void check_utf8(const auto& keys) {
  for (const auto& key : keys) {
    if (!is_utf8(key)) {
      throw std::invalid_argument("a key is not valid UTF-8");
    }
  }
}

// The numbers of groups that have counted something, in the order of their keys.
template <class Key>
std::vector<std::uint32_t> counted_in_order(const Keys<Key>& keys, const std::vector<Feature>& features,
                                            std::size_t width) {
  std::vector<std::uint32_t> order;
  order.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (any_counted(std::span(features).subspan(i * width, width))) {
      order.push_back(static_cast<std::uint32_t>(i));
    }
  }
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return keys[a] < keys[b]; });
  return order;
}

template <class Item>
std::vector<Item> reordered(std::vector<Item>&& from, const std::vector<std::uint32_t>& order,
                            std::size_t width) {
  std::vector<Item> result;
  result.reserve(order.size() * width);
  for (const std::uint32_t i : order) {
    std::move(from.begin() + static_cast<std::ptrdiff_t>(i * width),
              from.begin() + static_cast<std::ptrdiff_t>((i + 1) * width), std::back_inserter(result));
  }
  return result;
}

}  // namespace

GroupedMoments::GroupedMoments(const Shape& feature_shape, std::vector<std::string> names)
    : nothing_(feature_shape, std::move(names)) {}

GroupedMoments GroupedMoments::from_parts(const Shape& feature_shape, std::vector<std::string> names,
                                          KeyList keys, std::vector<Feature> features,
                                          std::vector<ExactSum> weights) {
  GroupedMoments result(feature_shape, std::move(names));
  const std::size_t width = result.width();
  result.size_ = count(keys);
  if (features.size() != result.size_ * width) {
    throw std::invalid_argument("shape " + to_string(feature_shape) + " and " + std::to_string(result.size_) +
                                " keys do not have " + std::to_string(features.size()) + " features");
  }
  if (!weights.empty() && weights.size() != features.size()) {
    throw std::invalid_argument("weights must be one for each feature, or none");
  }
  std::visit(
      [](const auto& all) {
        if (std::adjacent_find(all.begin(), all.end(), std::greater_equal<>{}) != all.end()) {
          throw std::invalid_argument("keys must be distinct and in order");
        }
      },
      keys);
  if (const auto* strings = std::get_if<Keys<std::string>>(&keys)) {
    check_utf8(*strings);
  }
  for (std::size_t group = 0; group < result.size_; ++group) {
    const auto of = [&] { return " of key " + describe_key(keys, group); };
    if (!any_counted(std::span(features).subspan(group * width, width))) {
      throw std::invalid_argument("nothing has been counted" + of());
    }
    for (std::size_t i = 0; i < width; ++i) {
      const std::size_t at = group * width + i;
      const std::string why = impossible(features[at], weights.empty() ? nullptr : &weights[at]);
      if (!why.empty()) {
        throw std::invalid_argument("no data have such sums: in " + result.nothing_.describe(i) + of() + " " +
                                    why);
      }
    }
  }
  if (result.size_ > 0) {
    result.keys_ = std::move(keys);
  }
  result.features_ = std::move(features);
  result.weights_ = std::move(weights);
  return result;
}

// Sums rows, of which `sum` adds a piece at a time, and adds the result. The groups are those of the rows
// alone until nothing can fail any more.
template <class Sum>
void GroupedMoments::add_aside(std::int64_t rows, const RowKeys& keys, const UpdateOptions& options,
                               Sum&& sum) {
  if (row_count(keys) != static_cast<std::size_t>(rows)) {
    throw std::invalid_argument("expected a key for each of " + std::to_string(rows) + " rows, got " +
                                std::to_string(row_count(keys)));
  }
  if (rows == 0) {
    return;
  }
  if (!empty() && std::string_view(kind_of(keys_)) != kind_of(keys)) {
    refuse_mix(kind_of(keys_), kind_of(keys));
  }
  GroupedMoments batch;
  batch.nothing_ = nothing_;
  GroupIds ids(keys);
  RowOrder order;
  std::vector<std::uint32_t> of_piece;
  for (std::int64_t first = 0; first < rows; first += piece_rows) {
    const std::int64_t count = std::min(rows - first, piece_rows);
    if (options.stop.stop_requested()) {
      throw Interrupted();
    }
    of_piece.resize(static_cast<std::size_t>(count));
    ids.number(static_cast<std::size_t>(first), of_piece);
    order.sort(of_piece, ids.size());
    batch.features_.resize(ids.size() * width());
    batch.weights_.resize(options.weights ? batch.features_.size() : 0);
    sum(first, count, order,
        GroupTargets{batch.features_.data(), options.weights ? batch.weights_.data() : nullptr, width(),
                     width()});
  }
  const auto finish = [&](const auto& all, auto make) {
    const std::vector<std::uint32_t> counted = counted_in_order(all, batch.features_, width());
    Keys<decltype(make(all.front()))> sorted;
    sorted.reserve(counted.size());
    for (const std::uint32_t i : counted) {
      sorted.push_back(make(all[i]));
    }
    batch.size_ = sorted.size();
    batch.keys_ = std::move(sorted);
    batch.features_ = reordered(std::move(batch.features_), counted, width());
    batch.weights_ = reordered(std::move(batch.weights_),
                               batch.weights_.empty() ? Keys<std::uint32_t>() : counted, width());
  };
  if (ids.strings().empty()) {
    finish(ids.integers(), [](std::int64_t key) { return key; });
  } else {
    check_utf8(ids.strings());
    finish(ids.strings(), [](std::string_view key) { return std::string(key); });
  }
  absorb(std::move(batch));
}

void GroupedMoments::update(const TensorView& x, const RowKeys& keys, const std::optional<Axes>& axis,
                            const UpdateOptions& options) {
  const std::size_t rank = x.shape.size();
  if (rank == 0) {
    throw std::invalid_argument("expected data with an axis of rows, got shape ()");
  }
  Axes kept;
  if (axis) {
    kept = kept_axes(*axis, rank);
  } else {
    if (rank < shape().size()) {
      throw std::invalid_argument("data of shape " + to_string(x.shape) +
                                  " have fewer axes than the feature shape " + to_string(shape()));
    }
    kept.resize(shape().size());
    std::iota(kept.begin(), kept.end(), static_cast<int>(rank - shape().size()));
  }
  if (!kept.empty() && kept.front() == 0) {
    throw std::invalid_argument("axis 0 has the rows, which the keys put into groups: it cannot be kept");
  }
  if (const Shape features = exactnorm::feature_shape(x.shape, kept); features != shape()) {
    throw std::invalid_argument("expected features of shape " + to_string(shape()) + ", got " +
                                to_string(features) + " from data of shape " + to_string(x.shape));
  }
  check_operands(x, options);
  add_aside(x.shape[0], keys, options,
            [&](std::int64_t first, std::int64_t count, const RowOrder& order, const GroupTargets& into) {
              accumulate_groups(rows_of(x, first, count), kept, rows_of(options, first, count), order, into);
            });
}

void GroupedMoments::update_columns(std::span<const Column> columns, const RowKeys& keys,
                                    const UpdateOptions& options) {
  const std::int64_t rows = check_columns(nothing_, columns, options);
  add_aside(rows, keys, options,
            [&](std::int64_t first, std::int64_t count, const RowOrder& order, const GroupTargets& into) {
              for_each_column(columns, options,
                              [&](const TensorView& values, const Axes& kept, const UpdateOptions& with_nulls,
                                  std::size_t feature, std::size_t own) {
                                accumulate_groups(rows_of(values, first, count), kept,
                                                  rows_of(with_nulls, first, count), order,
                                                  into.part(feature, own));
                              });
            });
}

bool operator==(const GroupedMoments& a, const GroupedMoments& b) {
  return a.nothing_ == b.nothing_ && a.keys_ == b.keys_ && a.weights_ == b.weights_ &&
         a.features_ == b.features_;
}

bool GroupedMoments::contains(std::int64_t key) const noexcept {
  return find<std::int64_t>(keys_, key).has_value();
}
bool GroupedMoments::contains(std::string_view key) const noexcept {
  return find<std::string>(keys_, key).has_value();
}

Moments GroupedMoments::at(std::int64_t key) const {
  if (const auto found = find<std::int64_t>(keys_, key)) {
    return group(*found);
  }
  throw std::out_of_range("there is no key " + describe(key));
}
Moments GroupedMoments::at(std::string_view key) const {
  if (const auto found = find<std::string>(keys_, key)) {
    return group(*found);
  }
  throw std::out_of_range("there is no key " + describe(key));
}

std::span<const Feature> GroupedMoments::features(std::size_t group) const noexcept {
  return std::span(features_).subspan(group * width(), width());
}
std::span<const ExactSum> GroupedMoments::weights(std::size_t group) const noexcept {
  return weighted() ? std::span(weights_).subspan(group * width(), width()) : std::span<const ExactSum>();
}

Moments GroupedMoments::group(std::size_t group) const {
  const auto own = features(group);
  const auto own_weights = weights(group);
  return Moments::from_parts(shape(), names(), {own.begin(), own.end()},
                             {own_weights.begin(), own_weights.end()});
}

Moments GroupedMoments::total() const {
  std::vector<Feature> sums(width());
  std::vector<ExactSum> weight_sums(weighted() ? width() : 0);
  for (std::size_t i = 0; i < features_.size(); ++i) {
    Feature& to = sums[i % width()];
    if (counts_overflow(to.counts, features_[i].counts)) {
      throw std::invalid_argument("more than 2^63-1 values in " + nothing_.describe(i % width()));
    }
    add(to, features_[i]);
    if (weighted()) {
      weight_sums[i % width()] += weights_[i];
    }
  }
  return Moments::from_parts(shape(), names(), std::move(sums), std::move(weight_sums));
}

}  // namespace exactnorm
