#include "grouped.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <exactnorm/state.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "moments.hpp"
#include "view.hpp"

namespace exactnorm::python {

using namespace nb::literals;

namespace {

using Key = std::variant<std::int64_t, std::string>;
using Dictionary = std::vector<std::string>;

/// The keys of some rows: integers, or numbers of strings in a list.
class PyKeys {
 public:
  PyKeys(const View& codes, std::optional<Dictionary> dictionary)
      : codes_(codes.tensor()), owner_(nb::find(codes)), dictionary_(std::move(dictionary)) {
    const DType dtype = dictionary_ ? DType::int32 : DType::int64;
    const bool contiguous = codes_.shape.size() == 1 && (codes_.shape[0] <= 1 || codes_.strides[0] == item());
    if (codes_.dtype != dtype || !contiguous ||
        reinterpret_cast<std::uintptr_t>(codes_.data) % size_of(dtype) != 0) {
      throw std::invalid_argument("expected keys in a contiguous array of " + std::string(name_of(dtype)));
    }
    if (dictionary_) {
      views_.assign(dictionary_->begin(), dictionary_->end());
    }
  }
  PyKeys(const PyKeys&) = delete;
  PyKeys& operator=(const PyKeys&) = delete;

  [[nodiscard]] std::int64_t rows() const { return codes_.shape[0]; }
  /// Of so many rows from the first.
  [[nodiscard]] RowKeys of_rows(std::int64_t first, std::int64_t count) const {
    if (first < 0 || count < 0 || first > rows() - count) {
      throw nb::index_error();
    }
    if (!dictionary_) {
      return span_of<std::int64_t>(first, count);
    }
    return DictionaryKeys{span_of<std::int32_t>(first, count), views_};
  }

 private:
  [[nodiscard]] std::int64_t item() const { return static_cast<std::int64_t>(size_of(codes_.dtype)); }
  template <class T>
  [[nodiscard]] std::span<const T> span_of(std::int64_t first, std::int64_t count) const {
    return {static_cast<const T*>(codes_.data) + first, static_cast<std::size_t>(count)};
  }

