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
#include "group_sums.hpp"
#include "loops.hpp"
#include "utf8.hpp"

namespace exactnorm {
namespace {

constexpr std::int64_t piece_rows = 1 << 20;  // put in order at a time

template <class Key>
using Keys = std::vector<Key>;

std::string describe(std::int64_t key) { return std::to_string(key); }
std::string describe(std::string_view key) {
  constexpr std::size_t longest = 60;
  return "'" + std::string(key.substr(0, longest)) + (key.size() > longest ? "…'" : "'");
}

std::size_t count(const KeyList& keys) noexcept {
  const auto* integers = std::get_if<Keys<std::int64_t>>(&keys);
  return integers != nullptr ? integers->size() : std::get_if<Keys<std::string>>(&keys)->size();
}

const char* kind_of(const KeyList& keys) noexcept { return keys.index() == 0 ? "integers" : "strings"; }
const char* kind_of(const RowKeys& keys) noexcept { return keys.index() == 0 ? "integers" : "strings"; }

[[noreturn]] void refuse_mix(const char* mine, const char* theirs) {
  throw std::invalid_argument(std::string("the keys are ") + mine + ", and " + theirs +
                              " do not mix with them");
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

// For each of theirs, which ascend as mine do: where it is among mine, or would be.
template <class Key>
std::vector<std::size_t> positions(const Keys<Key>& mine, const Keys<Key>& theirs) {
  std::vector<std::size_t> result(theirs.size());
  auto from = mine.begin();
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    // Near the last one, if theirs are many.
    std::ptrdiff_t step = 1;
    while (step < mine.end() - from && from[step - 1] < theirs[i]) {
      from += step;
      step *= 2;
    }
    from = std::lower_bound(from, from + std::min(step, mine.end() - from), theirs[i]);
    result[i] = static_cast<std::size_t>(from - mine.begin());
  }
  return result;
}

// Merges blocks of `width` items: theirs that are not among mine go before mine[at[i]]. Cannot fail: the
// target has been reserved.
template <class Item>
void interleave(std::vector<Item>& mine, std::vector<Item>& theirs, std::size_t width,
                const std::vector<std::size_t>& at, const std::vector<bool>& is_new,
                std::vector<Item>& target) noexcept {
  std::size_t next = 0;
  const auto move_mine = [&](std::size_t end) {
    for (; next < end * width; ++next) {
      target.push_back(std::move(mine[next]));
    }
  };
  for (std::size_t i = 0; i < at.size(); ++i) {
    if (is_new[i]) {
      move_mine(at[i]);
      for (std::size_t j = i * width; j < (i + 1) * width; ++j) {
        target.push_back(std::move(theirs[j]));
      }
    }
  }
  move_mine(mine.size() / std::max<std::size_t>(width, 1));
  mine = std::move(target);
}

void check_utf8(const auto& keys) {
  for (const auto& key : keys) {
    if (!is_utf8(key)) {
      throw std::invalid_argument("a key is not valid UTF-8");
    }
  }
}

bool any_counted(std::span<const Feature> features) noexcept {
  return std::any_of(features.begin(), features.end(),
                     [](const Feature& feature) { return feature.counts.any(); });
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

std::string describe_key(const KeyList& keys, std::size_t group) {
  return std::visit([&](const auto& all) { return describe(all[group]); }, keys);
}

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

void GroupedMoments::check_same_kind(const GroupedMoments& other, const char* verb) const {
  exactnorm::check_same_kind(nothing_, other.nothing_, verb);
  if (empty() || other.empty()) {
    return;
  }
  if (weighted() != other.weighted()) {
    throw std::invalid_argument(std::string("cannot ") + verb + " weighted and unweighted data");
  }
  if (keys_.index() != other.keys_.index()) {
    refuse_mix(kind_of(keys_), kind_of(other.keys_));
  }
}

void GroupedMoments::merge(GroupedMoments other) { absorb(std::move(other)); }

void GroupedMoments::absorb(GroupedMoments other) {
  check_same_kind(other, "merge");
  if (empty() || other.empty()) {
    if (empty()) {
      size_ = std::exchange(other.size_, 0);
      keys_ = size_ > 0 ? std::move(other.keys_) : KeyList();
      features_ = std::move(other.features_);
      weights_ = std::move(other.weights_);
    }
    if (names().empty()) {
      std::swap(nothing_, other.nothing_);
    }
    return;
  }
  std::visit(
      [&]<class Mine>(Mine& mine) {
        Mine& theirs = std::get<Mine>(other.keys_);
        const std::vector<std::size_t> at = positions(mine, theirs);
        std::vector<bool> is_new(at.size());
        std::size_t added = 0;
        // All memory first: after that nothing can fail half-way.
        for (std::size_t i = 0; i < at.size(); ++i) {
          is_new[i] = at[i] == mine.size() || mine[at[i]] != theirs[i];
          added += is_new[i] ? std::size_t{1} : std::size_t{0};
          for (std::size_t j = 0; j < width() && !is_new[i]; ++j) {
            Feature& to = features_[at[i] * width() + j];
            const Feature& from = other.features_[i * width() + j];
            if (counts_overflow(to.counts, from.counts)) {
              throw std::invalid_argument("more than 2^63-1 values in " + nothing_.describe(j) + " of key " +
                                          describe(theirs[i]));
            }
            reserve_for(to, from);
            if (weighted()) {
              weights_[at[i] * width() + j].reserve_for(other.weights_[i * width() + j]);
            }
          }
        }
        Mine keys;
        std::vector<Feature> features;
        std::vector<ExactSum> weights;
        if (added > 0) {
          keys.reserve(mine.size() + added);
          features.reserve((mine.size() + added) * width());
          weights.reserve(weighted() ? (mine.size() + added) * width() : 0);
        }
        for (std::size_t i = 0; i < at.size(); ++i) {
          for (std::size_t j = 0; j < width() && !is_new[i]; ++j) {
            add(features_[at[i] * width() + j], other.features_[i * width() + j]);
            if (weighted()) {
              weights_[at[i] * width() + j] += other.weights_[i * width() + j];
            }
          }
        }
        if (added > 0) {
          interleave(mine, theirs, 1, at, is_new, keys);
          interleave(features_, other.features_, width(), at, is_new, features);
          if (weighted()) {
            interleave(weights_, other.weights_, width(), at, is_new, weights);
          }
          size_ += added;
        }
      },
      keys_);
  if (names().empty()) {
    std::swap(nothing_, other.nothing_);
  }
}

void GroupedMoments::subtract(const GroupedMoments& other) {
  check_same_kind(other, "subtract");
  constexpr const char* never_added = "cannot subtract data that were never added: ";
  std::vector<std::size_t> at;
  std::vector<Feature> features;
  std::vector<ExactSum> weights;
  if (!other.empty()) {
    if (empty()) {
      throw std::invalid_argument(never_added + ("there is no key " + describe_key(other.keys_, 0)));
    }
    std::visit(
        [&]<class Mine>(const Mine& mine) {
          const Mine& theirs = std::get<Mine>(other.keys_);
          at = positions(mine, theirs);
          for (std::size_t i = 0; i < at.size(); ++i) {
            if (at[i] == mine.size() || mine[at[i]] != theirs[i]) {
              throw std::invalid_argument(never_added + ("there is no key " + describe(theirs[i])));
            }
          }
        },
        keys_);
  }
  features.reserve(other.features_.size());
  weights.reserve(other.weights_.size());
  for (std::size_t i = 0; i < at.size(); ++i) {
    for (std::size_t j = 0; j < width(); ++j) {
      const std::size_t from = i * width() + j;
      exactnorm::subtract(features.emplace_back(features_[at[i] * width() + j]), other.features_[from]);
      if (weighted()) {
        weights.emplace_back(weights_[at[i] * width() + j]) -= other.weights_[from];
      }
      const std::string why = impossible(features.back(), weighted() ? &weights.back() : nullptr);
      if (!why.empty()) {
        throw std::invalid_argument(never_added + ("in " + nothing_.describe(j) + " of key " +
                                                   describe_key(other.keys_, i) + " " + why));
      }
    }
  }
  Moments names_of_both = names().empty() ? other.nothing_ : nothing_;
  for (std::size_t i = 0; i < at.size(); ++i) {
    const auto to = static_cast<std::ptrdiff_t>(at[i] * width());
    const auto from = static_cast<std::ptrdiff_t>(i * width());
    const auto count = static_cast<std::ptrdiff_t>(width());
    std::move(features.begin() + from, features.begin() + from + count, features_.begin() + to);
    if (weighted()) {
      std::move(weights.begin() + from, weights.begin() + from + count, weights_.begin() + to);
    }
  }
  std::swap(nothing_, names_of_both);
  drop_empty();
}

// Groups that have nothing counted go. Cannot fail.
void GroupedMoments::drop_empty() {
  std::size_t left = 0;
  std::visit(
      [&](auto& keys) {
        for (std::size_t group = 0; group < size_; ++group) {
          if (!any_counted(features(group))) {
            continue;
          }
          if (left != group) {
            keys[left] = std::move(keys[group]);
            for (std::size_t j = 0; j < width(); ++j) {
              features_[left * width() + j] = std::move(features_[group * width() + j]);
              if (weighted()) {
                weights_[left * width() + j] = std::move(weights_[group * width() + j]);
              }
            }
          }
          ++left;
        }
        keys.erase(keys.begin() + static_cast<std::ptrdiff_t>(left), keys.end());
      },
      keys_);
  features_.erase(features_.begin() + static_cast<std::ptrdiff_t>(left * width()), features_.end());
  if (weighted()) {
    weights_.erase(weights_.begin() + static_cast<std::ptrdiff_t>(left * width()), weights_.end());
  }
  size_ = left;
  if (left == 0) {
    keys_ = KeyList();
  }
}

bool operator==(const GroupedMoments& a, const GroupedMoments& b) noexcept {
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
