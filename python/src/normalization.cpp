#include "normalization.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <exactnorm/normalization.hpp>
#include <exactnorm/state.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "grouped.hpp"
#include "moments.hpp"
#include "numpy.hpp"

namespace exactnorm::python {

using namespace nb::literals;

namespace {

using PyNormalization = Guarded<Normalization>;
using Given = std::optional<std::pair<std::vector<std::int64_t>, std::vector<double>>>;

std::optional<GivenValues> given_values(Given given) {
  if (!given) {
    return {};
  }
  return GivenValues{shape_of(given->first), std::move(given->second)};
}

nb::object to_python(const std::optional<GivenValues>& given) {
  return given ? nb::cast(to_numpy(given->values, given->shape)) : nb::none();
}

void construct(PyNormalization* self, std::optional<Axes> axis, bool axis_is_list, Given mean, Given variance,
               bool invert, double epsilon, std::string_view dtype, std::string_view nan_policy,
               std::string_view inf_policy, std::string_view constant_policy, std::string name) {
  new (self) PyNormalization(Normalization({
      .axis = std::move(axis),
      .axis_is_list = axis_is_list,
      .mean = given_values(std::move(mean)),
      .variance = given_values(std::move(variance)),
      .invert = invert,
      .epsilon = epsilon,
      .dtype = dtype_named(dtype),
      .nan_policy = policy_named(nan_policy, "nan_policy"),
      .inf_policy = policy_named(inf_policy, "inf_policy"),
      .constant_policy = constant_policy_named(constant_policy),
      .name = std::move(name),
  }));
}

/// What the layer was made with.
nb::dict options(PyNormalization& self) {
  const NormalizationOptions options = locked({&self.mutex}, [&] { return self.value.options(); });
  nb::dict result;
  result["axis"] = options.axis;
  result["axis_is_list"] = options.axis_is_list;
  result["mean"] = to_python(options.mean);
  result["variance"] = to_python(options.variance);
  result["invert"] = options.invert;
  result["epsilon"] = options.epsilon;
  result["dtype"] = name_of(options.dtype);
  result["nan_policy"] = name_of(options.nan_policy);
  result["inf_policy"] = name_of(options.inf_policy);
  result["constant_policy"] = name_of(options.constant_policy);
  result["name"] = options.name;
  return result;
}

/// The axes to keep as they were given; none for None.
Axes given_axis(PyNormalization& self) {
  return locked_briefly(self.mutex, [&] { return self.value.options().axis.value_or(Axes{}); });
}

/// Of the results.
std::string dtype(PyNormalization& self) {
  return locked_briefly(self.mutex, [&] { return std::string(name_of(self.value.options().dtype)); });
}

/// One attribute or method of the layer under its lock, as a copy.
template <auto Member>
auto get(PyNormalization& self) {
  return locked({&self.mutex},
                [&]() -> std::decay_t<decltype((self.value.*Member)())> { return (self.value.*Member)(); });
}

/// As get, for what is there at once.
template <auto Member>
auto peek(PyNormalization& self) {
  return locked_briefly(
      self.mutex, [&]() -> std::decay_t<decltype((self.value.*Member)())> { return (self.value.*Member)(); });
}

/// Mean, variance and divisor in broadcast shape: the float32 readings, or the float64 ones.
nb::tuple statistics(PyNormalization& self, bool wide) {
  const auto read = [&]<class T>(T) {
    Shape shape;
    Scale<T> scale = locked({&self.mutex}, [&] {
      shape = self.value.broadcast_shape();
      return self.value.normalizer().template scale<T>();
    });
    return nb::make_tuple(to_numpy(std::move(scale.mean), shape), to_numpy(std::move(scale.variance), shape),
                          to_numpy(std::move(scale.divisor), shape));
  };
  return wide ? read(double{}) : read(float{});
}

void merge_state(PyNormalization& self, const std::vector<PyNormalization*>& others) {
  Mutexes mutexes{&self.mutex};
  std::vector<const Normalization*> layers;
  for (PyNormalization* other : others) {
    mutexes.push_back(&other->mutex);
    layers.push_back(&other->value);
  }
  locked(std::move(mutexes), [&] { self.value.merge_state(layers); });
}

/// The addresses of a view's bytes: [first, last).
std::pair<std::uintptr_t, std::uintptr_t> addresses(const TensorView& view) {
  auto first = reinterpret_cast<std::uintptr_t>(view.data);
  std::uintptr_t last = first + size_of(view.dtype);
  for (std::size_t axis = 0; axis < view.shape.size(); ++axis) {
    const std::int64_t reach = (view.shape[axis] - 1) * view.strides[axis];
    (reach < 0 ? first : last) += static_cast<std::uintptr_t>(reach);
  }
  return {first, last};
}

/// Whether a piece of out can be written before another of in is read.
bool are_apart(const TensorView& in, const TensorView& out) {
  if (in.data == out.data && in.strides == out.strides && size_of(in.dtype) == size_of(out.dtype)) {
    return true;
  }
  const auto [in_first, in_last] = addresses(in);
  const auto [out_first, out_last] = addresses(out);
  return in_last <= out_first || out_last <= in_first;
}

/// Of out: enough to be written past the caches, and done in a few hundredths of a second.
constexpr std::int64_t piece_bytes = 64 << 20;

/// Applies in pieces along the longest reduced axis, which may have any length, and looks at stop between
/// them.
void apply_in_pieces(Normalization& layer, bool opposite, const TensorView& in, const MutableTensorView& out,
                     int threads, const std::stop_token& stop) {
  const auto apply = [&](const TensorView& from, const MutableTensorView& to) {
    opposite ? layer.inverse(from, to, threads) : layer(from, to, threads);
  };
  const std::int64_t pieces = stop.stop_possible() ? byte_count(out) / piece_bytes : 1;
  std::size_t longest = in.shape.size();
  if (pieces > 1 && layer.built() && in.shape == out.shape && are_apart(in, out)) {
    const Axes& kept = layer.axes();
    for (std::size_t axis = 0; axis < in.shape.size(); ++axis) {
      if (!std::ranges::count(kept, static_cast<int>(axis)) &&
          (longest == in.shape.size() || in.shape[axis] > in.shape[longest])) {
        longest = axis;
      }
    }
  }
  if (longest == in.shape.size()) {
    apply(in, out);
    return;
  }
  const std::int64_t length = in.shape[longest];
  const std::int64_t step = std::max<std::int64_t>(1, length / pieces);
  for (std::int64_t first = 0; first < length; first += step) {
    if (stop.stop_requested()) {
      throw Interrupted();
    }
    const std::int64_t count = std::min(step, length - first);
    apply(slice(in, longest, first, count), slice(out, longest, first, count));
  }
}

void call(PyNormalization& self, const View& in, const View& out, bool opposite, int threads) {
  locked_watched(self.mutex, byte_count(in.tensor()), [&](const std::stop_token& stop) {
    apply_in_pieces(self.value, opposite, in.tensor(), out.mutable_tensor(), threads, stop);
  });
}

/// As call, with x and out as a layer is called with them; returns the result, in a new array if out is None,
/// and hands what there is to warn of to warn(messages, category). None, and nothing is done, unless x is a
/// plain array of at least one axis, not a large one, out None or a plain array that fits, and the layer
/// built.
nb::object try_call(PyNormalization& self, nb::handle x, nb::handle out, bool opposite, nb::handle warn) {
  const DType dtype = self.value.options().dtype;  // never changes
  const std::optional<TensorView> from = plain_array(x);
  if (!from || from->shape.empty() || byte_count(*from) >= watched_bytes) {  // () may have a result of (1,)
    return nb::none();
  }
  nb::object result = nb::borrow(out);
  if (out.is_none() && dtype != DType::bfloat16) {
    // Before the lock: Python may collect garbage there, whose finalizers may want this layer.
    result = empty_array(from->shape, dtype);
  }
  const std::optional<MutableTensorView> to = plain_target(result);
  if (!to || to->dtype != dtype || to->shape != from->shape) {
    return nb::none();
  }
  bool built = false;
  std::vector<std::string> warnings;
  locked_if_small(self.mutex, byte_count(*from), [&] {
    built = self.value.built();
    if (built) {
      opposite ? self.value.inverse(*from, *to) : self.value(*from, *to);
      warnings = self.value.take_warnings();
    }
  });
  if (!built) {
    return nb::none();
  }
  if (!warnings.empty()) {
    warn(warnings, nb::handle(PyExc_RuntimeWarning));
  }
  return result;
}

/// The features of a table one by one: views of shape (rows,), and where they are not null.
std::vector<Column> spread(std::span<const Column> columns) {
  std::vector<Column> features;
  for (const Column& column : columns) {
    if (column.values.shape.size() < 2) {
      features.push_back(column);
      continue;
    }
    for (std::int64_t i = 0; i < column.values.shape[1]; ++i) {
      const auto part = [i](const TensorView& view) { return at(view, 1, i); };
      features.push_back(
          {part(column.values), column.valid ? std::optional(part(*column.valid)) : std::nullopt});
    }
  }
  return features;
}

/// A table: each column by its feature, in its own compute type. out has shape (rows, features), or (rows,)
/// for one column of no table. Pieces of rows, to look at stop between them.
void call_columns(PyNormalization& self, const std::vector<const TableColumn*>& columns, const View& out,
                  bool opposite, int threads) {
  const std::vector<Column> features = spread(columns_of(columns));
  const MutableTensorView target = out.mutable_tensor();
  for (const Column& feature : features) {
    if (feature.values.shape[0] != target.shape[0]) {
      throw std::invalid_argument("out must have as many rows as the columns");
    }
  }
  const std::int64_t bytes = byte_count(features);
  locked_watched(self.mutex, bytes, [&](const std::stop_token& stop) {
    Normalization& layer = self.value;
    const MutableTensorView none = slice(target, 0, 0, 0);
    opposite ? layer.inverse(none, none, threads) : layer(none, none, threads);  // builds, checks and warns
    const bool invert = layer.options().invert != opposite;
    const std::int64_t rows = target.shape[0];
    const std::int64_t step = std::max<std::int64_t>(1, rows / (bytes / watched_bytes + 1));
    for (std::size_t i = 0; i < features.size(); ++i) {
      const Normalizer one = layer.normalizer().select(layer.axes().empty() ? 0 : i);
      const MutableTensorView results =
          target.shape.size() == 1 ? target : at(target, 1, static_cast<std::int64_t>(i));
      for (std::int64_t first = 0; first < rows; first += step) {
        if (stop.stop_requested()) {
          throw Interrupted();
        }
        const auto piece = [&](const auto& view) {
          return slice(view, 0, first, std::min(step, rows - first));
        };
        const MutableTensorView to = piece(results);
        invert ? one.inverse(piece(features[i].values), to, threads)
               : one.apply(piece(features[i].values), to, threads);
        if (features[i].valid) {
          write_nan(to, piece(*features[i].valid));
        }
      }
    }
  });
}

/// An Adaptation, and the layer whose lock it takes.
class PyAdaptation {
 public:
  explicit PyAdaptation(PyNormalization& layer)
      : layer_(&layer),
        owner_(nb::find(layer)),
        adaptation_(locked({&layer.mutex}, [&] { return Adaptation(layer.value); })) {}

