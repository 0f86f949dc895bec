#pragma once
/// \file
/// Applying what was learned: (x - mean) / divisor, and back.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include <exactnorm/moments.hpp>

namespace exactnorm {

/// What to divide by. epsilon: max(sqrt(variance), epsilon). unit: 1 if the exact variance is 0, else the
/// correctly rounded standard deviation. raise: as epsilon, but a constant feature is an error.
enum class ConstantPolicy : std::uint8_t { epsilon, unit, raise };
std::string_view name_of(ConstantPolicy policy) noexcept;
/// Throws std::invalid_argument that lists the three.
ConstantPolicy constant_policy_named(std::string_view name);

struct NormalizerOptions {
  /// Which axes of the input are features; absent: the last rank(feature_shape) ones.
  std::optional<Axes> axis = {};
  Policy nan_policy = Policy::propagate;
  Policy inf_policy = Policy::propagate;
  ConstantPolicy constant_policy = ConstantPolicy::epsilon;
  double epsilon = 1e-7;
};

/// Throws std::invalid_argument if epsilon is negative or not finite.
void check_epsilon(double epsilon);

/// The numbers that an application in one compute type uses; a value for each feature, in C order.
template <class T>
struct Scale {
  std::vector<T> mean;
  std::vector<T> variance;
  std::vector<T> divisor;

  friend bool operator==(const Scale&, const Scale&) = default;
};

/// Immutable: the readings of some Moments at float32 and at float64 (each rounded once from the exact
/// numbers), and how to apply them.
///
///     auto norm = exactnorm::Normalizer::from(m, {.constant_policy = exactnorm::ConstantPolicy::unit});
///     norm.apply(in, out);  norm.inverse(out, in);
///
/// Safe to use from several threads at once.
class Normalizer {
 public:
  /// Reads the Moments. Throws std::invalid_argument naming the features for what a policy refuses, or for
  /// epsilon that is negative or not finite. A feature without a value reads NaN.
  static Normalizer from(const Moments& moments, const NormalizerOptions& options = {});
  /// From given numbers, one for each feature in C order; the float32 readings are these rounded once.
  /// nan_policy and inf_policy mean nothing here. Throws std::invalid_argument for another number of them,
  /// naming the feature for a negative or NaN variance and, with ConstantPolicy::raise, for one of 0.
  static Normalizer from(const Shape& feature_shape, std::span<const double> mean,
                         std::span<const double> variance, const NormalizerOptions& options = {});
  /// From the scales themselves, as a document holds them; what they were read from is not known any more.
  /// Throws std::invalid_argument if they do not have a value for each feature, or if a variance or divisor
  /// is negative.
  static Normalizer from_parts(const Shape& feature_shape, Scale<float> narrow, Scale<double> wide,
                               std::optional<Axes> axis);

  /// out = (in - mean) / divisor, rounded as contract.md, "Apply", says. Views of any strides and the same
  /// shape; out float16, bfloat16, float32 or float64; out may be in itself (the same elements, of the same
  /// size, in the same places), not overlap it otherwise. NaN stays NaN. Throws std::invalid_argument: with
  /// both shapes if the kept axes do not have the feature shape; other shapes or dtype of out; an out that
  /// repeats elements or overlaps in; a bad EXACTNORM_TARGET; negative threads or, where the arrays are large
  /// enough for threads, a bad EXACTNORM_NUM_THREADS. Nothing is written then. Cost: one pass; no memory
  /// unless several threads work, and about 50 ns for a contiguous sample of a few features.
  void apply(const TensorView& in, const MutableTensorView& out, int threads = 0) const;
  /// out = mean + in * divisor: a product, then a sum.
  void inverse(const TensorView& in, const MutableTensorView& out, int threads = 0) const;

  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] const std::optional<Axes>& axis() const noexcept { return axis_; }
  /// The float or double readings.
  template <class T>
  [[nodiscard]] const Scale<T>& scale() const noexcept {
    if constexpr (std::is_same_v<T, float>) {
      return narrow_;
    } else {
      return wide_;
    }
  }
  /// Features whose variance is finite but too large for T: it reads as infinity, and finite x normalises to
  /// 0.
  template <class T>
  [[nodiscard]] std::vector<std::size_t> overflowing_features() const;
  /// One feature alone, of shape (). Throws std::out_of_range.
  [[nodiscard]] Normalizer select(std::size_t feature) const;

 private:
  Normalizer() = default;

  Shape shape_;
  std::optional<Axes> axis_;
  Scale<float> narrow_;
  Scale<double> wide_;
  bool given_ = false;  // wide_'s mean and variance are the exact ones
};

/// The type apply computes in: float32 if that holds every value of `in` exactly and `out` is no wider, else
/// float64.
DType compute_type(DType in, DType out) noexcept;

}  // namespace exactnorm
