#pragma once
/// \file
/// Moments of each group of rows: one for every key.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <exactnorm/moments.hpp>

namespace exactnorm {

/// Keys that repeat, as indices of those that there are.
struct DictionaryKeys {
  std::span<const std::int32_t> codes;           ///< one for each row, from 0 to the dictionary's size - 1
  std::span<const std::string_view> dictionary;  ///< need be neither sorted nor distinct, nor all used
};

/// The key of each row. It only refers to them.
using RowKeys =
    std::variant<std::span<const std::int64_t>, std::span<const std::string_view>, DictionaryKeys>;

/// Distinct keys, in order: integers by value, strings by their bytes.
using KeyList = std::variant<std::vector<std::int64_t>, std::vector<std::string>>;

/// Moments of every group of rows that have the same key, learned in one pass.
///
///     exactnorm::GroupedMoments by_country({2}, {"age", "income"});
///     by_country.update(exactnorm::rows(ptr, n_rows, 2), countries);  // std::vector<std::string_view>
///     by_country.merge(other_machine);  by_country.subtract(yesterday);
///     std::vector<double> mean = by_country.at("NL").mean<double>();
///
/// Each group's Moments are, to the bit, those of an update with its rows alone. A key is there if and only
/// if a value of any kind has been counted for it: rows of weight 0, or that `where` excludes, bring none,
/// and one that loses its last value by subtraction goes. All keys are integers, or all are strings, of
/// UTF-8.
///
/// Const methods are safe concurrently; one writer at a time. All mutating methods give the strong guarantee.
/// Memory: 136 bytes a feature (184 if weighted) and the key for each group; an update has those of its own
/// groups beside, twice for a moment.
class GroupedMoments {
 public:
  /// Empty. Throws as Moments does.
  explicit GroupedMoments(const Shape& feature_shape = {}, std::vector<std::string> names = {});

  /// Adds all values of x, whose rows, the indices of its first axis, belong to those keys. `axis` and
  /// `options` as for Moments::update; the first axis must not be kept. Throws as that does, and
  /// std::invalid_argument for another number of keys than rows, codes out of range, keys that are not UTF-8,
  /// and integer keys where there are strings or the reverse. Cost: rows are put together by key, then
  /// summed: about two passes over x where groups are large; some 100 ns a value where they have a few rows.
  void update(const TensorView& x, const RowKeys& keys, const std::optional<Axes>& axis = {},
              const UpdateOptions& options = {});

  /// Adds a table. As Moments::update_columns.
  void update_columns(std::span<const Column> columns, const RowKeys& keys,
                      const UpdateOptions& options = {});

  /// Adds what other has seen, key by key. Throws std::invalid_argument: other shape, other names, other
  /// weighting, other kind of keys, more than 2^63-1 values. Cost: O(groups of other), and O(groups) if it
  /// has new ones.
  void merge(GroupedMoments other);
  /// Takes away what other has seen. Throws std::invalid_argument naming the key and the feature if it
  /// provably was no part of this. Cost: as merge; O(groups) if groups go.
  void subtract(const GroupedMoments& other);
  GroupedMoments& operator+=(const GroupedMoments& other) { return merge(other), *this; }
  GroupedMoments& operator-=(const GroupedMoments& other) { return subtract(other), *this; }
  friend GroupedMoments operator+(GroupedMoments a, const GroupedMoments& b) { return a += b; }
  friend GroupedMoments operator-(GroupedMoments a, const GroupedMoments& b) { return a -= b; }
  /// The same keys, with the same values and kinds, and the same names.
  friend bool operator==(const GroupedMoments& a, const GroupedMoments& b);

  /// Number of groups.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// Of all groups, in order: group i has the i-th.
  [[nodiscard]] const KeyList& keys() const noexcept { return keys_; }
  /// Throws std::out_of_range naming the key if it is not there. Cost: O(log(groups) + features).
  [[nodiscard]] Moments at(std::int64_t key) const;
  [[nodiscard]] Moments at(std::string_view key) const;
  [[nodiscard]] bool contains(std::int64_t key) const noexcept;
  [[nodiscard]] bool contains(std::string_view key) const noexcept;
  /// Preconditions of these: group < size().
  [[nodiscard]] Moments group(std::size_t group) const;
  [[nodiscard]] std::span<const Feature> features(std::size_t group) const noexcept;
  /// Empty if not weighted.
  [[nodiscard]] std::span<const ExactSum> weights(std::size_t group) const noexcept;
  /// All groups added up. Throws std::invalid_argument for more than 2^63-1 values.
  [[nodiscard]] Moments total() const;

  [[nodiscard]] const Shape& shape() const noexcept { return nothing_.shape(); }
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return nothing_.names(); }
  [[nodiscard]] bool weighted() const noexcept { return !weights_.empty(); }

  /// From parts, as a document holds them: features, and weights if any, one group after another. Throws
  /// std::invalid_argument naming the key if no data could have given them.
  static GroupedMoments from_parts(const Shape& feature_shape, std::vector<std::string> names, KeyList keys,
                                   std::vector<Feature> features, std::vector<ExactSum> weights = {});

 private:
  [[nodiscard]] std::size_t width() const noexcept { return nothing_.size(); }
  void check_same_kind(const GroupedMoments& other, const char* verb) const;
  void absorb(GroupedMoments other);
  template <class Sum>
  void add_aside(std::int64_t rows, const RowKeys& keys, const UpdateOptions& options, Sum&& sum);
  void drop_empty();

  Moments nothing_;  // has the shape and the names
  std::size_t size_ = 0;
  KeyList keys_;  // of integers if there are none
  std::vector<Feature> features_;
  std::vector<ExactSum> weights_;  // as long as features_ if weighted, else empty
};

}  // namespace exactnorm
