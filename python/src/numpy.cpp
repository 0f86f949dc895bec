#include "numpy.hpp"

#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <numpy/ndarraytypes.h>

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "view.hpp"

namespace exactnorm::python {
namespace {

/// References that are never given up, as numpy never goes away.
struct {
  nb::handle ndarray;
  nb::handle empty;
  std::array<nb::handle, 13> dtypes;  // by DType; none for bfloat16
} numpy;

/// The array, if it is one that plain_array takes.
PyArrayObject* plain(nb::handle object, DType& dtype) {
  if (object.type().ptr() != numpy.ndarray.ptr()) {
    return nullptr;
  }
  auto* const array = reinterpret_cast<PyArrayObject*>(object.ptr());
  const auto* const descriptor = reinterpret_cast<PyObject*>(PyArray_DESCR(array));
  for (std::size_t i = 0; i < numpy.dtypes.size(); ++i) {
    if (descriptor == numpy.dtypes[i].ptr()) {
      dtype = static_cast<DType>(i);
      return array;
    }
  }
  return nullptr;
}

Shape extents(PyArrayObject* array, const npy_intp* values) {
  return Shape(std::span<const std::int64_t>(values, static_cast<std::size_t>(PyArray_NDIM(array))));
}

}  // namespace

void import_numpy() {
  const nb::module_ module = nb::module_::import_("numpy");
  numpy.ndarray = nb::object(module.attr("ndarray")).release();
  numpy.empty = nb::object(module.attr("empty")).release();
  for (std::size_t i = 0; i < numpy.dtypes.size(); ++i) {
    if (const auto dtype = static_cast<DType>(i); dtype != DType::bfloat16) {
      const std::string_view name = name_of(dtype);
      numpy.dtypes[i] = module.attr("dtype")(nb::str(name.data(), name.size())).release();
    }
  }
}

std::optional<TensorView> plain_array(nb::handle object) {
  DType dtype{};
  PyArrayObject* const array = plain(object, dtype);
  if (array == nullptr) {
    return {};
  }
  return TensorView{PyArray_DATA(array), dtype, extents(array, PyArray_DIMS(array)),
                    extents(array, PyArray_STRIDES(array))};
}

std::optional<MutableTensorView> plain_target(nb::handle object) {
  DType dtype{};
  PyArrayObject* const array = plain(object, dtype);
  if (array == nullptr) {
    return {};
  }
  // A flag without a public name makes numpy warn when the array is written: broadcast_arrays sets it.
  constexpr int layout =
      NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS | NPY_ARRAY_OWNDATA | NPY_ARRAY_ALIGNED;
  if ((PyArray_FLAGS(array) & ~layout) != NPY_ARRAY_WRITEABLE) {
    return {};
  }
  return MutableTensorView{PyArray_DATA(array), dtype, extents(array, PyArray_DIMS(array)),
                           extents(array, PyArray_STRIDES(array))};
}

nb::object empty_array(const Shape& shape, DType dtype) {
  return numpy.empty(to_tuple(shape), numpy.dtypes[static_cast<std::size_t>(dtype)]);
}

}  // namespace exactnorm::python
