#pragma once
/// \file
/// Arrow streams for Python.

#include <nanobind/nanobind.h>

namespace exactnorm::python {

void bind_arrow(nanobind::module_& module);

}  // namespace exactnorm::python
