#pragma once
/// \file
/// Moments for Python.

#include <nanobind/nanobind.h>

#include <exactnorm/moments.hpp>

#include <string>

#include "guard.hpp"
#include "view.hpp"

namespace exactnorm::python {

struct PyMoments : Guarded<Moments> {
  using Guarded::Guarded;

  Moments copy() {
    return locked({&mutex}, [this] { return value; });
  }
};

nb::bytes to_bytes(const std::string& text);

void bind_moments(nb::module_& module);

}  // namespace exactnorm::python
