#include <exactnorm/arrow.hpp>

#include <charconv>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "arrow_batch.hpp"
#include "arrow_schema.hpp"

namespace exactnorm {
namespace {

using arrow::ColumnType;

/// Owns an ArrowSchema, ArrowArray or ArrowArrayStream: an Arrow move in, a release at the end.
template <class T>
class Owned {
 public:
  Owned() = default;
  explicit Owned(T* source) noexcept {
    if (source != nullptr) {
      value_ = *source;
      source->release = nullptr;
    }
  }
  Owned(Owned&& other) noexcept : Owned(&other.value_) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Owned() {
    if (value_.release != nullptr) {
      value_.release(&value_);
    }
  }

  explicit operator bool() const noexcept { return value_.release != nullptr; }
  T* get() noexcept { return &value_; }
  T* operator->() noexcept { return &value_; }
  const T& operator*() const noexcept { return value_; }

 private:
  T value_{};
};

/// The features [first, first + count) of a column.
struct Pick {
  std::size_t column;
  std::int64_t first;
  std::int64_t count;
};

const std::string* first_repeated(const std::vector<std::string>& names) {
  std::unordered_set<std::string_view> seen;
  for (const std::string& name : names) {
    if (!seen.insert(name).second) {
      return &name;
    }
  }
  return nullptr;
}

ArrowTypeError type_error(const ColumnType& column) {
  return ArrowTypeError{column.label + ": " + column.not_a_number + " is not a number"};
}

/// "emb[3]" as "emb" and 3.
std::optional<std::pair<std::string_view, std::int64_t>> list_element(std::string_view name) {
  const std::size_t bracket = name.rfind('[');
  if (bracket == std::string_view::npos || name.back() != ']') {
    return std::nullopt;
  }
  const std::string_view digits = name.substr(bracket + 1, name.size() - bracket - 2);
  std::uint32_t index = 0;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), index);
  if (error != std::errc() || end != digits.end() || (digits.size() > 1 && digits.front() == '0')) {
    return std::nullopt;
  }
  return std::pair(name.substr(0, bracket), std::int64_t{index});
}

/// The picked part of a view of shape (rows, k); one of shape (rows,) has no parts.
TensorView features_of(TensorView view, const Pick& pick) {
  if (view.shape.size() == 2) {
    view.data = static_cast<const std::byte*>(view.data) + pick.first * view.strides[1];
    view.shape[1] = pick.count;
  }
  return view;
}

std::runtime_error stream_error(ArrowArrayStream* stream, int code) {
  const char* message = stream->get_last_error == nullptr ? nullptr : stream->get_last_error(stream);
  return std::runtime_error("reading the Arrow stream failed: " + (message == nullptr
                                                                       ? std::generic_category().message(code)
                                                                       : std::string(message)));
}

}  // namespace

struct ArrowReader::Impl {
  Owned<ArrowArrayStream> stream;  // empty when there is but one array
  Owned<ArrowArray> batch;
  bool batch_waits = false;  // the one array has not been read yet
  bool started = false;

  arrow::TableType table;
  std::vector<std::string> column_names;
  std::vector<Pick> picks;
  std::vector<std::string> names;
  const ColumnType* not_a_number = nullptr;  // the first picked column that cannot be read

  std::int64_t rows = 0;
  arrow::Validity rows_valid;
  std::vector<arrow::ColumnBuffers> buffers;  // one for each pick
  std::vector<Column> columns;

  void read_schema(const ArrowSchema& schema);
  void pick(std::vector<Pick> chosen);
  [[nodiscard]] Pick find(std::string_view name,
                          const std::unordered_map<std::string_view, std::size_t>& at) const;
  void require_numbers() const;
  bool fetch();
  void read_columns();
};

void ArrowReader::Impl::read_schema(const ArrowSchema& schema) {
  table = arrow::read_schema(schema);
  if (table.is_table) {
    for (const ColumnType& column : table.columns) {
      column_names.push_back(column.name);
    }
    if (const std::string* name = first_repeated(column_names)) {
      throw std::invalid_argument("two columns are named '" + *name + "'");
    }
  }
  std::vector<Pick> all;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    all.push_back({i, 0, table.columns[i].width()});
  }
  pick(std::move(all));
  if (!table.is_table) {
    require_numbers();
  }
}

void ArrowReader::Impl::pick(std::vector<Pick> chosen) {
  std::vector<std::string> chosen_names;
  const ColumnType* refused = nullptr;
  for (const Pick& pick : chosen) {
    const ColumnType& column = table.columns[pick.column];
    if (!column.not_a_number.empty()) {
      refused = refused == nullptr ? &column : refused;
    } else if (table.is_table && column.list_size) {
      for (std::int64_t i = pick.first; i < pick.first + pick.count; ++i) {
        chosen_names.push_back(column.name + "[" + std::to_string(i) + "]");
      }
    } else if (table.is_table) {
      chosen_names.push_back(column.name);
    }
  }
  if (const std::string* name = first_repeated(chosen_names)) {
    throw std::invalid_argument("the feature '" + *name + "' occurs twice");
  }
  buffers.resize(chosen.size());
  picks = std::move(chosen);
  names = std::move(chosen_names);
  not_a_number = refused;
}

Pick ArrowReader::Impl::find(std::string_view name,
                             const std::unordered_map<std::string_view, std::size_t>& at) const {
  if (const auto found = at.find(name); found != at.end()) {
    return {found->second, 0, table.columns[found->second].width()};
  }
  if (const auto element = list_element(name)) {
    const auto found = at.find(element->first);
    if (found != at.end() && element->second < table.columns[found->second].list_size.value_or(0)) {
      return {found->second, element->second, 1};
    }
  }
  throw std::invalid_argument("the table has no column '" + std::string(name) + "'");
}

