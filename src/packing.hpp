#pragma once
/// \file
/// Copies a rectangle of any strides, under masks or not, into contiguous rows that kernels can read.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "decode.hpp"
#include "loops.hpp"

namespace exactnorm {

/// What packing has left out: counts that the values of a feature do not have.
struct LeftOut {
  std::int64_t absent = 0;  ///< where is False
  std::int64_t null = 0;    ///< valid is False
};

inline bool is_set(const std::byte* flag) noexcept { return flag == nullptr || *flag != std::byte{0}; }

/// Packs rows of `columns` steps of the nest, one buffer after another.
template <class Bits>
class Packing {
 public:
  explicit Packing(const LoopNest& nest) : nest_(nest) {}

  /// The next at most `most` of `rows` rows from `at`, which moves on, and `rows` falls. Rows that are left
  /// out as a whole leave no gap; elements that are left out one by one become zero. Returns how many rows
  /// are in data(); `left_out(column, LeftOut)` is called for columns that have lost any.
  template <class Report>
  std::size_t next(Position& at, std::int64_t& rows, std::int64_t columns, std::size_t most,
                   Report&& left_out);

  [[nodiscard]] const Bits* data() const noexcept { return buffer_.data(); }

 private:
  void copy_row(const std::byte* x, std::int64_t columns, Bits* to) const;
  std::size_t select(const Position& at, std::int64_t rows, LeftOut& lost);
  std::size_t select_rows(const Position& at, std::int64_t rows, std::int64_t columns);

  static constexpr std::int64_t few_columns = 64;

  const LoopNest& nest_;
  std::vector<Bits> buffer_;
  std::vector<std::uint32_t> absent_;
  std::vector<std::uint32_t> null_;
};

template <class Bits>
void Packing<Bits>::copy_row(const std::byte* x, std::int64_t columns, Bits* to) const {
  const std::int64_t step = nest_.columns.strides[data_operand];
  if (step == static_cast<std::int64_t>(sizeof(Bits)) || columns == 1) {
    std::memcpy(to, x, static_cast<std::size_t>(columns) * sizeof(Bits));
    return;
  }
  for (std::int64_t i = 0; i < columns; ++i) {
    to[i] = load<Bits>(x + i * step);
  }
}

// One column: every element is a row. Written whether it counts or not, so that there is nothing to predict.
template <class Bits>
std::size_t Packing<Bits>::select(const Position& at, std::int64_t rows, LeftOut& lost) {
  const Loop& loop = nest_.rows;
  const std::byte* x = at.at[data_operand];
  const std::byte* where = at.at[where_operand];
  const std::byte* valid = at.at[valid_operand];
  const std::byte yes{1};
  const std::int64_t where_step = where != nullptr ? loop.strides[where_operand] : 0;
  const std::int64_t valid_step = valid != nullptr ? loop.strides[valid_operand] : 0;
  where = where != nullptr ? where : &yes;
  valid = valid != nullptr ? valid : &yes;
  std::size_t kept = 0;
  std::size_t present = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    buffer_[kept] = load<Bits>(x);
    const auto is_present = static_cast<std::size_t>(*where != std::byte{0});
    const auto is_valid = static_cast<std::size_t>(*valid != std::byte{0});  // read even if absent: no branch
    present += is_present;
    kept += is_present & is_valid;
    x += loop.strides[data_operand];
    where += where_step;
    valid += valid_step;
  }
  lost = {rows - static_cast<std::int64_t>(present), static_cast<std::int64_t>(present - kept)};
  return kept;
}

// Short rows under `where`: as in select.
template <class Bits>
std::size_t Packing<Bits>::select_rows(const Position& at, std::int64_t rows, std::int64_t columns) {
  const std::byte* x = at.at[data_operand];
  const std::byte* where = at.at[where_operand];
  std::size_t kept = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    copy_row(x, columns, buffer_.data() + kept * static_cast<std::size_t>(columns));
    kept += *where != std::byte{0} ? 1 : 0;
    x += nest_.rows.strides[data_operand];
    where += nest_.rows.strides[where_operand];
  }
  return kept;
}

template <class Bits>
template <class Report>
std::size_t Packing<Bits>::next(Position& at, std::int64_t& rows, std::int64_t columns, std::size_t most,
                                Report&& left_out) {
  const std::int64_t count = std::min(rows, static_cast<std::int64_t>(most));
  const auto width = static_cast<std::size_t>(columns);
  buffer_.resize(std::max(buffer_.size(), most * width));
  rows -= count;
  if (columns == 1) {
    LeftOut lost;
    const std::size_t kept = select(at, count, lost);
    at.advance(nest_.rows, count);
    left_out(0, lost);
    return kept;
  }
  const bool by_element = (at.at[where_operand] != nullptr && nest_.columns.strides[where_operand] != 0) ||
                          at.at[valid_operand] != nullptr;
  if (by_element) {
    absent_.assign(width, 0);
    null_.assign(width, 0);
  }
  if (!by_element && at.at[where_operand] != nullptr && columns <= few_columns) {
    const std::size_t kept = select_rows(at, count, columns);
    at.advance(nest_.rows, count);
    for (std::size_t j = 0; j < width; ++j) {
      left_out(j, LeftOut{count - static_cast<std::int64_t>(kept), 0});
    }
    return kept;
  }
  std::size_t kept = 0;
  std::int64_t skipped = 0;
  for (std::int64_t i = 0; i < count; ++i, at.advance(nest_.rows, 1)) {
    if (!by_element && !is_set(at.at[where_operand])) {
      ++skipped;
      continue;
    }
    Bits* to = buffer_.data() + kept * width;
    copy_row(at.at[data_operand], columns, to);
    ++kept;
    if (!by_element) {
      continue;
    }
    const std::byte* where = at.at[where_operand];
    const std::byte* valid = at.at[valid_operand];
    for (std::size_t j = 0; j < width; ++j) {
      const bool is_present = is_set(where);
      const bool is_valid = is_set(valid);
      absent_[j] += is_present ? 0 : 1;
      null_[j] += is_present && !is_valid ? 1 : 0;
      to[j] = is_present && is_valid ? to[j] : Bits{0};
      where += nest_.columns.strides[where_operand];  // 0 where there is none
      valid += nest_.columns.strides[valid_operand];
    }
  }
  for (std::size_t j = 0; j < width && (by_element || skipped > 0); ++j) {
    left_out(j, by_element ? LeftOut{absent_[j], null_[j]} : LeftOut{skipped, 0});
  }
  return kept;
}

}  // namespace exactnorm
