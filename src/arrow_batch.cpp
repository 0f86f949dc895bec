#include "arrow_batch.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace exactnorm::arrow {
namespace {

static_assert(std::endian::native == std::endian::little,
              "unpack_bits spreads the lowest bit to the first byte");

// Where an array's last element may lie: times the largest element size, this is still no overflow.
constexpr std::int64_t most_elements = std::numeric_limits<std::int64_t>::max() / 16;

constexpr std::uint64_t nothing = 0;  // what views of null columns and of empty ones point at

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

[[noreturn]] void refuse(const std::string& label, const std::string& what) {
  throw std::invalid_argument(label + ": " + what);
}

/// Checks that the array has the slice and its buffers; gives the slice's position in the buffers.
std::int64_t position_of(const std::string& label, const ArrowArray& array, Slice slice,
                         std::int64_t buffers) {
  if (array.length < 0 || array.offset < 0 || array.length > most_elements ||
      array.offset > most_elements - array.length) {
    refuse(label, "an Arrow array of length " + std::to_string(array.length) + " and offset " +
                      std::to_string(array.offset));
  }
  if (slice.begin > array.length || slice.length > array.length - slice.begin) {
    refuse(label, "an Arrow array of length " + std::to_string(array.length) + " whose parent needs " +
                      std::to_string(slice.begin + slice.length));
  }
  if (array.n_buffers != buffers) {
    refuse(label, "an Arrow array with " + std::to_string(array.n_buffers) + " buffers, where its type has " +
                      std::to_string(buffers));
  }
  return array.offset + slice.begin;
}

const std::uint8_t* buffer(const ArrowArray& array, int i) {
  return array.buffers == nullptr ? nullptr : static_cast<const std::uint8_t*>(array.buffers[i]);
}

const std::uint8_t* validity_bits(const std::string& label, const ArrowArray& array) {
  if (array.null_count == 0) {
    return nullptr;
  }
  const std::uint8_t* bits = buffer(array, 0);
  if (bits == nullptr && array.null_count > 0) {
    refuse(label,
           "an Arrow array with " + std::to_string(array.null_count) + " nulls but no validity buffer");
  }
  return bits;
}

const std::uint8_t* data(const std::string& label, const ArrowArray& array, std::int64_t elements) {
  const std::uint8_t* values = buffer(array, 1);
  if (values == nullptr && elements > 0) {
    refuse(label, "an Arrow array of length " + std::to_string(array.length) + " without data");
  }
  return values;
}

void check_children(const std::string& label, const ArrowArray& array, std::int64_t count) {
  if (array.n_children != count) {
    refuse(label, "an Arrow array with " + std::to_string(array.n_children) +
                      " children, where its type has " + std::to_string(count));
  }
  if (count > 0 &&
      (array.children == nullptr || std::count(array.children, array.children + count, nullptr) > 0)) {
    refuse(label, "an Arrow array without its children");
  }
}

bool bit(const std::uint8_t* bits, std::int64_t i) { return (bits[i / 8] >> (i % 8) & 1) != 0; }

/// Writes a byte, 0 or 1, for each of the bits [position, position + count); true if all are 1.
bool unpack_bits(const std::uint8_t* bits, std::int64_t position, std::int64_t count,
                 std::uint8_t* out) noexcept {
  constexpr std::uint64_t ones = 0x0101010101010101;
  std::uint64_t all = ones;
  std::int64_t i = 0;
  const auto one_by_one = [&](std::int64_t end) {
    for (; i < end; ++i) {
      out[i] = bit(bits, position + i) ? 1 : 0;
      all &= ones - 1 + out[i];
    }
  };
  one_by_one(std::min(count, 8 - position % 8));
  for (; count - i >= 8; i += 8) {
    // Byte k keeps bit k alone; adding 0x7f carries it to the top, and no further, as it is at most 0x80.
    const std::uint64_t spread = bits[(position + i) / 8] * ones & 0x8040201008040201;
    const std::uint64_t bytes = (spread + 0x7f * ones) >> 7 & ones;
    std::memcpy(out + i, &bytes, 8);
    all &= bytes;
  }
  one_by_one(count);
  return all == ones;
}

template <class Call>
void with_integer_type(DType dtype, Call&& call) {
  switch (dtype) {
    case DType::int8:
      return call(std::int8_t{});
    case DType::int16:
      return call(std::int16_t{});
    case DType::int32:
      return call(std::int32_t{});
    case DType::int64:
      return call(std::int64_t{});
    case DType::uint8:
      return call(std::uint8_t{});
    case DType::uint16:
      return call(std::uint16_t{});
    case DType::uint32:
      return call(std::uint32_t{});
    default:
      return call(std::uint64_t{});
  }
}

struct Dictionary {
  const std::uint8_t* values;  // of the first entry, as all below
  const std::uint8_t* valid_bits;
  std::int64_t position;  // in valid_bits
  std::int64_t length;
};

/// Looks up the elements that are valid (the index of a null may be anything); null in the dictionary is
/// null.
template <class Index, std::size_t element_size>
void decode(const std::string& label, const Dictionary& dictionary, const std::uint8_t* indices,
            std::int64_t count, Validity& valid, std::uint8_t* out) {
  for (std::int64_t i = 0; i < count; ++i, out += element_size) {
    std::memset(out, 0, element_size);
    if (valid.any_null() && valid.bytes()[i] == 0) {
      continue;
    }
    Index index;
    std::memcpy(&index, indices + size(i) * sizeof index, sizeof index);
    if (std::cmp_less(index, 0) || std::cmp_greater_equal(index, dictionary.length)) {
      refuse(label, "index " + std::to_string(index) + " into a dictionary of " +
                        std::to_string(dictionary.length) + " values");
    }
    const auto entry = static_cast<std::int64_t>(index);
    if (dictionary.valid_bits != nullptr && !bit(dictionary.valid_bits, dictionary.position + entry)) {
      valid.make_null(i);
    } else {
      std::memcpy(out, dictionary.values + size(entry) * element_size, element_size);
    }
  }
}

/// The values as bytes that a view of the type's dtype can read; position and count of the elements wanted.
const std::uint8_t* plain_values(const std::string& label, const NumberType& type, const ArrowArray& array,
                                 std::int64_t position, std::int64_t count,
                                 std::vector<std::uint8_t>& unpacked) {
  const std::uint8_t* values = data(label, array, count);
  if (count == 0) {
    return nullptr;
  }
  if (type.layout == Layout::values) {
    return values + size(position) * size_of(type.dtype);
  }
  unpacked.resize(size(count));
  unpack_bits(values, position, count, unpacked.data());
  return unpacked.data();
}

const std::uint8_t* decoded_values(const std::string& label, const NumberType& type, const ArrowArray& array,
                                   std::int64_t position, std::int64_t count, ColumnBuffers& buffers) {
  const std::uint8_t* indices = data(label, array, count);
  if (array.dictionary == nullptr) {
    refuse(label, "an Arrow array without its dictionary");
  }
  const ArrowArray& entries = *array.dictionary;
  if (type.layout == Layout::nothing) {
    buffers.valid.make_all_null();
    return nullptr;
  }
  const std::string dictionary_label = label + ", dictionary";
  Dictionary dictionary{};
  dictionary.length = entries.length;
  dictionary.position = position_of(dictionary_label, entries, {0, entries.length}, 2);
  dictionary.valid_bits = validity_bits(dictionary_label, entries);
  dictionary.values =
      plain_values(dictionary_label, type, entries, dictionary.position, entries.length, buffers.dictionary);
  if (count == 0) {
    return nullptr;
  }
  buffers.values.resize(size(count) * size_of(type.dtype));
  with_integer_type(*type.index, [&](auto zero) {
    using Index = decltype(zero);
    const std::uint8_t* first = indices + size(position) * sizeof(Index);
    const auto run = [&](auto decode_elements) {
      decode_elements(label, dictionary, first, count, buffers.valid, buffers.values.data());
    };
    switch (size_of(type.dtype)) {
      case 1:
        return run(decode<Index, 1>);
      case 2:
        return run(decode<Index, 2>);
      case 4:
        return run(decode<Index, 4>);
      default:
        return run(decode<Index, 8>);
    }
  });
  return buffers.values.data();
}

}  // namespace

