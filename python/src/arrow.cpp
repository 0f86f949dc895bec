#include "arrow.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <exactnorm/arrow.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "view.hpp"

namespace exactnorm::python {

using namespace nb::literals;

namespace {

template <class T>
T* pointer_in(const nb::capsule& capsule, const char* name) {
  void* pointer = PyCapsule_GetPointer(capsule.ptr(), name);
  if (pointer == nullptr) {
    throw nb::python_error();
  }
  return static_cast<T*>(pointer);
}

/// An ArrowReader whose producer runs without the GIL, which it may take itself.
class PyArrowReader {
 public:
  explicit PyArrowReader(const nb::capsule& stream) {
    auto* taken = pointer_in<ArrowArrayStream>(stream, "arrow_array_stream");
    const nb::gil_scoped_release release;
    reader_.emplace(taken);
  }
  PyArrowReader(const nb::capsule& schema, const nb::capsule& array) {
    auto* taken_schema = pointer_in<ArrowSchema>(schema, "arrow_schema");
    auto* taken_array = pointer_in<ArrowArray>(array, "arrow_array");
    const nb::gil_scoped_release release;
    reader_.emplace(taken_array, taken_schema);
  }
  PyArrowReader(const PyArrowReader&) = delete;
  PyArrowReader& operator=(const PyArrowReader&) = delete;
  ~PyArrowReader() {
    ++*batch_;
    const nb::gil_scoped_release release;
    reader_.reset();
  }

  bool next() {
    ++*batch_;
    const nb::gil_scoped_release release;
    return reader_->next();
  }
  std::vector<TableColumn> columns() {
    std::vector<TableColumn> result;
    const nb::object self = nb::find(this);
    for (const Column& column : reader_->columns()) {
      result.emplace_back(column, self, batch_);
    }
    return result;
  }
  [[nodiscard]] const ArrowReader& reader() const { return *reader_; }

 private:
  std::optional<ArrowReader> reader_;
  std::shared_ptr<std::int64_t> batch_ = std::make_shared<std::int64_t>(0);
};

}  // namespace

void bind_arrow(nb::module_& module) {
  nb::class_<PyArrowReader>(module, "ArrowReader", "exactnorm::ArrowReader over PyCapsules.")
      .def(nb::init<const nb::capsule&>(), "stream"_a, nb::sig("def __init__(self, stream: object) -> None"))
      .def(nb::init<const nb::capsule&, const nb::capsule&>(), "schema"_a, "array"_a,
           nb::sig("def __init__(self, schema: object, array: object) -> None"))
      .def_prop_ro("names", [](const PyArrowReader& self) { return self.reader().names(); })
      .def_prop_ro(
          "feature_shape", [](const PyArrowReader& self) { return to_tuple(self.reader().feature_shape()); },
          nb::sig("def feature_shape(self) -> tuple[int, ...]"))
      .def("next", &PyArrowReader::next)
      .def("columns", &PyArrowReader::columns, "The current batch's; they die with the next next().");
}

}  // namespace exactnorm::python
