#pragma once
/// \file
/// numpy's arrays, read without any call of Python: this is what small calls cost.

#include <nanobind/nanobind.h>

#include <exactnorm/tensor_view.hpp>

#include <optional>

namespace exactnorm::python {

namespace nb = nanobind;

/// To be called once, before the others.
void import_numpy();

/// An array that can be read as it is: exactly an ndarray (no subclass, so not masked) of one of numpy's own
/// dtypes in this machine's byte order. Nothing for any other object. The view is good while the array lives.
std::optional<TensorView> plain_array(nb::handle object);

/// As plain_array, but also nothing for an array that must not be written, or not without a warning of
/// numpy's.
std::optional<MutableTensorView> plain_target(nb::handle object);

/// numpy.empty. Precondition: dtype is not bfloat16, which numpy lacks.
nb::object empty_array(const Shape& shape, DType dtype);

}  // namespace exactnorm::python
