#include <exactnorm/moments.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <unordered_set>
#include <utility>

#include "accumulate.hpp"
#include "columns.hpp"
#include "feature_checks.hpp"
#include "small_update.hpp"
#include "sparse_sums.hpp"
#include "utf8.hpp"

namespace exactnorm {
namespace {

std::string plural(std::size_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

void check_names(const std::vector<std::string>& names, std::size_t features) {
  if (names.empty()) {
    return;
  }
  if (names.size() != features) {
    throw std::invalid_argument("names must be one for each of " + plural(features, "feature") + ", got " +
                                plural(names.size(), "name"));
  }
  std::unordered_set<std::string_view> seen;
  for (const std::string& name : names) {
    if (!is_utf8(name)) {
      throw std::invalid_argument("a feature's name is not valid UTF-8");
    }
    if (!seen.insert(name).second) {
      throw std::invalid_argument("names must be distinct, got '" + name + "' twice");
    }
  }
}

std::size_t feature_count(const Shape& shape) {
  const std::int64_t count = element_count(shape);
  if (count > std::numeric_limits<std::int64_t>::max() / static_cast<std::int64_t>(sizeof(Feature))) {
    throw std::invalid_argument("feature shape " + to_string(shape) + " is too large");
  }
  return static_cast<std::size_t>(count);
}

}  // namespace

std::string impossible(const Feature& feature, const ExactSum* weight) {
  for (const auto kind : count_kinds) {
    if (feature.counts.*kind < 0) {
      return "a count would be negative";
    }
  }
  const bool any = feature.counts.finite > 0;
  const ExactSum n = weight != nullptr ? *weight : ExactSum::from_integer(feature.counts.finite);
  if (weight != nullptr && n.sign() != (any ? 1 : 0)) {
    return any ? "the sum of weights would not be positive"
               : "the sum of weights would not be 0 though no value is left";
  }
  if (feature.sumsq.sign() < 0) {
    return "the sum of squares would be negative";
  }
  if (!any && (feature.sum.sign() != 0 || feature.sumsq.sign() != 0)) {
    return "the sums would not be 0 though no value is left";
  }
  if (n * feature.sumsq < feature.sum * feature.sum) {
    return "the variance would be negative";
  }
  return {};
}

void check_same_kind(const Moments& a, const Moments& b, const char* verb) {
  const std::string cannot = std::string("cannot ") + verb + " ";
  if (a.shape() != b.shape()) {
    throw std::invalid_argument(cannot + "features of different shapes: " + to_string(a.shape()) + " and " +
                                to_string(b.shape()));
  }
  if (!a.names().empty() && !b.names().empty() && a.names() != b.names()) {
    const auto [mine, theirs] = std::mismatch(a.names().begin(), a.names().end(), b.names().begin());
    throw std::invalid_argument(cannot + "features of different names: '" + *mine + "' and '" + *theirs +
                                "'");
  }
  if (a.weighted() != b.weighted() && !a.empty() && !b.empty()) {
    throw std::invalid_argument(cannot + "weighted and unweighted data");
  }
}

Axes kept_axes(const Axes& axis, std::size_t rank) {
  const auto signed_rank = static_cast<int>(rank);
  Axes kept;
  for (const int given : axis) {
    if (given < -signed_rank || given >= signed_rank) {
      throw std::invalid_argument("axis " + std::to_string(given) + " is out of range for data of rank " +
                                  std::to_string(rank));
    }
    kept.push_back(given < 0 ? given + signed_rank : given);
  }
  std::sort(kept.begin(), kept.end());
  const auto twice = std::adjacent_find(kept.begin(), kept.end());
  if (twice != kept.end()) {
    throw std::invalid_argument("axis " + std::to_string(*twice) + " is given twice (data of rank " +
                                std::to_string(rank) + ")");
  }
  return kept;
}

Shape feature_shape(const Shape& shape, const Axes& kept) {
  Shape features;
  for (const int axis : kept) {
    features.push_back(shape[static_cast<std::size_t>(axis)]);
  }
  return features;
}

std::string_view name_of(Policy policy) noexcept {
  return policy == Policy::propagate ? "propagate" : policy == Policy::omit ? "omit" : "raise";
}

Policy policy_named(std::string_view name, std::string_view what) {
  for (const Policy policy : {Policy::propagate, Policy::omit, Policy::raise}) {
    if (name == name_of(policy)) {
      return policy;
    }
  }
  throw std::invalid_argument(std::string(what) + " must be 'propagate', 'omit' or 'raise', got '" +
                              std::string(name) + "'");
}

Moments::Moments(const Shape& feature_shape, std::vector<std::string> names)
    : shape_(feature_shape), names_(std::move(names)), features_(feature_count(feature_shape)) {
  check_names(names_, features_.size());
}

Moments Moments::from_parts(const Shape& feature_shape, std::vector<std::string> names,
                            std::vector<Feature> features, std::vector<ExactSum> weights) {
  if (feature_count(feature_shape) != features.size()) {
    throw std::invalid_argument("shape " + to_string(feature_shape) + " does not have " +
                                plural(features.size(), "feature"));
  }
  if (!weights.empty() && weights.size() != features.size()) {
    throw std::invalid_argument("weights must be one for each of " + plural(features.size(), "feature") +
                                ", or none");
  }
  check_names(names, features.size());
  Moments moments{Shape{0}};
  moments.shape_ = feature_shape;
  moments.names_ = std::move(names);
  moments.features_ = std::move(features);
  moments.weights_ = std::move(weights);
  for (std::size_t i = 0; i < moments.size(); ++i) {
    const std::string why =
        impossible(moments.features_[i], moments.weighted() ? &moments.weights_[i] : nullptr);
    if (!why.empty()) {
      throw std::invalid_argument("no data have such sums: in " + moments.describe(i) + " " + why);
    }
  }
  if (moments.empty()) {
    moments.weights_.clear();
  }
  return moments;
}

bool Moments::empty() const noexcept {
  return std::none_of(features_.begin(), features_.end(),
                      [](const Feature& feature) { return feature.counts.any(); });
}

void Moments::set_names(std::vector<std::string> names) {
  check_names(names, features_.size());
  names_ = std::move(names);
}

std::string Moments::describe(std::size_t feature) const {
  if (!names_.empty()) {
    return "'" + names_[feature] + "' (feature " + std::to_string(feature) + ")";
  }
  if (shape_.size() <= 1) {
    return "feature " + std::to_string(feature);
  }
  Shape index = shape_;
  for (std::size_t axis = shape_.size(); axis-- > 0;) {
    index[axis] = static_cast<std::int64_t>(feature) % shape_[axis];
    feature /= static_cast<std::size_t>(shape_[axis]);
  }
  return "feature " + to_string(index);
}

// Adds what `sum` leaves in Moments that are empty, or nothing at all if it throws. Where there is nothing
// yet those are these themselves: many features are long in making.
template <class Sum>
void Moments::add_aside(bool with_weights, Sum&& sum) {
  if (!empty()) {
    Moments batch(shape_);
    batch.weights_.resize(with_weights ? size() : 0);
    sum(batch);
    merge(batch);
    return;
  }
  try {
    weights_.resize(with_weights ? size() : 0);
    sum(*this);
  } catch (...) {
    std::fill(features_.begin(), features_.end(), Feature());
    weights_.clear();
    throw;
  }
  if (with_weights && empty()) {
    weights_.clear();  // no weight counted
  }
}

void Moments::update(const TensorView& x, const std::optional<Axes>& axis, const UpdateOptions& options) {
  const std::size_t rank = x.shape.size();
  Axes kept;
  if (axis) {
    kept = kept_axes(*axis, rank);
  } else {
    if (rank < shape_.size()) {
      throw std::invalid_argument("data of shape " + to_string(x.shape) +
                                  " have fewer axes than the feature shape " + to_string(shape_));
    }
    kept.resize(shape_.size());
    std::iota(kept.begin(), kept.end(), static_cast<int>(rank - shape_.size()));
  }
  if (const Shape shape = exactnorm::feature_shape(x.shape, kept); shape != shape_) {
    throw std::invalid_argument("expected features of shape " + to_string(shape_) + ", got " +
                                to_string(shape) + " from data of shape " + to_string(x.shape));
  }
  if (weights_.empty() && add_small(x, kept, options, features_)) {
    return;
  }
  add_aside(options.weights.has_value(),
            [&](Moments& batch) { accumulate(x, kept, options, batch.features_, batch.weights_); });
}

std::int64_t check_columns(const Moments& moments, std::span<const Column> columns,
                           const UpdateOptions& options) {
  if (options.valid) {
    throw std::invalid_argument("nulls of a table belong to its columns: options.valid must be absent");
  }
  std::size_t features = 0;
  for (const Column& column : columns) {
    const Shape& shape = column.values.shape;
    if (shape.empty() || shape.size() > 2 || shape[0] != columns[0].values.shape[0]) {
      throw std::invalid_argument(
          "columns must have shape (rows,) or (rows, k), all with the same rows; got " + to_string(shape));
    }
    features += shape.size() == 2 ? static_cast<std::size_t>(shape[1]) : 1;
  }
  if (features != moments.size() || moments.shape().size() > 1) {
    throw std::invalid_argument("expected features of shape " + to_string(moments.shape()) +
                                ", got columns with " + plural(features, "feature"));
  }
  return columns.empty() ? 0 : columns[0].values.shape[0];
}

void Moments::update_columns(std::span<const Column> columns, const UpdateOptions& options) {
  check_columns(*this, columns, options);
  add_aside(options.weights.has_value(), [&](Moments& batch) {
    for_each_column(columns, options,
                    [&](const TensorView& values, const Axes& kept, const UpdateOptions& with_nulls,
                        std::size_t first, std::size_t width) {
                      accumulate(values, kept, with_nulls, std::span(batch.features_).subspan(first, width),
                                 options.weights ? std::span(batch.weights_).subspan(first, width)
                                                 : std::span<ExactSum>());
                    });
  });
}

void Moments::update_sparse(const SparseColumns& x, const UpdateOptions& options) {
  const std::int64_t columns = check_sparse(x, options);
  if (columns != static_cast<std::int64_t>(size()) || shape_.size() > 1) {
    throw std::invalid_argument("expected features of shape " + to_string(shape_) +
                                ", got a sparse table with " +
                                plural(static_cast<std::size_t>(columns), "column"));
  }
  add_aside(options.weights.has_value(),
            [&](Moments& batch) { accumulate_sparse(x, options, batch.features_, batch.weights_); });
}

void Moments::merge(const Moments& other) {
  check_same_kind(*this, other, "merge");
  if (&other == this) {
    merge(Moments(other));  // a sum added to itself copies itself, and memory may run out half-way
    return;
  }
  const bool other_empty = other.empty();
  const bool weights_differ = weighted() != other.weighted();
  for (std::size_t i = 0; i < size(); ++i) {
    if (counts_overflow(features_[i].counts, other.features_[i].counts)) {
      throw std::invalid_argument("more than 2^63-1 values in " + describe(i));
    }
  }
  std::vector<std::string> names = names_.empty() ? other.names_ : std::vector<std::string>();
  if (!other_empty) {
    // All memory first: after that nothing can fail half-way.
    std::vector<ExactSum> weights(weights_differ ? other.weights_.size() : 0);
    std::vector<ExactSum>& sums_of_weights = weights_differ ? weights : weights_;
    for (std::size_t i = 0; i < size(); ++i) {
      reserve_for(features_[i], other.features_[i]);
    }
    for (std::size_t i = 0; i < sums_of_weights.size(); ++i) {
      sums_of_weights[i].reserve_for(other.weights_[i]);
    }
    for (std::size_t i = 0; i < size(); ++i) {
      add(features_[i], other.features_[i]);
    }
    for (std::size_t i = 0; i < sums_of_weights.size(); ++i) {
      sums_of_weights[i] += other.weights_[i];
    }
    if (weights_differ) {
      weights_ = std::move(weights);
    }
  }
  if (!names.empty()) {
    names_ = std::move(names);
  }
}

void Moments::subtract(const Moments& other) {
  check_same_kind(*this, other, "subtract");
  Moments difference = *this;
  if (weights_.empty()) {
    difference.weights_.resize(other.weights_.size());
  }
  for (std::size_t i = 0; i < size(); ++i) {
    Feature& feature = difference.features_[i];
    exactnorm::subtract(feature, other.features_[i]);
    if (other.weighted()) {
      difference.weights_[i] -= other.weights_[i];
    }
    const std::string why = impossible(feature, difference.weighted() ? &difference.weights_[i] : nullptr);
    if (!why.empty()) {
      throw std::invalid_argument("cannot subtract data that were never added: in " + describe(i) + " " +
                                  why);
    }
  }
  if (difference.empty()) {
    difference.weights_.clear();
  }
  if (names_.empty()) {
    difference.names_ = other.names_;
  }
  *this = std::move(difference);
}

bool operator==(const Moments& a, const Moments& b) noexcept {
  return a.shape_ == b.shape_ && a.names_ == b.names_ && a.weights_ == b.weights_ &&
         a.features_ == b.features_;
}

std::vector<bool> Moments::constant_features() const {
  std::vector<bool> constant(size());
  for (std::size_t i = 0; i < size(); ++i) {
    const Feature& feature = features_[i];
    const ExactSum n = weighted() ? weights_[i] : ExactSum::from_integer(feature.counts.finite);
    constant[i] = feature.counts.finite > 0 && n * feature.sumsq == feature.sum * feature.sum;
  }
  return constant;
}

}  // namespace exactnorm