void Validity::start(std::int64_t elements, const std::uint8_t* bits, std::int64_t position) {
  size_ = size(elements);
  any_null_ = false;
  if (bits != nullptr && size_ > 0) {
    bytes_.resize(size_);
    any_null_ = !unpack_bits(bits, position, elements, bytes_.data());
  }
}

void Validity::start_writing() {
  if (!any_null_) {
    bytes_.assign(size_, 1);
    any_null_ = true;
  }
}

void Validity::add_rows(const Validity& rows, std::int64_t width) {
  if (!rows.any_null_ || width == 0) {
    return;
  }
  start_writing();
  for (std::size_t row = 0; row < rows.size_; ++row) {
    if (rows.bytes_[row] == 0) {
      std::memset(bytes_.data() + row * size(width), 0, size(width));
    }
  }
}

void Validity::make_null(std::int64_t element) {
  start_writing();
  bytes_[size(element)] = 0;
}

void Validity::make_all_null() {
  bytes_.assign(size_, 0);
  any_null_ = size_ > 0;
}

void read_row_validity(const TableType& table, const ArrowArray& batch, Validity& rows_valid) {
  const std::string label = "the table";
  const std::int64_t position = position_of(label, batch, {0, batch.length}, 1);
  check_children(label, batch, static_cast<std::int64_t>(table.columns.size()));
  rows_valid.start(batch.length, validity_bits(label, batch), position);
}

