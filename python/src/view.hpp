#pragma once
/// \file
/// Memory that Python owns, as exactnorm sees it.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <exactnorm/moments.hpp>
#include <exactnorm/tensor_view.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace exactnorm::python {

namespace nb = nanobind;

/// A TensorView of anything with the buffer protocol, which it keeps exported while it lives: any strides,
/// read-only or not.
class View {
 public:
  /// `dtype` is given since buffers cannot say bfloat16. Throws nb::python_error (no buffer, or a read-only
  /// one asked to be written), std::invalid_argument (another size of element, too many axes).
  View(nb::handle buffer, DType dtype, bool writable);

  [[nodiscard]] const TensorView& tensor() const noexcept { return tensor_; }
  /// Precondition: made writable.
  [[nodiscard]] MutableTensorView mutable_tensor() const noexcept;

 private:
  class Buffer {
   public:
    Buffer(nb::handle object, int flags);
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { PyBuffer_Release(&buffer_); }
    const Py_buffer* operator->() const noexcept { return &buffer_; }

   private:
    Py_buffer buffer_;
  };

  Buffer buffer_;
  TensorView tensor_;
};

/// One column of a table, and what keeps its memory alive. A column of an Arrow batch lives until the reader
/// goes on.
class TableColumn {
 public:
  TableColumn(Column column, nb::object owner, std::shared_ptr<const std::int64_t> batch = {});

  /// Throws std::logic_error if the reader has gone on.
  [[nodiscard]] const Column& column() const;
  [[nodiscard]] std::int64_t rows() const;
  /// Number of features: 1, or k for values of shape (rows, k).
  [[nodiscard]] std::int64_t width() const;
  /// One feature of (rows, k) values as a column of shape (rows,).
  [[nodiscard]] TableColumn feature(std::int64_t index) const;
  /// So many rows from the first.
  [[nodiscard]] TableColumn slice(std::int64_t first, std::int64_t count) const;

 private:
  [[nodiscard]] TableColumn part(const std::function<TensorView(const TensorView&)>& select) const;

  Column column_;
  nb::object owner_;
  std::shared_ptr<const std::int64_t> batch_;  // the reader's count of batches, if it is a reader's
  std::int64_t number_ = 0;                    // that count when the column was made
};

/// Writes NaN into the elements of out, of shape (rows,), where valid is False.
void write_nan(const MutableTensorView& out, const TensorView& valid);

/// The columns themselves; see TableColumn::column.
std::vector<Column> columns_of(const std::vector<const TableColumn*>& columns);

/// Bytes that reading the elements moves; a lower bound of what a strided view touches.
std::int64_t byte_count(const TensorView& view);
std::int64_t byte_count(std::span<const Column> columns);

/// Index i of an axis, which goes away.
template <class AnyView>
AnyView at(AnyView view, std::size_t axis, std::int64_t i);
/// Indices first … first + count of an axis.
template <class AnyView>
AnyView slice(AnyView view, std::size_t axis, std::int64_t first, std::int64_t count);

/// The view of an absent (None) argument is absent.
std::optional<TensorView> tensor_of(const View* view);

Shape shape_of(const std::vector<std::int64_t>& extents);
nb::tuple to_tuple(const Shape& shape);

template <class AnyView>
AnyView slice(AnyView view, std::size_t axis, std::int64_t first, std::int64_t count) {
  using Byte = std::conditional_t<std::is_same_v<AnyView, TensorView>, const std::byte, std::byte>;
  view.data = static_cast<Byte*>(view.data) + first * view.strides[axis];
  view.shape[axis] = count;
  return view;
}

template <class AnyView>
AnyView at(AnyView view, std::size_t axis, std::int64_t i) {
  AnyView result = slice(view, axis, i, 1);
  result.shape = {};
  result.strides = {};
  for (std::size_t other = 0; other < view.shape.size(); ++other) {
    if (other != axis) {
      result.shape.push_back(view.shape[other]);
      result.strides.push_back(view.strides[other]);
    }
  }
  return result;
}

/// A numpy array that owns values.
template <class T>
nb::ndarray<nb::numpy, T> to_numpy(std::vector<T> values, std::span<const std::int64_t> shape) {
  auto kept = std::make_unique<std::vector<T>>(std::move(values));
  const nb::capsule owner(kept.get(), [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  T* data = kept.release()->data();
  const std::vector<std::size_t> extents(shape.begin(), shape.end());
  return nb::ndarray<nb::numpy, T>(data, extents.size(), extents.data(), owner);
}

void bind_view(nb::module_& module);

}  // namespace exactnorm::python
