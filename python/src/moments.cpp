#include "moments.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <exactnorm/state.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include "numpy.hpp"

namespace exactnorm::python {

using namespace nb::literals;

namespace {

using OptionalAxes = std::optional<Axes>;

UpdateOptions options_of(const View* where, const View* weights, const View* valid, int threads,
                         std::stop_token stop) {
  return {tensor_of(where), tensor_of(weights), tensor_of(valid), threads, std::move(stop)};
}

void update(PyMoments& self, const View& x, const OptionalAxes& axis, const View* where, const View* weights,
            const View* valid, int threads) {
  locked_watched(self.mutex, byte_count(x.tensor()), [&](const std::stop_token& stop) {
    self.value.update(x.tensor(), axis, options_of(where, weights, valid, threads, stop));
  });
}

/// Adds x as Moments.update does without further arguments. False, and nothing is done, if x is no plain
/// array or a large one.
bool try_update(PyMoments& self, nb::handle x) {
  const std::optional<TensorView> view = plain_array(x);
  return view && locked_if_small(self.mutex, byte_count(*view), [&] { self.value.update(*view); });
}

void update_columns(PyMoments& self, const std::vector<const TableColumn*>& columns, const View* where,
                    const View* weights, int threads) {
  const std::vector<Column> plain = columns_of(columns);
  locked_watched(self.mutex, byte_count(plain), [&](const std::stop_token& stop) {
    self.value.update_columns(plain, options_of(where, weights, nullptr, threads, stop));
  });
}

void update_sparse(PyMoments& self, const View& values, const View& row_indices, const View& offsets,
                   std::int64_t rows, const View* weights, int threads) {
  const SparseColumns x{values.tensor(), row_indices.tensor(), offsets.tensor(), rows};
  const std::int64_t bytes = byte_count(x.values) + byte_count(x.row_indices) +
                             element_count(x.offsets.shape) * static_cast<std::int64_t>(sizeof(Feature)) +
                             (weights != nullptr ? byte_count(weights->tensor()) : 0);
  locked_watched(self.mutex, bytes, [&](const std::stop_token& stop) {
    self.value.update_sparse(x, options_of(nullptr, weights, nullptr, threads, stop));
  });
}

template <class T>
std::vector<T> reading(const Moments& moments, std::string_view what, const Reading& how) {
  if (what == "mean") {
    return moments.mean<T>(how);
  }
  return what == "variance" ? moments.variance<T>(how) : moments.std<T>(how);
}

template <class T>
nb::object read_as(PyMoments& self, std::string_view what, const Reading& how,
                   std::vector<std::string>& empty) {
  Shape shape;
  std::vector<T> values = locked({&self.mutex}, [&] {
    Reading how_empty = how;
    how_empty.ddof = what == "mean" ? 0 : how.ddof;
    for (const std::size_t feature : self.value.empty_features(how_empty)) {
      empty.push_back(self.value.describe(feature));
    }
    shape = self.value.shape();
    return reading<T>(self.value, what, how);
  });
  return nb::cast(to_numpy(std::move(values), shape));
}

/// The numbers, and which features had none to give.
std::pair<nb::object, std::vector<std::string>> read(PyMoments& self, std::string_view what,
                                                     std::string_view dtype, std::string_view nan_policy,
                                                     std::string_view inf_policy, std::int64_t ddof) {
  const Reading how{policy_named(nan_policy, "nan_policy"), policy_named(inf_policy, "inf_policy"), ddof};
  std::vector<std::string> empty;
  nb::object values =
      dtype == "float32" ? read_as<float>(self, what, how, empty) : read_as<double>(self, what, how, empty);
  return {std::move(values), std::move(empty)};
}

/// (kinds, *shape): finite, nan, null, posinf, neginf.
nb::object counts(PyMoments& self) {
  constexpr std::array kinds{&Counts::finite, &Counts::nan, &Counts::null, &Counts::posinf, &Counts::neginf};
  std::vector<std::int64_t> extents{kinds.size()};
  std::vector<std::int64_t> values = locked({&self.mutex}, [&] {
    extents.insert(extents.end(), self.value.shape().begin(), self.value.shape().end());
    std::vector<std::int64_t> all;
    all.reserve(kinds.size() * self.value.size());
    for (const auto kind : kinds) {
      for (const Feature& feature : self.value.features()) {
        all.push_back(feature.counts.*kind);
      }
    }
    return all;
  });
  return nb::cast(to_numpy(std::move(values), extents));
}

template <class Combine>
std::unique_ptr<PyMoments> combined(PyMoments& a, PyMoments& b, Combine combine) {
  return std::make_unique<PyMoments>(locked({&a.mutex, &b.mutex}, [&] { return combine(a.value, b.value); }));
}

/// Some of the features, along one axis.
Moments selected(const Moments& all, const std::vector<std::size_t>& indices) {
  std::vector<std::string> names;
  std::vector<Feature> features;
  std::vector<ExactSum> weights;
  for (const std::size_t index : indices) {
    features.push_back(all.features().at(index));
    if (!all.names().empty()) {
      names.push_back(all.names()[index]);
    }
    if (all.weighted()) {
      weights.push_back(all.weights()[index]);
    }
  }
  const Shape shape{static_cast<std::int64_t>(features.size())};
  return Moments::from_parts(shape, std::move(names), std::move(features), std::move(weights));
}

}  // namespace

nb::bytes to_bytes(const std::string& text) { return nb::bytes(text.data(), text.size()); }

void bind_moments(nb::module_& module) {
  const auto optional_view = [](const char* name) { return nb::arg(name).none() = nb::none(); };
  nb::class_<PyMoments>(module, "Moments", "exactnorm::Moments and a lock.")
      .def(
          "__init__",
          [](PyMoments* self, const std::vector<std::int64_t>& shape, std::vector<std::string> names) {
            new (self) PyMoments(Moments(shape_of(shape), std::move(names)));
          },
          "shape"_a, "names"_a)
      .def("update", &update, "x"_a, "axis"_a.none(), optional_view("where"), optional_view("weights"),
           optional_view("valid"), "threads"_a = 0)
      .def("try_update", &try_update, "x"_a.none(),
           "Whether x is a plain array, not a large one; then it has been added.")
      .def("update_columns", &update_columns, "columns"_a, optional_view("where"), optional_view("weights"),
           "threads"_a = 0)
      .def("update_sparse", &update_sparse, "values"_a, "row_indices"_a, "offsets"_a, "rows"_a,
           optional_view("weights"), "threads"_a = 0)
      .def("merge",
           [](PyMoments& a, PyMoments& b) {
             locked({&a.mutex, &b.mutex}, [&] { a.value.merge(b.value); });
           })
      .def("subtract",
           [](PyMoments& a, PyMoments& b) {
             locked({&a.mutex, &b.mutex}, [&] { a.value.subtract(b.value); });
           })
      .def("plus", [](PyMoments& a, PyMoments& b) { return combined(a, b, std::plus<>{}); })
      .def("minus", [](PyMoments& a, PyMoments& b) { return combined(a, b, std::minus<>{}); })
      .def("equals",
           [](PyMoments& a, PyMoments& b) {
             return locked({&a.mutex, &b.mutex}, [&] { return a.value == b.value; });
           })
      .def("copy", [](PyMoments& self) { return std::make_unique<PyMoments>(self.copy()); })
      .def(
          "select",
          [](PyMoments& self, const std::vector<std::size_t>& features) {
            return std::make_unique<PyMoments>(
                locked({&self.mutex}, [&] { return selected(self.value, features); }));
          },
          "features"_a)
      .def("read", &read, "what"_a, "dtype"_a, "nan_policy"_a, "inf_policy"_a, "ddof"_a,
           "what: mean, variance or std. The numbers, and the features that had none to give.",
           nb::sig("def read(self, what: str, dtype: str, nan_policy: str, inf_policy: str, ddof: int) -> "
                   "tuple[numpy.typing.NDArray[numpy.floating], list[str]]"))
      .def("counts", &counts, "(5, *shape): finite, nan, null, posinf, neginf.",
           nb::sig("def counts(self) -> numpy.typing.NDArray[numpy.int64]"))
      .def(
          "weight_sums",
          [](PyMoments& self) {
            Shape shape;
            std::vector<double> sums;
            locked({&self.mutex}, [&] {
              shape = self.value.shape();
              sums.resize(self.value.size());
              const std::vector<ExactSum>& weights = self.value.weights();
              std::transform(weights.begin(), weights.end(), sums.begin(), [](const ExactSum& sum) {
                return rounded_quotient<double>(sum, ExactSum::from_integer(1));
              });
            });
            return nb::cast(to_numpy(std::move(sums), shape));
          },
          "Sum of the weights of each feature, rounded once; 0 if not weighted.",
          nb::sig("def weight_sums(self) -> numpy.typing.NDArray[numpy.float64]"))
      .def_prop_ro(
          "shape",
          [](PyMoments& self) {
            return to_tuple(locked_briefly(self.mutex, [&] { return self.value.shape(); }));
          },
          nb::sig("def shape(self) -> tuple[int, ...]"))
      .def_prop_ro("names",
                   [](PyMoments& self) { return locked({&self.mutex}, [&] { return self.value.names(); }); })
      .def("constant_features",
           [](PyMoments& self) {
             return locked({&self.mutex}, [&] { return self.value.constant_features(); });
           })
      .def_prop_ro(
          "weighted",
          [](PyMoments& self) { return locked({&self.mutex}, [&] { return self.value.weighted(); }); })
      .def_prop_ro("digest",
                   [](PyMoments& self) { return locked({&self.mutex}, [&] { return digest(self.value); }); })
      .def("to_bytes",
           [](PyMoments& self) {
             return to_bytes(locked({&self.mutex}, [&] { return to_cbor(self.value); }));
           })
      .def("save", [](PyMoments& self, const nb::bytes& path) {
        const std::string name(path.c_str(), path.size());
        locked({&self.mutex}, [&] { save(name, self.value); });
      });
  module.def(
      "feature_shape",
      [](const std::vector<std::int64_t>& shape, const Axes& axis) {
        const Shape extents = shape_of(shape);
        return to_tuple(feature_shape(extents, kept_axes(axis, extents.size())));
      },
      "shape"_a, "axis"_a,
      nb::sig("def feature_shape(shape: Sequence[int], axis: Sequence[int]) -> tuple[int, ...]"));
  module.def("kept_axes", &kept_axes, "axis"_a, "rank"_a);
}

}  // namespace exactnorm::python
