#include "view.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string_view.h>

#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace exactnorm::python {

using namespace nb::literals;

View::Buffer::Buffer(nb::handle object, int flags) {
  if (PyObject_GetBuffer(object.ptr(), &buffer_, flags) != 0) {
    throw nb::python_error();
  }
}

View::View(nb::handle buffer, DType dtype, bool writable)
    : buffer_(buffer, writable ? PyBUF_STRIDED : PyBUF_STRIDED_RO) {
  tensor_.data = buffer_->buf;
  tensor_.dtype = dtype;
  if (static_cast<std::size_t>(buffer_->itemsize) != size_of(dtype)) {
    throw std::invalid_argument("elements of " + std::to_string(buffer_->itemsize) + " bytes are no " +
                                std::string(name_of(dtype)));
  }
  const auto rank = static_cast<std::size_t>(buffer_->ndim);
  tensor_.shape = Shape(std::span<const std::int64_t>(buffer_->shape, rank));
  tensor_.strides = Shape(std::span<const std::int64_t>(buffer_->strides, rank));
}

MutableTensorView View::mutable_tensor() const noexcept {
  return {buffer_->buf, tensor_.dtype, tensor_.shape, tensor_.strides};
}

TableColumn::TableColumn(Column column, nb::object owner, std::shared_ptr<const std::int64_t> batch)
    : column_(std::move(column)),
      owner_(std::move(owner)),
      batch_(std::move(batch)),
      number_(batch_ ? *batch_ : 0) {}

const Column& TableColumn::column() const {
  if (batch_ && *batch_ != number_) {
    throw std::logic_error("this column's batch is gone: its reader has gone on");
  }
  return column_;
}

std::int64_t TableColumn::rows() const { return column_.values.shape[0]; }

std::int64_t TableColumn::width() const {
  return column_.values.shape.size() < 2 ? 1 : column_.values.shape[1];
}

TableColumn TableColumn::part(const std::function<TensorView(const TensorView&)>& select) const {
  const Column& whole = column();
  Column result{.values = select(whole.values), .valid = {}};
  if (whole.valid) {
    result.valid = select(*whole.valid);
  }
  return {std::move(result), owner_, batch_};
}

TableColumn TableColumn::feature(std::int64_t index) const {
  if (index < 0 || index >= width()) {
    throw nb::index_error();
  }
  return part([index](const TensorView& view) { return view.shape.size() < 2 ? view : at(view, 1, index); });
}

TableColumn TableColumn::slice(std::int64_t first, std::int64_t count) const {
  if (first < 0 || count < 0 || first > rows() - count) {
    throw nb::index_error();
  }
  return part([=](const TensorView& view) { return python::slice(view, 0, first, count); });
}

void write_nan(const MutableTensorView& out, const TensorView& valid) {
  const auto fill = [&]<class T>(T nan) {
    for (std::int64_t row = 0; row < out.shape[0]; ++row) {
      if (*(static_cast<const std::uint8_t*>(valid.data) + row * valid.strides[0]) == 0) {
        std::memcpy(static_cast<std::byte*>(out.data) + row * out.strides[0], &nan, sizeof nan);
      }
    }
  };
  switch (out.dtype) {
    case DType::float64:
      return fill(std::numeric_limits<double>::quiet_NaN());
    case DType::float32:
      return fill(std::numeric_limits<float>::quiet_NaN());
    case DType::bfloat16:
      return fill(std::uint16_t{0x7fc0});
    default:
      return fill(std::uint16_t{0x7e00});  // float16: a layer has no other dtypes
  }
}

std::vector<Column> columns_of(const std::vector<const TableColumn*>& columns) {
  std::vector<Column> result;
  result.reserve(columns.size());
  for (const TableColumn* column : columns) {
    result.push_back(column->column());
  }
  return result;
}

std::int64_t byte_count(const TensorView& view) {
  return element_count(view.shape) * static_cast<std::int64_t>(size_of(view.dtype));
}

std::int64_t byte_count(std::span<const Column> columns) {
  std::int64_t total = 0;
  for (const Column& column : columns) {
    total += byte_count(column.values);
  }
  return total;
}

std::optional<TensorView> tensor_of(const View* view) {
  return view == nullptr ? std::nullopt : std::optional(view->tensor());
}

Shape shape_of(const std::vector<std::int64_t>& extents) { return Shape(std::span(extents)); }

nb::tuple to_tuple(const Shape& shape) {
  nb::tuple extents = nb::steal<nb::tuple>(PyTuple_New(static_cast<Py_ssize_t>(shape.size())));
  for (std::size_t i = 0; i < shape.size(); ++i) {
    PyTuple_SetItem(extents.ptr(), static_cast<Py_ssize_t>(i), nb::int_(shape[i]).release().ptr());
  }
  return extents;
}

namespace {

/// bfloat16 has no place in numpy or in buffers: the same memory as uint16.
nb::ndarray<nb::numpy, const std::uint16_t> bfloat16_bits(nb::ndarray<nb::ro> array) {
  constexpr nb::dlpack::dtype bfloat16{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Bfloat), 16, 1};
  if (array.dtype() != bfloat16) {
    throw nb::type_error("expected an array of bfloat16");
  }
  using Array = nb::ndarray<nb::ro>;
  auto kept = std::make_unique<Array>(std::move(array));
  const Array& bits = *kept;
  const nb::capsule owner(kept.get(), [](void* p) noexcept { delete static_cast<Array*>(p); });
  static_cast<void>(kept.release());  // the capsule owns it now
  const std::vector<std::size_t> shape(bits.shape_ptr(), bits.shape_ptr() + bits.ndim());
  return {bits.data(), bits.ndim(), shape.data(), owner, bits.stride_ptr()};
}

}  // namespace

void bind_view(nb::module_& module) {
  nb::class_<View>(module, "View", "A typed view of anything with the buffer protocol.")
      .def(
          "__init__",
          [](View* self, nb::handle buffer, std::string_view dtype, bool writable) {
            new (self) View(buffer, dtype_named(dtype), writable);
          },
          "buffer"_a, "dtype"_a, "writable"_a = false,
          nb::sig("def __init__(self, buffer: object, dtype: str, writable: bool = False) -> None"));
  nb::class_<TableColumn>(module, "Column",
                          "Values of shape (rows,) or (rows, k), and where they are not null.")
      .def(
          "__init__",
          [](TableColumn* self, const View& values, const View* valid) {
            nb::object owner = nb::make_tuple(nb::find(values), nb::find(valid));
            new (self) TableColumn({.values = values.tensor(), .valid = tensor_of(valid)}, std::move(owner));
          },
          "values"_a, "valid"_a.none() = nb::none())
      .def_prop_ro("rows", &TableColumn::rows)
      .def_prop_ro("width", &TableColumn::width, "Number of features.")
      .def("feature", &TableColumn::feature, "index"_a)
      .def("slice", &TableColumn::slice, "first"_a, "count"_a);
  module.def("bfloat16_bits", &bfloat16_bits, "array"_a,
             "The bits of a bfloat16 array that comes through DLPack, as uint16.",
             nb::sig("def bfloat16_bits(array: object) -> numpy.typing.NDArray[numpy.uint16]"));
}

}  // namespace exactnorm::python