  TensorView codes_;
  nb::object owner_;
  std::optional<Dictionary> dictionary_;
  std::vector<std::string_view> views_;
};

UpdateOptions options_of(const View* where, const View* weights, const View* valid, int threads,
                         std::stop_token stop) {
  return {tensor_of(where), tensor_of(weights), tensor_of(valid), threads, std::move(stop)};
}

void update(PyGrouped& self, const View& x, const PyKeys& keys, std::int64_t first,
            const std::optional<Axes>& axis, const View* where, const View* weights, const View* valid,
            int threads) {
  const Shape& shape = x.tensor().shape;
  const RowKeys own = keys.of_rows(first, shape.empty() ? 0 : shape[0]);
  const std::int64_t bytes = byte_count(x.tensor()) + (shape.empty() ? 0 : shape[0] * 16);
  locked_watched(self.mutex, bytes, [&](const std::stop_token& stop) {
    self.value.update(x.tensor(), own, axis, options_of(where, weights, valid, threads, stop));
  });
}

void update_columns(PyGrouped& self, const std::vector<const TableColumn*>& columns, const PyKeys& keys,
                    std::int64_t first, const View* where, const View* weights, int threads) {
  const std::vector<Column> plain = columns_of(columns);
  const std::int64_t rows = columns.empty() ? 0 : columns.front()->rows();
  const RowKeys own = keys.of_rows(first, rows);
  locked_watched(self.mutex, byte_count(plain) + rows * 16, [&](const std::stop_token& stop) {
    self.value.update_columns(plain, own, options_of(where, weights, nullptr, threads, stop));
  });
}

template <class Act>
std::unique_ptr<PyGrouped> combined(PyGrouped& a, PyGrouped& b, Act act) {
  return std::make_unique<PyGrouped>(locked({&a.mutex, &b.mutex}, [&] {
    GroupedMoments result = a.value;
    act(result, b.value);
    return result;
  }));
}

std::unique_ptr<PyMoments> moments_of(PyGrouped& self, const Key& key) {
  return std::make_unique<PyMoments>(locked({&self.mutex}, [&] {
    return std::visit(
        [&]<class Own>(const Own& own) {
          if constexpr (std::is_same_v<Own, std::int64_t>) {
            return self.value.at(own);
          } else {
            return self.value.at(std::string_view(own));
          }
        },
        key);
  }));
}

/// Some features of some groups, as one Moments of shape (groups, features).
Moments stacked(const GroupedMoments& all, const std::vector<std::size_t>& groups,
                const std::vector<std::size_t>& features, std::vector<std::string> names) {
  std::vector<Feature> kept;
  std::vector<ExactSum> weights;
  kept.reserve(groups.size() * features.size());
  for (const std::size_t group : groups) {
    if (group >= all.size()) {
      throw nb::index_error();
    }
    for (const std::size_t feature : features) {
      if (feature >= all.features(group).size()) {
        throw nb::index_error();
      }
      kept.push_back(all.features(group)[feature]);
      if (all.weighted()) {
        weights.push_back(all.weights(group)[feature]);
      }
    }
  }
  const Shape shape{static_cast<std::int64_t>(groups.size()), static_cast<std::int64_t>(features.size())};
  return Moments::from_parts(shape, std::move(names), std::move(kept), std::move(weights));
}

bool contains(PyGrouped& self, const Key& key) {
  return locked_briefly(self.mutex, [&] {
    const auto* number = std::get_if<std::int64_t>(&key);
    return number != nullptr ? self.value.contains(*number)
                             : self.value.contains(std::string_view(*std::get_if<std::string>(&key)));
  });
}

}  // namespace

void bind_grouped(nb::module_& module) {
  const auto optional_view = [](const char* name) { return nb::arg(name).none() = nb::none(); };
  nb::class_<PyKeys>(module, "Keys", "Keys of rows: int64, or int32 numbers of strings in a dictionary.")
      .def(nb::init<const View&, std::optional<Dictionary>>(), "codes"_a, "dictionary"_a.none() = nb::none())
      .def_prop_ro("rows", &PyKeys::rows);
  nb::class_<PyGrouped>(module, "GroupedMoments", "exactnorm::GroupedMoments and a lock.")
      .def(
          "__init__",
          [](PyGrouped* self, const std::vector<std::int64_t>& shape, std::vector<std::string> names) {
            new (self) PyGrouped(GroupedMoments(shape_of(shape), std::move(names)));
          },
          "shape"_a, "names"_a)
      .def("update", &update, "x"_a, "keys"_a, "first"_a, "axis"_a.none(), optional_view("where"),
           optional_view("weights"), optional_view("valid"), "threads"_a = 0,
           "The rows of x have the keys from that of row `first`.")
      .def("update_columns", &update_columns, "columns"_a, "keys"_a, "first"_a, optional_view("where"),
           optional_view("weights"), "threads"_a = 0)
      .def("merge",
           [](PyGrouped& a, PyGrouped& b) {
             locked({&a.mutex, &b.mutex}, [&] { a.value.merge(b.value); });
           })
      .def(
          "take",
          [](PyGrouped& a, PyGrouped& b) {
            locked({&a.mutex, &b.mutex},
                   [&] { a.value.merge(std::exchange(b.value, GroupedMoments(b.value.shape()))); });
          },
          "As merge; the other may be empty afterwards.")
      .def("subtract",
           [](PyGrouped& a, PyGrouped& b) {
             locked({&a.mutex, &b.mutex}, [&] { a.value.subtract(b.value); });
           })
      .def("plus",
           [](PyGrouped& a, PyGrouped& b) {
             return combined(a, b, [](GroupedMoments& x, const GroupedMoments& y) { x.merge(y); });
           })
      .def("minus",
           [](PyGrouped& a, PyGrouped& b) {
             return combined(a, b, [](GroupedMoments& x, const GroupedMoments& y) { x.subtract(y); });
           })
      .def("equals",
           [](PyGrouped& a, PyGrouped& b) {
             return locked({&a.mutex, &b.mutex}, [&] { return a.value == b.value; });
           })
      .def("copy",
           [](PyGrouped& self) {
             return std::make_unique<PyGrouped>(locked({&self.mutex}, [&] { return self.value; }));
           })
      .def("__len__",
           [](PyGrouped& self) { return locked_briefly(self.mutex, [&] { return self.value.size(); }); })
      .def("contains", &contains, "key"_a)
      .def("moments", &moments_of, "key"_a, "Throws IndexError.")
      .def(
          "stack",
          [](PyGrouped& self, const std::vector<std::size_t>& groups,
             const std::vector<std::size_t>& features, std::vector<std::string> names) {
            return std::make_unique<PyMoments>(locked(
                {&self.mutex}, [&] { return stacked(self.value, groups, features, std::move(names)); }));
          },
          "groups"_a, "features"_a, "names"_a,
          "Some features of some groups, by their numbers: Moments of shape (groups, features).")
      .def("total",
           [](PyGrouped& self) {
             return std::make_unique<PyMoments>(locked({&self.mutex}, [&] { return self.value.total(); }));
           })
      .def("keys", [](PyGrouped& self) { return locked({&self.mutex}, [&] { return self.value.keys(); }); })
      .def_prop_ro(
          "shape",
          [](PyGrouped& self) {
            return to_tuple(locked_briefly(self.mutex, [&] { return self.value.shape(); }));
          },
          nb::sig("def shape(self) -> tuple[int, ...]"))
      .def_prop_ro("names",
                   [](PyGrouped& self) { return locked({&self.mutex}, [&] { return self.value.names(); }); })
      .def_prop_ro(
          "weighted",
          [](PyGrouped& self) { return locked({&self.mutex}, [&] { return self.value.weighted(); }); })
      .def_prop_ro("digest",
                   [](PyGrouped& self) { return locked({&self.mutex}, [&] { return digest(self.value); }); })
      .def("to_bytes",
           [](PyGrouped& self) {
             return to_bytes(locked({&self.mutex}, [&] { return to_cbor(self.value); }));
           })
      .def("save", [](PyGrouped& self, const nb::bytes& path) {
        const std::string name(path.c_str(), path.size());
        locked({&self.mutex}, [&] { save(name, self.value); });
      });
}

}  // namespace exactnorm::python
