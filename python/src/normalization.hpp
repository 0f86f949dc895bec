#pragma once
/// \file
/// Normalization, Adaptation and documents for Python.

#include <nanobind/nanobind.h>

namespace exactnorm::python {

void bind_normalization(nanobind::module_& module);

}  // namespace exactnorm::python
