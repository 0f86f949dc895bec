// exactnorm._core: the C++ library for the Python files of exactnorm, which give it its interface.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <exactnorm/arrow.hpp>
#include <exactnorm/state.hpp>
#include <exactnorm/targets.hpp>

#include <string>
#include <system_error>
#include <tuple>
#include <vector>

#include "arrow.hpp"
#include "grouped.hpp"
#include "moments.hpp"
#include "normalization.hpp"
#include "numpy.hpp"
#include "view.hpp"

namespace exactnorm::python {

namespace {

/// OSError(errno, message), which Python turns into FileNotFoundError and the like; ArrowTypeError to
/// TypeError.
void translate(const std::exception_ptr& exception, void* /*payload*/) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::system_error& error) {
    PyErr_SetObject(PyExc_OSError, nb::make_tuple(error.code().value(), error.what()).ptr());
  } catch (const ArrowTypeError& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
  }
}

}  // namespace

NB_MODULE(_core, module) {
  nb::set_leak_warnings(false);  // they are printed, at exit, and blame whoever holds a reference then
  nb::register_exception_translator(translate);
  nb::exception<StateError> state_error(module, "StateError", PyExc_ValueError);
  state_error.attr("__doc__") = "A state document that cannot be loaded; the message says where and why.";

  import_numpy();
  bind_view(module);
  bind_moments(module);
  bind_grouped(module);
  bind_normalization(module);
  bind_arrow(module);
  module.def("targets", [] {
    std::vector<std::tuple<std::string, bool, bool>> result;
    for (Target& target : targets()) {
      result.emplace_back(std::move(target.name), target.supported, target.chosen);
    }
    return result;
  });
  module.def("force_target", &force_target, nb::arg("name"));
}

}  // namespace exactnorm::python
