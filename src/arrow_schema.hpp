#pragma once
/// \file
/// What an ArrowSchema says: which columns there are, and how the numbers of each are stored.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <exactnorm/arrow.hpp>

namespace exactnorm::arrow {

/// nothing: the null type, without buffers; bits: booleans, eight in a byte; values: an array of
/// NumberType::dtype.
enum class Layout : std::uint8_t { nothing, bits, values };

struct NumberType {
  Layout layout = Layout::values;  ///< of a dictionary-encoded array: its dictionary's, and so is dtype
  DType dtype = DType::boolean;
  std::optional<DType> index;  ///< the type of the indices of a dictionary-encoded array
};

struct ColumnType {
  std::string name;
  std::string label;  ///< "column 'age'", or "the array" outside of a table: how messages begin
  NumberType number;
  std::optional<std::int64_t> list_size;  ///< of a fixed-size list of such numbers
  std::string
      not_a_number;  ///< "utf8", say: the type, if it is none that is taken; number means nothing then

  [[nodiscard]] std::int64_t width() const noexcept { return list_size.value_or(1); }
};

struct TableType {
  bool is_table;  ///< else one column, the array
  std::vector<ColumnType> columns;
};

/// Throws std::invalid_argument for a malformed schema.
TableType read_schema(const ArrowSchema& schema);

}  // namespace exactnorm::arrow
