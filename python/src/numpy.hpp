#pragma once
/// \file
/// numpy's arrays, asked for what they are without running Python code: this is what small calls cost.

#include <nanobind/nanobind.h>

#include <exactnorm/tensor_view.hpp>

#include <optional>

#include "view.hpp"

namespace exactnorm::python {

namespace nb = nanobind;

/// To be called once, before the others.
void import_numpy();

/// The element type of an array that can be read as it is: exactly an ndarray (no subclass, so not masked) of
/// one of numpy's own dtypes in this machine's byte order. Nothing for any other object.
std::optional<DType> plain_dtype(nb::handle object);

/// The array as it is, if plain_dtype has one.
std::optional<View> plain_array(nb::handle object);

/// numpy.empty. Precondition: dtype is not bfloat16, which numpy lacks.
nb::object empty_array(const Shape& shape, DType dtype);

}  // namespace exactnorm::python
