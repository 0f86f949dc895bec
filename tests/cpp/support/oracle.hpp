#pragma once
/// \file
/// Moments an element at a time: every index of x by its own, every product by ExactSum's operator*.

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <exactnorm/moments.hpp>

#include "strided_array.hpp"

namespace oracle {

using exactnorm::DType;
using exactnorm::ExactSum;
using exactnorm::Feature;
using exactnorm::Moments;
using exactnorm::Shape;
using exactnorm::TensorView;
using exactnorm::UpdateOptions;

/// The double equal to a binary16, bfloat16 or float32 pattern, by the definition of the format.
inline double small_float(std::uint64_t bits, int exponent_bits, int fraction_bits) {
  const auto field = static_cast<int>(bits >> fraction_bits & ((1U << exponent_bits) - 1));
  const auto fraction = static_cast<double>(bits & ((1U << fraction_bits) - 1));
  const double sign = (bits >> (exponent_bits + fraction_bits)) != 0 ? -1 : 1;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  if (field == (1 << exponent_bits) - 1) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  const double hidden = field == 0 ? 0 : std::ldexp(1.0, fraction_bits);
  return sign * std::ldexp(hidden + fraction, (field == 0 ? 1 : field) - bias - fraction_bits);
}

/// An element: a float as a double, an integer exactly.
struct Element {
  double number = 0;  ///< of a float
  ExactSum exact;     ///< of anything finite
  bool finite = true;
};

inline Element element(DType dtype, const void* at) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, at, size_of(dtype));
  const auto integer = [](auto value) { return Element{0, ExactSum::from_integer(value)}; };
  const auto floating = [](double value) {
    return std::isfinite(value) ? Element{value, ExactSum::from_double(value)} : Element{value, {}, false};
  };
  switch (dtype) {
    case DType::float16:
      return floating(small_float(bits, 5, 10));
    case DType::bfloat16:
      return floating(small_float(bits, 8, 7));
    case DType::float32:
      return floating(small_float(bits, 8, 23));
    case DType::float64: {
      double value = 0;
      std::memcpy(&value, at, sizeof value);
      return floating(value);
    }
    case DType::int8:
      return integer(static_cast<std::int8_t>(bits));
    case DType::int16:
      return integer(static_cast<std::int16_t>(bits));
    case DType::int32:
      return integer(static_cast<std::int32_t>(bits));
    case DType::int64:
      return integer(static_cast<std::int64_t>(bits));
    case DType::boolean:
      return integer(bits != 0 ? 1 : 0);
    default:
      return Element{0, ExactSum::from_unsigned(bits)};
  }
}

inline const std::byte* address(const TensorView& view, const Shape& index) {
  const auto* at = static_cast<const std::byte*>(view.data);
  for (std::size_t axis = 0; axis < view.shape.size(); ++axis) {
    at += index[axis] * view.strides[axis];
  }
  return at;
}

/// What Moments of that data must be. kept is sorted. Preconditions: all arguments are right.
inline Moments moments(const TensorView& x, const exactnorm::Axes& kept, const UpdateOptions& options = {}) {
  const Shape shape = exactnorm::feature_shape(x.shape, kept);
  std::vector<Feature> features(static_cast<std::size_t>(element_count(shape)));
  std::vector<ExactSum> weights(options.weights ? features.size() : 0);
  const auto set = [](const std::optional<TensorView>& mask, const Shape& index) {
    return !mask || *address(*mask, index) != std::byte{0};
  };
  arrays::for_each_index(x.shape, [&](const Shape& index) {
    std::size_t i = 0;
    for (const int axis : kept) {
      const auto at = static_cast<std::size_t>(axis);
      i = i * static_cast<std::size_t>(x.shape[at]) + static_cast<std::size_t>(index[at]);
    }
    const ExactSum weight = options.weights
                                ? element(options.weights->dtype, address(*options.weights, index)).exact
                                : ExactSum::from_integer(1);
    if (!set(options.where, index) || weight.sign() == 0) {
      return;
    }
    exactnorm::Counts& counts = features[i].counts;
    if (!set(options.valid, index)) {
      ++counts.null;
      return;
    }
    const Element value = element(x.dtype, address(x, index));
    if (!value.finite) {
      ++(std::isnan(value.number) ? counts.nan : value.number > 0 ? counts.posinf : counts.neginf);
      return;
    }
    ++counts.finite;
    features[i].sum += weight * value.exact;
    features[i].sumsq += weight * (value.exact * value.exact);
    if (options.weights) {
      weights[i] += weight;
    }
  });
  return Moments::from_parts(shape, {}, std::move(features), std::move(weights));
}

inline std::string text(const Feature& feature) {
  const exactnorm::Counts& counts = feature.counts;
  return std::to_string(counts.finite) + " finite, " + std::to_string(counts.nan) + " nan, " +
         std::to_string(counts.posinf) + " inf, " + std::to_string(counts.neginf) + " -inf, " +
         std::to_string(counts.null) + " null, sum " + feature.sum.to_string() + ", sumsq " +
         feature.sumsq.to_string();
}

/// Equality that shows the first feature that differs.
inline ::testing::AssertionResult same(const Moments& actual, const Moments& expected) {
  if (actual == expected) {
    return ::testing::AssertionSuccess();
  }
  for (std::size_t i = 0; i < actual.size() && i < expected.size(); ++i) {
    if (actual.features()[i] != expected.features()[i]) {
      return ::testing::AssertionFailure() << actual.describe(i) << " has " << text(actual.features()[i])
                                           << "; expected " << text(expected.features()[i]);
    }
  }
  return ::testing::AssertionFailure() << "shape, names or weights differ";
}

}  // namespace oracle
