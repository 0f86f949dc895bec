#include "arrow_schema.hpp"

#include <array>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace exactnorm::arrow {
namespace {

constexpr std::array<std::pair<std::string_view, DType>, 11> value_formats{{{"c", DType::int8},
                                                                            {"C", DType::uint8},
                                                                            {"s", DType::int16},
                                                                            {"S", DType::uint16},
                                                                            {"i", DType::int32},
                                                                            {"I", DType::uint32},
                                                                            {"l", DType::int64},
                                                                            {"L", DType::uint64},
                                                                            {"e", DType::float16},
                                                                            {"f", DType::float32},
                                                                            {"g", DType::float64}}};

constexpr std::array<std::pair<std::string_view, std::string_view>, 32> other_formats{
    {{"n", "null"},
     {"b", "bool"},
     {"z", "binary"},
     {"Z", "large_binary"},
     {"vz", "binary_view"},
     {"u", "utf8"},
     {"U", "large_utf8"},
     {"vu", "string_view"},
     {"tdD", "date32"},
     {"tdm", "date64"},
     {"tts", "time32[s]"},
     {"ttm", "time32[ms]"},
     {"ttu", "time64[us]"},
     {"ttn", "time64[ns]"},
     {"tDs", "duration[s]"},
     {"tDm", "duration[ms]"},
     {"tDu", "duration[us]"},
     {"tDn", "duration[ns]"},
     {"tiM", "interval[months]"},
     {"tiD", "interval[days, milliseconds]"},
     {"tin", "interval[months, days, nanoseconds]"},
     {"+l", "list"},
     {"+L", "large_list"},
     {"+vl", "list_view"},
     {"+vL", "large_list_view"},
     {"+s", "struct"},
     {"+m", "map"},
     {"+r", "run-end-encoded"},
     {"tss:", "timestamp[s"},
     {"tsm:", "timestamp[ms"},
     {"tsu:", "timestamp[us"},
     {"tsn:", "timestamp[ns"}}};

std::string_view format_of(const ArrowSchema& schema) {
  if (schema.format == nullptr) {
    throw std::invalid_argument("an ArrowSchema without a format");
  }
  return schema.format;
}

const ArrowSchema& child_of(const ArrowSchema& schema, std::int64_t i) {
  if (i >= schema.n_children || schema.children == nullptr || schema.children[i] == nullptr) {
    throw std::invalid_argument("an ArrowSchema of format '" + std::string(format_of(schema)) +
                                "' lacks its child " + std::to_string(i));
  }
  return *schema.children[i];
}

/// The extension's name, or "". Metadata is a count of pairs, and of each pair two lengths and texts, all
/// lengths native int32.
std::string_view extension_of(const ArrowSchema& schema) {
  const char* at = schema.metadata;
  if (at == nullptr) {
    return {};
  }
  const auto length = [&at] {
    std::int32_t value;
    std::memcpy(&value, at, sizeof value);
    at += sizeof value;
    if (value < 0) {
      throw std::invalid_argument("an ArrowSchema with a negative length in its metadata");
    }
    return static_cast<std::size_t>(value);
  };
  const auto text = [&] {
    const std::size_t size = length();
    return std::string_view(std::exchange(at, at + size), size);
  };
  for (std::size_t pairs = length(); pairs > 0; --pairs) {
    const std::string_view key = text();
    const std::string_view value = text();
    if (key == "ARROW:extension:name") {
      return value;
    }
  }
  return {};
}

bool is_fixed_size_list(std::string_view format) { return format.starts_with("+w:"); }

std::int64_t list_size_of(std::string_view format) {
  const std::string_view digits = format.substr(3);
  std::int32_t size = -1;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), size);
  if (error != std::errc() || end != digits.end() || size < 0) {
    throw std::invalid_argument("an ArrowSchema of format '" + std::string(format) +
                                "', which is no list size");
  }
  return size;
}

