#pragma once
/// \file
/// Tables in through the Arrow C data interface, without a dependency on Arrow: columns are features.

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <exactnorm/moments.hpp>

// The ABI of https://arrow.apache.org/docs/format/CDataInterface.html, word for word, unless somebody has
// declared it already.
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
extern "C" {
struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema** children;
  struct ArrowSchema* dictionary;
  void (*release)(struct ArrowSchema*);
  void* private_data;
};
struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  struct ArrowArray** children;
  struct ArrowArray* dictionary;
  void (*release)(struct ArrowArray*);
  void* private_data;
};
}
#endif
#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE
extern "C" {
struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream*, struct ArrowSchema* out);
  int (*get_next)(struct ArrowArrayStream*, struct ArrowArray* out);
  const char* (*get_last_error)(struct ArrowArrayStream*);
  void (*release)(struct ArrowArrayStream*);
  void* private_data;
};
}
#endif

namespace exactnorm {

/// Thrown for an Arrow type that is not a number; a std::invalid_argument (TypeError in Python) that names
/// column and type.
struct ArrowTypeError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// Reads a stream of record batches (or of plain arrays) as columns.
///
///     exactnorm::ArrowReader reader(&stream);               // takes the stream over
///     exactnorm::Moments m(reader.feature_shape(), reader.names());
///     while (reader.next()) m.update_columns(reader.columns());
///
/// A struct is a table: one feature for each column, k features emb[0] … emb[k-1] for a fixed-size list emb
/// of k numbers. Any other type is one feature of shape () (or (k,)) without a name. Taken: bool (arrow.bool8
/// too), (u)int8 … 64, float16, float32, float64, null (all null), dictionary-encoded ones (decoded), and
/// fixed-size lists of all these. Everything else, other extension types included, is an ArrowTypeError; in a
/// table, only if the column is read. A null list counts as k nulls; a null row of the struct makes every
/// column null.
class ArrowReader {
 public:
  /// Takes *stream over, as Arrow's move does: its release becomes null, and the stream is released on every
  /// path. Throws ArrowTypeError if the stream is no table, std::runtime_error with the stream's own message,
  /// std::invalid_argument (a released stream, a malformed schema, duplicate column names).
  explicit ArrowReader(ArrowArrayStream* stream);
  /// One array and its schema (both taken over) as a stream of one batch.
  ArrowReader(ArrowArray* array, ArrowSchema* schema);
  ArrowReader(ArrowReader&&) noexcept;
  ArrowReader& operator=(ArrowReader&&) noexcept;
  ~ArrowReader();

  /// Restricts and orders what is read, by names of columns or of single features (emb[2]); before the first
  /// next(). Throws, changing nothing, std::invalid_argument naming a column the table lacks or a feature
  /// that comes twice, ArrowTypeError, std::logic_error after next().
  void select(std::span<const std::string> column_names);

  /// All of the table's own column names, in order (before fixed-size lists are spread); empty if the stream
  /// is no table.
  [[nodiscard]] const std::vector<std::string>& column_names() const noexcept;
  /// Names (empty if no table) and shape of the features read. Throws ArrowTypeError naming the first column
  /// to be read that is not a number.
  [[nodiscard]] const std::vector<std::string>& names() const;
  [[nodiscard]] Shape feature_shape() const;

  /// Goes to the next batch; false at the end. Views of the batch before become invalid. Throws
  /// ArrowTypeError as names(), std::runtime_error with the stream's own message, std::invalid_argument
  /// naming the column (arrays that do not fit the schema, a dictionary index out of range).
  bool next();
  /// Rows of the current batch.
  [[nodiscard]] std::int64_t rows() const noexcept;
  /// The current batch. Views point into Arrow's buffers where possible.
  [[nodiscard]] std::span<const Column> columns() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Adds a whole stream to moments, all or nothing. The names of moments, if any, choose and order the columns
/// of a table (ArrowReader::select); without names all columns are taken in their order, and moments gets no
/// names from them. options.where, weights and valid must be absent. Throws as ArrowReader and
/// Moments::update_columns do; the stream is released on every path.
void update(Moments& moments, ArrowArrayStream* stream, const UpdateOptions& options = {});

}  // namespace exactnorm
