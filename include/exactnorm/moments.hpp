#pragma once
/// \file
/// What has been learned: per feature, exact sums of x and x², and counts of each kind of value.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include <exactnorm/exact_sum.hpp>
#include <exactnorm/tensor_view.hpp>

namespace exactnorm {

/// The axes to keep, one mean and variance for each of their indices; negative ones count from the end.
/// Empty: one feature over everything (Keras's axis=None).
using Axes = std::vector<int>;

/// `axis` as non-negative sorted axes of an array of that rank. Throws std::invalid_argument for an axis out
/// of range or given twice.
Axes kept_axes(const Axes& axis, std::size_t rank);
/// The extents of the kept (sorted) axes: the feature shape.
Shape feature_shape(const Shape& shape, const Axes& kept);

/// What a NaN, or an infinity, among the values means when a number is read. See contract.md.
enum class Policy : std::uint8_t { propagate, omit, raise };
std::string_view name_of(Policy policy) noexcept;
/// Throws std::invalid_argument that lists the three; `what` names the argument.
Policy policy_named(std::string_view name, std::string_view what);

/// How to read. ddof is subtracted from n in the variance's divisor (>= 0; 0 for weighted data).
struct Reading {
  Policy nan_policy = Policy::propagate;
  Policy inf_policy = Policy::propagate;
  std::int64_t ddof = 0;
};

/// How many values of each kind one feature has had.
struct Counts {
  std::int64_t finite = 0;
  std::int64_t nan = 0;
  std::int64_t posinf = 0;
  std::int64_t neginf = 0;
  std::int64_t null = 0;

  [[nodiscard]] bool any() const noexcept { return (finite | nan | posinf | neginf | null) != 0; }
  friend bool operator==(const Counts&, const Counts&) = default;
};

/// One feature. sum = Σx and sumsq = Σx² over finite values; weighted: Σwx and Σwx².
struct Feature {
  Counts counts;
  ExactSum sum;
  ExactSum sumsq;

  friend bool operator==(const Feature&, const Feature&) = default;
};

/// How many panels (at most 256 values of a column) were summed by each tier of the kernels, 0 to 2, and by
/// integers alone.
using TierCounts = std::array<std::int64_t, 4>;

/// What else an update may look at. Every view must stay alive until the call returns.
struct UpdateOptions {
  /// boolean, of x's shape or a leading prefix of it; False: as if absent.
  std::optional<TensorView> where = {};
  /// Any dtype; non-negative and finite; of x's shape or a leading prefix of it; 0: as if absent.
  std::optional<TensorView> weights = {};
  /// boolean, of x's shape; False: null.
  std::optional<TensorView> valid = {};
  /// 0: EXACTNORM_NUM_THREADS, else the CPUs this process may use. The result does not depend on it.
  int threads = 0;
  /// Polled about every millisecond of work; when requested, the update throws Interrupted and changes
  /// nothing.
  std::stop_token stop = {};
  /// If not null, increased by what the update did: for measurements. The portable path counts nothing.
  TierCounts* tier_counts = nullptr;
};

/// One column of a table: values of shape (rows,) for one feature, or (rows, k) for k of them; and, if some
/// are null, a boolean view of the same shape that is False there.
struct Column {
  TensorView values;
  std::optional<TensorView> valid = {};
};

/// A table that stores some of its values, column by column, all others being 0: compressed sparse columns.
/// Column j has values[k] in row row_indices[k] for each k from offsets[j] to offsets[j + 1] - 1.
struct SparseColumns {
  TensorView values;       ///< of shape (stored,), any dtype
  TensorView row_indices;  ///< int32 or int64, of shape (stored,); they ascend in each column, none twice
  TensorView offsets;      ///< int32 or int64, of shape (columns + 1,); they ascend, from 0 to stored
  std::int64_t rows = 0;
};

/// Thrown when UpdateOptions::stop was requested.
struct Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("interrupted; nothing was changed") {}
};

/// Exact mean and variance in the making, for features of one shape.
///
///     exactnorm::Moments m({16});
///     m.update(exactnorm::rows(ptr, n_rows, 16));
///     m.merge(other_machine);  m.subtract(yesterday);
///     std::vector<float> mean = m.mean<float>(), variance = m.variance<float>();
///
/// Readings come in C order over feature_shape. Const methods are safe concurrently; one writer at a time.
/// All mutating methods give the strong guarantee.
class Moments {
 public:
  /// Empty. `names`, if any: one for each feature, distinct, UTF-8. Throws std::invalid_argument.
  explicit Moments(const Shape& feature_shape = {}, std::vector<std::string> names = {});

