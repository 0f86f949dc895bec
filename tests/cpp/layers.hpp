#pragma once
/// \file
/// Short words for tests of Normalization.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <exactnorm/normalization.hpp>

namespace exactnorm {

using Floats = std::vector<float>;
using Invalid = std::invalid_argument;

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr float nan_float = std::numeric_limits<float>::quiet_NaN();
inline constexpr float inf_float = std::numeric_limits<float>::infinity();

inline GivenValues scalar(double value) { return {{}, {value}}; }
inline GivenValues list(std::vector<double> values) {
  return {{static_cast<std::int64_t>(values.size())}, std::move(values)};
}

template <class T>
TensorView array(const std::vector<T>& values, const Shape& shape) {
  return contiguous(values.data(), shape);
}
inline TensorView table(const Floats& values, std::int64_t features) {
  return contiguous(values.data(), {static_cast<std::int64_t>(values.size()) / features, features});
}

template <class T>
Floats call(Normalization& layer, const std::vector<T>& values, const Shape& shape, bool inverse = false) {
  const Shape out_shape = layer.prepare_call(shape);
  Floats out(static_cast<std::size_t>(element_count(out_shape)), -99);
  if (inverse) {
    layer.inverse(array(values, shape), contiguous(out.data(), out_shape));
  } else {
    layer(array(values, shape), contiguous(out.data(), out_shape));
  }
  return out;
}

/// Everything that one can see of a layer; warnings apart, since looking takes them away.
struct Look {
  bool built;
  bool adapted;
  std::int64_t count;
  std::size_t rank = 0;
  Axes axes = {};
  Moments moments = Moments();
  Scale<float> narrow = {};
  Scale<double> wide = {};

  explicit Look(const Normalization& layer)
      : built(layer.built()), adapted(layer.is_adapted()), count(layer.count()) {
    if (built) {
      rank = layer.rank();
      axes = layer.axes();
      moments = layer.options().mean ? Moments() : layer.moments();
      narrow = layer.normalizer().scale<float>();
      wide = layer.normalizer().scale<double>();
    }
  }
  friend bool operator==(const Look&, const Look&) = default;
};

/// f throws that and leaves the layer, its warnings included, as it was.
template <class Error>
void expect_refused(Normalization& layer, const std::function<void()>& f, const std::string& message) {
  const Look before(layer);
  layer.take_warnings();
  EXPECT_THAT(f, ::testing::ThrowsMessage<Error>(::testing::HasSubstr(message)));
  EXPECT_EQ(Look(layer), before);
  EXPECT_THAT(layer.take_warnings(), ::testing::IsEmpty());
}
inline const Floats three_columns{0, 7, 4, 2, 9, 6, 0, 7, 4, 2, 9, 6};

}  // namespace exactnorm