Column read_column(const ColumnType& type, const ArrowArray& array, Slice rows, const Validity& rows_valid,
                   ColumnBuffers& buffers) {
  const std::string& label = type.label;
  const std::int64_t width = type.width();
  const ArrowArray* numbers = &array;
  Slice slice = rows;
  buffers.lists_valid.start(rows.length);
  if (type.list_size) {
    const std::int64_t position = position_of(label, array, rows, 1);
    if (width > 0 && position + rows.length > most_elements / width) {
      refuse(label, "an Arrow array of " + std::to_string(position + rows.length) + " lists of " +
                        std::to_string(width));
    }
    buffers.lists_valid.start(rows.length, validity_bits(label, array), position);
    check_children(label, array, 1);
    numbers = array.children[0];
    slice = {position * width, rows.length * width};
  }

  const NumberType& number = type.number;
  Validity& valid = buffers.valid;
  const std::uint8_t* values = nullptr;
  if (number.layout == Layout::nothing && !number.index) {
    position_of(label, *numbers, slice, numbers->n_buffers);
    valid.start(slice.length);
    valid.make_all_null();
  } else {
    const std::int64_t position = position_of(label, *numbers, slice, 2);
    valid.start(slice.length, validity_bits(label, *numbers), position);
    valid.add_rows(buffers.lists_valid, width);
    valid.add_rows(rows_valid, width);
    values = number.index ? decoded_values(label, number, *numbers, position, slice.length, buffers)
                          : plain_values(label, number, *numbers, position, slice.length, buffers.values);
  }

  Shape shape{rows.length};
  Shape no_strides{0};
  if (type.list_size) {
    shape.push_back(width);
    no_strides.push_back(0);
  }
  Column column;
  column.values = values == nullptr
                      ? TensorView{&nothing, number.dtype, shape, no_strides}
                      : TensorView{values, number.dtype, shape, contiguous_strides(shape, number.dtype)};
  if (valid.any_null()) {
    column.valid =
        TensorView{valid.bytes(), DType::boolean, shape, contiguous_strides(shape, DType::boolean)};
  }
  return column;
}

}  // namespace exactnorm::arrow
