#include "numpy.hpp"

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

namespace exactnorm::python {
namespace {

/// References that are never given up, as numpy never goes away.
struct {
  nb::handle ndarray;
  nb::handle empty;
  nb::handle dtype_name;              // "dtype", interned
  std::array<nb::handle, 13> dtypes;  // by DType; none for bfloat16
} numpy;

}  // namespace

void import_numpy() {
  const nb::module_ module = nb::module_::import_("numpy");
  numpy.ndarray = nb::object(module.attr("ndarray")).release();
  numpy.empty = nb::object(module.attr("empty")).release();
  numpy.dtype_name = PyUnicode_InternFromString("dtype");
  for (std::size_t i = 0; i < numpy.dtypes.size(); ++i) {
    if (const auto dtype = static_cast<DType>(i); dtype != DType::bfloat16) {
      const std::string_view name = name_of(dtype);
      numpy.dtypes[i] = module.attr("dtype")(nb::str(name.data(), name.size())).release();
    }
  }
}

std::optional<DType> plain_dtype(nb::handle object) {
  if (object.type().ptr() != numpy.ndarray.ptr()) {
    return {};
  }
  const nb::object dtype = nb::getattr(object, numpy.dtype_name);
  for (std::size_t i = 0; i < numpy.dtypes.size(); ++i) {
    if (dtype.ptr() == numpy.dtypes[i].ptr()) {
      return static_cast<DType>(i);
    }
  }
  return {};
}

std::optional<View> plain_array(nb::handle object) {
  const std::optional<DType> dtype = plain_dtype(object);
  if (!dtype) {
    return {};
  }
  return std::optional<View>(std::in_place, object, *dtype, false);
}

nb::object empty_array(const Shape& shape, DType dtype) {
  return numpy.empty(to_tuple(shape), numpy.dtypes[static_cast<std::size_t>(dtype)]);
}

}  // namespace exactnorm::python
