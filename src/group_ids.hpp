#pragma once
/// \file
/// Keys of rows as small numbers, and rows put together by them.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <exactnorm/grouped_moments.hpp>

namespace exactnorm {

/// Hash values of keys that have been met, and their numbers: open addressing, linear probing.
class HashIndex {
 public:
  /// The number that `equals(number)` accepts among those of this hash value, else a new one: `next`.
  template <class Equals>
  std::uint32_t find_or_add(std::uint64_t hash, std::uint32_t next, Equals&& equals) {
    if (next >= slots_.size() / 2) {
      grow();
    }
    for (std::size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      Slot& slot = slots_[at];
      if (slot.number == free) {
        slot = {hash, next};
        return next;
      }
      if (slot.hash == hash && equals(slot.number)) {
        return slot.number;
      }
    }
  }
  void prefetch(std::uint64_t hash) const { __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]); }

  static constexpr std::uint32_t free = UINT32_MAX;

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t number = free;
  };
  void grow();

  std::vector<Slot> slots_ = std::vector<Slot>(64);
};

/// Numbers keys from 0 in the order in which they come.
class GroupIds {
 public:
  /// `keys` must outlive this. Throws std::invalid_argument for more keys than numbers.
  explicit GroupIds(const RowKeys& keys);

  /// The numbers of the keys of rows first … first + ids.size() - 1. Throws std::invalid_argument for a code
  /// that is out of range, naming the row.
  void number(std::size_t first, std::span<std::uint32_t> ids);

  /// How many keys have been numbered.
  [[nodiscard]] std::size_t size() const noexcept;
  /// They, in the order of their numbers; all but one of these are empty.
  [[nodiscard]] const std::vector<std::int64_t>& integers() const noexcept { return integers_; }
  [[nodiscard]] const std::vector<std::string_view>& strings() const noexcept { return strings_; }

 private:
  std::uint32_t number_of(std::string_view key, std::uint64_t hash);
  void check_room() const;

  const RowKeys& keys_;
  HashIndex index_;
  std::vector<std::int64_t> integers_;
  std::vector<std::string_view> strings_;
  std::vector<std::uint32_t> of_code_;
};

/// Number of keys that the rows have, whatever their form.
std::size_t row_count(const RowKeys& keys) noexcept;

/// A group's rows in an order; they end where the next group's begin.
struct GroupRun {
  std::uint32_t group;
  std::uint32_t begin;
};

/// Rows in the order of their groups, and within one in their own.
class RowOrder {
 public:
  /// Row i of the piece belongs to group ids[i] < groups.
  void sort(std::span<const std::uint32_t> ids, std::size_t groups);

  [[nodiscard]] std::span<const std::uint32_t> rows() const noexcept { return rows_; }
  /// Groups that have rows, ascending.
  [[nodiscard]] std::span<const GroupRun> runs() const noexcept { return runs_; }
  /// Where run i ends.
  [[nodiscard]] std::uint32_t end(std::size_t i) const noexcept {
    return i + 1 < runs_.size() ? runs_[i + 1].begin : static_cast<std::uint32_t>(rows_.size());
  }

 private:
  std::vector<std::uint32_t> rows_;
  std::vector<GroupRun> runs_;
  std::vector<std::uint32_t> next_;
};

}  // namespace exactnorm