std::string storage_name(std::string_view format) {
  for (const auto& [known, dtype] : value_formats) {
    if (format == known) {
      return std::string(name_of(dtype));
    }
  }
  for (const auto& [known, name] : other_formats) {
    if (!known.ends_with(':')) {
      if (format == known) {
        return std::string(name);
      }
    } else if (format.starts_with(known)) {
      const std::string_view zone = format.substr(known.size());
      return std::string(name) + (zone.empty() ? "" : ", tz=" + std::string(zone)) + "]";
    }
  }
  if (format.starts_with("w:")) {
    return "fixed_size_binary(" + std::string(format.substr(2)) + ")";
  }
  if (format.starts_with("+ud:")) {
    return "dense_union";
  }
  if (format.starts_with("+us:")) {
    return "sparse_union";
  }
  if (format.starts_with("d:")) {  // d:precision,scale[,bits]
    const std::size_t scale = format.find(',');
    const std::size_t bits = scale == std::string_view::npos ? scale : format.find(',', scale + 1);
    const bool has_bits = bits != std::string_view::npos;
    return "decimal" + std::string(has_bits ? format.substr(bits + 1) : "128") + "(" +
           std::string(format.substr(2, has_bits ? bits - 2 : bits)) + ")";
  }
  return "unknown type '" + std::string(format) + "'";
}

/// The type as people say it: for messages.
std::string type_name(const ArrowSchema& schema) {
  const std::string_view format = format_of(schema);
  std::string name = storage_name(format);
  if (schema.dictionary != nullptr) {
    name = "dictionary of " + type_name(*schema.dictionary);
  } else if (is_fixed_size_list(format)) {
    name = "fixed_size_list of " + type_name(child_of(schema, 0));
  }
  const std::string_view extension = extension_of(schema);
  return extension.empty() ? name : "extension type '" + std::string(extension) + "' (" + name + ")";
}

std::optional<NumberType> plain_number_type(const ArrowSchema& schema) {
  const std::string_view format = format_of(schema);
  const std::string_view extension = extension_of(schema);
  if (extension == "arrow.bool8" && format == "c") {
    return NumberType{Layout::values, DType::boolean, {}};
  }
  if (!extension.empty()) {
    return std::nullopt;
  }
  if (format == "n") {
    return NumberType{Layout::nothing, DType::boolean, {}};
  }
  if (format == "b") {
    return NumberType{Layout::bits, DType::boolean, {}};
  }
  for (const auto& [known, dtype] : value_formats) {
    if (format == known) {
      return NumberType{Layout::values, dtype, {}};
    }
  }
  return std::nullopt;
}

std::optional<NumberType> number_type(const ArrowSchema& schema) {
  if (schema.dictionary == nullptr) {
    return plain_number_type(schema);
  }
  if (!extension_of(schema).empty() || schema.dictionary->dictionary != nullptr) {
    return std::nullopt;
  }
  const auto index = plain_number_type(schema);
  if (!index || index->layout != Layout::values || is_floating(index->dtype)) {
    throw std::invalid_argument("an ArrowSchema with a dictionary, but indices of type " +
                                storage_name(format_of(schema)));
  }
  auto values = plain_number_type(*schema.dictionary);
  if (values) {
    values->index = index->dtype;
  }
  return values;
}

ColumnType column_type(const ArrowSchema& schema, bool in_table) {
  ColumnType column;
  if (schema.name != nullptr) {
    column.name = schema.name;
  }
  column.label = in_table ? "column '" + column.name + "'" : "the array";
  auto number = number_type(schema);
  if (!number && is_fixed_size_list(format_of(schema)) && extension_of(schema).empty()) {
    column.list_size = list_size_of(format_of(schema));
    number = number_type(child_of(schema, 0));
  }
  if (number) {
    column.number = *number;
  } else {
    column.not_a_number = type_name(schema);
  }
  return column;
}

}  // namespace

TableType read_schema(const ArrowSchema& schema) {
  TableType table;
  table.is_table = format_of(schema) == "+s" && extension_of(schema).empty();
  if (table.is_table) {
    for (std::int64_t i = 0; i < schema.n_children; ++i) {
      table.columns.push_back(column_type(child_of(schema, i), true));
    }
  } else {
    table.columns.push_back(column_type(schema, false));
  }
  return table;
}

}  // namespace exactnorm::arrow