  /// Adds all values of x. `axis` says which axes are features; the kept extents must equal feature_shape().
  /// Without it, the last rank(feature_shape) axes are kept. Throws std::invalid_argument (shapes, axes,
  /// weights; weighted data into an unweighted state or the reverse), Interrupted. Cost: one pass over x at
  /// memory speed.
  void update(const TensorView& x, const std::optional<Axes>& axis = {}, const UpdateOptions& options = {});

  /// Adds a table: the columns' features one after another are the features of this, whose shape must be
  /// (their number,), or () for a single one. options.where and options.weights are per row, of shape
  /// (rows,); options.valid must be absent.
  void update_columns(std::span<const Column> columns, const UpdateOptions& options = {});

  /// Adds a table that stores only some values: the state is that of an update with all of them, zeros
  /// included. The feature shape must be (columns,), or () for a single one. options.weights is per row, of
  /// shape (rows,); options.where and options.valid must be absent. Throws as update, and
  /// std::invalid_argument for offsets or row indices (naming the column) that are not as SparseColumns says.
  /// Cost: O(stored values + columns), and O(rows) for weights; a column is the work of one thread.
  void update_sparse(const SparseColumns& x, const UpdateOptions& options = {});

  /// Adds what other has seen. Throws std::invalid_argument: other shape, other names, other weighting, more
  /// than 2^63-1 values.
  void merge(const Moments& other);
  /// Takes away what other has seen. Throws std::invalid_argument naming the feature if it provably was no
  /// part of this.
  void subtract(const Moments& other);
  Moments& operator+=(const Moments& other) { return merge(other), *this; }
  Moments& operator-=(const Moments& other) { return subtract(other), *this; }
  friend Moments operator+(Moments a, const Moments& b) { return a += b; }
  friend Moments operator-(Moments a, const Moments& b) { return a -= b; }
  /// The same values and kinds, the same names.
  friend bool operator==(const Moments& a, const Moments& b) noexcept;

  /// S1/n, rounded once to T (float or double). NaN for a feature without a value (see empty_features).
  /// Throws std::invalid_argument naming features and counts under Policy::raise.  Cost: O(features).
  template <class T>
  [[nodiscard]] std::vector<T> mean(const Reading& how = {}) const;
  /// (n·S2 - S1²) / (n·(n - ddof)), rounded once to T. NaN where n <= ddof. Throws as mean; also for ddof <
  /// 0, or ddof > 0 on weighted data.
  template <class T>
  [[nodiscard]] std::vector<T> variance(const Reading& how = {}) const;
  /// The correctly rounded square root of the exact variance.
  template <class T>
  [[nodiscard]] std::vector<T> std(const Reading& how = {}) const;

  /// Which features have no value to read: n = 0 (or n <= ddof) and no NaN or infinity that propagates.
  [[nodiscard]] std::vector<std::size_t> empty_features(const Reading& how = {}) const;
  /// Which features have an exact variance of 0: at least one finite value, and all of them equal.
  [[nodiscard]] std::vector<bool> constant_features() const;

  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::size_t size() const noexcept { return features_.size(); }  ///< number of features
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
  /// Throws std::invalid_argument like the constructor; an empty list takes the names away.
  void set_names(std::vector<std::string> names);
  /// 'income' (feature 3), or just the index as "feature 3" or "feature (1, 2)": for messages.
  [[nodiscard]] std::string describe(std::size_t feature) const;
  [[nodiscard]] const std::vector<Feature>& features() const noexcept { return features_; }
  /// W = Σw of each feature; empty if not weighted.
  [[nodiscard]] const std::vector<ExactSum>& weights() const noexcept { return weights_; }
  [[nodiscard]] bool weighted() const noexcept { return !weights_.empty(); }
  /// True if no value of any kind was ever counted (or all were taken away).
  [[nodiscard]] bool empty() const noexcept;

  /// From parts, as a document holds them. Throws std::invalid_argument naming the feature if no data could
  /// have given them.
  static Moments from_parts(const Shape& feature_shape, std::vector<std::string> names,
                            std::vector<Feature> features, std::vector<ExactSum> weights = {});

 private:
  template <class T, class Read>
  std::vector<T> read(const Reading& how, Read&& read_finite) const;
  template <class Sum>
  void add_aside(bool with_weights, Sum&& sum);

  Shape shape_;
  std::vector<std::string> names_;
  std::vector<Feature> features_;
  std::vector<ExactSum> weights_;  // as long as features_ if weighted, else empty
};

}  // namespace exactnorm