  void update(const View& x, const View* valid, const View* weights, int threads) {
    locked_watched(layer_->mutex, byte_count(x.tensor()), [&](const std::stop_token& stop) {
      adaptation_.update(x.tensor(), {.where = {},
                                      .weights = tensor_of(weights),
                                      .valid = tensor_of(valid),
                                      .threads = threads,
                                      .stop = stop});
    });
  }
  /// Adds a batch of a stream. False, and nothing is done, unless x is a plain array, not a large one, and a
  /// batch to every layer, not perhaps a row of one.
  bool try_update(nb::handle x) {
    const std::optional<TensorView> view = plain_array(x);
    return view && view->shape.size() > 1 &&
           locked_if_small(layer_->mutex, byte_count(*view), [&] { adaptation_.update(*view); });
  }
  void merge(PyMoments& moments) {
    locked({&layer_->mutex, &moments.mutex}, [&] { adaptation_.update(moments.value); });
  }
  void update_columns(const std::vector<const TableColumn*>& columns, const View* weights, int threads) {
    const std::vector<Column> plain = columns_of(columns);
    locked_watched(layer_->mutex, byte_count(plain), [&](const std::stop_token& stop) {
      adaptation_.update_columns(
          plain, {.where = {}, .weights = tensor_of(weights), .valid = {}, .threads = threads, .stop = stop});
    });
  }
  /// One column of no table, as a 1-d array.
  void update_array(const TableColumn& column, const View* weights, int threads) {
    const Column& x = column.column();
    locked_watched(layer_->mutex, byte_count(x.values), [&](const std::stop_token& stop) {
      adaptation_.update(
          x.values,
          {.where = {}, .weights = tensor_of(weights), .valid = x.valid, .threads = threads, .stop = stop});
    });
  }
  void set_names(std::vector<std::string> names) {
    locked({&layer_->mutex}, [&] { adaptation_.set_names(std::move(names)); });
  }
  std::unique_ptr<PyMoments> moments() {
    return std::make_unique<PyMoments>(locked({&layer_->mutex}, [&] { return adaptation_.moments(); }));
  }
  void commit() {
    locked({&layer_->mutex}, [&] { adaptation_.commit(); });
  }