void ArrowReader::Impl::require_numbers() const {
  if (not_a_number != nullptr) {
    throw type_error(*not_a_number);
  }
}

bool ArrowReader::Impl::fetch() {
  started = true;
  rows = 0;
  columns.clear();
  if (!stream) {
    return std::exchange(batch_waits, false);
  }
  batch = Owned<ArrowArray>();
  ArrowArray next{};
  if (const int code = stream->get_next(stream.get(), &next); code != 0) {
    throw stream_error(stream.get(), code);
  }
  batch = Owned<ArrowArray>(&next);
  return static_cast<bool>(batch);
}

void ArrowReader::Impl::read_columns() {
  arrow::Slice slice{0, batch->length};
  if (table.is_table) {
    arrow::read_row_validity(table, *batch, rows_valid);
    slice.begin = batch->offset;
  }
  for (std::size_t i = 0; i < picks.size(); ++i) {
    const Pick& pick = picks[i];
    const ArrowArray* array = table.is_table ? batch->children[pick.column] : batch.get();
    Column column = arrow::read_column(table.columns[pick.column], *array, slice, rows_valid, buffers[i]);
    column.values = features_of(column.values, pick);
    if (column.valid) {
      column.valid = features_of(*column.valid, pick);
    }
    columns.push_back(column);
  }
  rows = batch->length;
}

ArrowReader::ArrowReader(ArrowArrayStream* stream) {
  Owned<ArrowArrayStream> owned(stream);
  if (!owned) {
    throw std::invalid_argument("the Arrow stream has been released, or read, already");
  }
  impl_ = std::make_unique<Impl>();
  impl_->stream = std::move(owned);
  ArrowSchema schema{};
  if (const int code = impl_->stream->get_schema(impl_->stream.get(), &schema); code != 0) {
    throw stream_error(impl_->stream.get(), code);
  }
  const Owned<ArrowSchema> owned_schema(&schema);
  impl_->read_schema(*owned_schema);
}

ArrowReader::ArrowReader(ArrowArray* array, ArrowSchema* schema) {
  Owned<ArrowArray> owned(array);
  const Owned<ArrowSchema> owned_schema(schema);
  if (!owned || !owned_schema) {
    throw std::invalid_argument("the Arrow array or its schema has been released, or read, already");
  }
  impl_ = std::make_unique<Impl>();
  impl_->batch = std::move(owned);
  impl_->batch_waits = true;
  impl_->read_schema(*owned_schema);
}

ArrowReader::ArrowReader(ArrowReader&&) noexcept = default;
ArrowReader& ArrowReader::operator=(ArrowReader&&) noexcept = default;
ArrowReader::~ArrowReader() = default;

void ArrowReader::select(std::span<const std::string> column_names) {
  if (impl_->started) {
    throw std::logic_error("select comes before the first next");
  }
  std::unordered_map<std::string_view, std::size_t> at;
  for (std::size_t i = 0; i < impl_->column_names.size(); ++i) {
    at.emplace(impl_->column_names[i], i);
  }
  std::vector<Pick> picks;
  for (const std::string& name : column_names) {
    const Pick pick = impl_->find(name, at);
    if (const ColumnType& column = impl_->table.columns[pick.column]; !column.not_a_number.empty()) {
      throw type_error(column);
    }
    // Neighbours in a list are read together: all of emb[0] … emb[k-1] is the list.
    if (!picks.empty() && picks.back().column == pick.column &&
        picks.back().first + picks.back().count == pick.first) {
      picks.back().count += pick.count;
    } else {
      picks.push_back(pick);
    }
  }
  impl_->pick(std::move(picks));
}

const std::vector<std::string>& ArrowReader::column_names() const noexcept { return impl_->column_names; }

const std::vector<std::string>& ArrowReader::names() const {
  impl_->require_numbers();
  return impl_->names;
}

Shape ArrowReader::feature_shape() const {
  impl_->require_numbers();
  if (impl_->table.is_table) {
    return {static_cast<std::int64_t>(impl_->names.size())};
  }
  const auto list_size = impl_->table.columns.front().list_size;
  return list_size ? Shape{*list_size} : Shape{};
}

bool ArrowReader::next() {
  impl_->require_numbers();
  if (!impl_->fetch()) {
    return false;
  }
  impl_->read_columns();
  return true;
}

std::int64_t ArrowReader::rows() const noexcept { return impl_->rows; }

std::span<const Column> ArrowReader::columns() const noexcept { return impl_->columns; }

void update(Moments& moments, ArrowArrayStream* stream, const UpdateOptions& options) {
  ArrowReader reader(stream);
  if (options.where || options.weights || options.valid) {
    throw std::invalid_argument(
        "where, weights and valid belong to batches: for a stream, use ArrowReader and "
        "Moments::update_columns");
  }
  if (!moments.names().empty() && !reader.column_names().empty()) {
    reader.select(moments.names());
  }
  const std::int64_t features = element_count(reader.feature_shape());
  const bool single = features == 1 && moments.shape().empty();
  if (!single && moments.shape() != Shape{features}) {
    throw std::invalid_argument("the table has " + std::to_string(features) +
                                " features, Moments has shape " + to_string(moments.shape()));
  }
  Moments learned(moments.shape(), moments.names());
  for (;;) {
    if (options.stop.stop_requested()) {
      throw Interrupted();
    }
    if (!reader.next()) {
      break;
    }
    learned.update_columns(reader.columns(), options);
  }
  moments.merge(learned);
}

}  // namespace exactnorm
