#pragma once
/// \file
/// GroupedMoments for Python.

#include <nanobind/nanobind.h>

#include <exactnorm/grouped_moments.hpp>

#include "guard.hpp"

namespace exactnorm::python {

struct PyGrouped : Guarded<GroupedMoments> {
  using Guarded::Guarded;
};

void bind_grouped(nb::module_& module);

}  // namespace exactnorm::python