 private:
  PyNormalization* layer_;
  nb::object owner_;
  Adaptation adaptation_;
};

using Loaded =
    std::variant<std::unique_ptr<PyMoments>, std::unique_ptr<PyGrouped>, std::unique_ptr<PyNormalization>>;

Loaded wrap(AnyState loaded) {
  if (auto* moments = std::get_if<Moments>(&loaded)) {
    return std::make_unique<PyMoments>(std::move(*moments));
  }
  if (auto* groups = std::get_if<GroupedMoments>(&loaded)) {
    return std::make_unique<PyGrouped>(std::move(*groups));
  }
  return std::make_unique<PyNormalization>(std::get<Normalization>(std::move(loaded)));
}

}  // namespace

void bind_normalization(nb::module_& module) {
  nb::class_<PyNormalization>(module, "Normalization", "exactnorm::Normalization and a lock.")
      .def("__init__", &construct, nb::kw_only(), "axis"_a.none(), "axis_is_list"_a, "mean"_a.none(),
           "variance"_a.none(), "invert"_a, "epsilon"_a, "dtype"_a, "nan_policy"_a, "inf_policy"_a,
           "constant_policy"_a, "name"_a)
      .def("options", &options, nb::sig("def options(self) -> dict[str, typing.Any]"))
      .def("build",
           [](PyNormalization& self, const std::vector<std::int64_t>& shape) {
             locked({&self.mutex}, [&] { self.value.build(shape_of(shape)); });
           })
      .def("update_state",
           [](PyNormalization& self, PyMoments& learned) {
             locked({&self.mutex, &learned.mutex}, [&] { self.value.update_state(learned.value); });
           })
      .def("finalize_state", &get<&Normalization::finalize_state>)
      .def("reset_state", &get<&Normalization::reset_state>)
      .def("merge_state", &merge_state)
      .def("forget",
           [](PyNormalization& self, PyMoments& learned) {
             locked({&self.mutex, &learned.mutex}, [&] { self.value.forget(learned.value); });
           })
      .def(
          "prepare_call",
          [](PyNormalization& self, const std::vector<std::int64_t>& shape) {
            return to_tuple(locked({&self.mutex}, [&] { return self.value.prepare_call(shape_of(shape)); }));
          },
          nb::sig("def prepare_call(self, shape: Sequence[int]) -> tuple[int, ...]"))
      .def("call", &call, "x"_a, "out"_a, "opposite"_a, "threads"_a = 0)
      .def("try_call", &try_call, "x"_a.none(), "out"_a.none(), "opposite"_a, "warn"_a,
           nb::sig("def try_call(self, x: object, out: object, opposite: bool, warn: object) -> "
                   "numpy.typing.NDArray[typing.Any] | None"))
      .def("call_columns", &call_columns, "columns"_a, "out"_a, "opposite"_a, "threads"_a = 0)
      .def("copy",
           [](PyNormalization& self) {
             return std::make_unique<PyNormalization>(locked({&self.mutex}, [&] { return self.value; }));
           })
      .def("take_warnings", &peek<&Normalization::take_warnings>)
      .def_prop_ro("built", &peek<&Normalization::built>)
      .def_prop_ro("is_adapted", &peek<&Normalization::is_adapted>)
      .def_prop_ro("count", &get<&Normalization::count>)
      .def_prop_ro("axis", &given_axis)
      .def_prop_ro("dtype", &dtype)
      .def_prop_ro("axes", &peek<&Normalization::axes>)
      .def_prop_ro("rank", &peek<&Normalization::rank>)
      .def_prop_ro("names",
                   [](PyNormalization& self) {
                     return locked({&self.mutex}, [&] {
                       const bool learns = self.value.built() && !self.value.options().mean;
                       return learns ? self.value.moments().names() : std::vector<std::string>{};
                     });
                   })
      .def("statistics", &statistics, "wide"_a,
           "Mean, variance and divisor in broadcast shape, as float32 or float64.",
           nb::sig("def statistics(self, wide: bool) -> tuple[numpy.typing.NDArray[numpy.floating], "
                   "numpy.typing.NDArray[numpy.floating], numpy.typing.NDArray[numpy.floating]]"))
      .def("moments",
           [](PyNormalization& self) {
             return std::make_unique<PyMoments>(get<&Normalization::moments>(self));
           })
      .def("to_bytes",
           [](PyNormalization& self) {
             return to_bytes(locked({&self.mutex}, [&] { return to_cbor(self.value); }));
           })
      .def("save", [](PyNormalization& self, const nb::bytes& path) {
        locked({&self.mutex}, [&] { save(std::string(path.c_str(), path.size()), self.value); });
      });
  nb::class_<PyAdaptation>(module, "Adaptation", "exactnorm::Adaptation.")
      .def(nb::init<PyNormalization&>(), "layer"_a)
      .def("update", &PyAdaptation::update, "x"_a, "valid"_a.none() = nb::none(),
           "weights"_a.none() = nb::none(), "threads"_a = 0)
      .def("update_columns", &PyAdaptation::update_columns, "columns"_a, "weights"_a.none() = nb::none(),
           "threads"_a = 0)
      .def("update_array", &PyAdaptation::update_array, "column"_a, "weights"_a.none() = nb::none(),
           "threads"_a = 0)
      .def("try_update", &PyAdaptation::try_update, "x"_a.none(),
           "Whether x is a plain array, not a large one, and surely a batch; then it has been added.")
      .def("merge", &PyAdaptation::merge, "moments"_a)
      .def("set_names", &PyAdaptation::set_names, "names"_a)
      .def("moments", &PyAdaptation::moments)
      .def("commit", &PyAdaptation::commit);
  module.def("from_bytes", [](const nb::bytes& document) {
    const std::string_view text(document.c_str(), document.size());
    return locked({}, [&] { return wrap(from_bytes(text)); });
  });
  module.def("load", [](const nb::bytes& path) {
    const std::string name(path.c_str(), path.size());
    return locked({}, [&] { return wrap(load(name)); });
  });
}

}  // namespace exactnorm::python
