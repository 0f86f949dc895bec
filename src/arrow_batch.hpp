#pragma once
/// \file
/// One column of an Arrow batch as views that kernels read: bits unpacked, dictionaries decoded, the rest
/// left where it lies.

#include <cstddef>
#include <cstdint>
#include <vector>

#include <exactnorm/arrow.hpp>

#include "arrow_schema.hpp"

namespace exactnorm::arrow {

/// The elements [begin, begin + length) of an array, counted from its own offset.
struct Slice {
  std::int64_t begin;
  std::int64_t length;
};

/// Which elements of a batch are not null, a byte for each; its memory is used again for the next batch.
class Validity {
 public:
  /// Null are the elements whose bit is 0, of bits [position, position + elements). Without bits, none.
  void start(std::int64_t elements, const std::uint8_t* bits = nullptr, std::int64_t position = 0);
  /// Makes `width` neighbours null for every null of rows.
  void add_rows(const Validity& rows, std::int64_t width);
  void make_null(std::int64_t element);
  void make_all_null();

  [[nodiscard]] bool any_null() const noexcept { return any_null_; }
  /// A byte for each element, 0 where null. Precondition: any_null().
  [[nodiscard]] const std::uint8_t* bytes() const noexcept { return bytes_.data(); }

 private:
  void start_writing();

  std::vector<std::uint8_t> bytes_;  // written only once there is a null
  std::size_t size_ = 0;
  bool any_null_ = false;
};

/// What a column needs beside Arrow's own buffers.
struct ColumnBuffers {
  Validity valid;
  Validity lists_valid;
  std::vector<std::uint8_t> values;
  std::vector<std::uint8_t> dictionary;
};

/// Checks a table's batch against its schema and finds its null rows.
void read_row_validity(const TableType& table, const ArrowArray& batch, Validity& rows_valid);

/// The column's rows as (rows,) or, for a list, (rows, k). A row that is null in rows_valid is null here.
/// Views live as long as array and buffers. Throws std::invalid_argument naming the column: lengths or
/// buffers that do not fit together, a dictionary's index out of range.
Column read_column(const ColumnType& type, const ArrowArray& array, Slice rows, const Validity& rows_valid,
                   ColumnBuffers& buffers);

}  // namespace exactnorm::arrow
