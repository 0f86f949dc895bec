#include <exactnorm/normalizer.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "float_bits.hpp"
#include "fp_environment.hpp"
#include "listed.hpp"
#include "scale.hpp"
#include "state_numbers.hpp"

namespace exactnorm {
namespace {

constexpr std::array<std::string_view, 3> constant_policy_names{"epsilon", "unit", "raise"};

void check_size(std::size_t size, const Shape& feature_shape, const char* what) {
  if (static_cast<std::int64_t>(size) != element_count(feature_shape)) {
    throw std::invalid_argument(std::string(what) + " needs " + std::to_string(element_count(feature_shape)) +
                                " values, one for each feature of shape " + to_string(feature_shape) +
                                ", got " + std::to_string(size));
  }
}

// Features of given numbers have no names.
std::string describe(const Shape& feature_shape, std::size_t feature) {
  return Moments(feature_shape).describe(feature);
}

template <class Describe>
void refuse_constant(const std::vector<bool>& constant, Describe&& describe) {
  std::vector<std::size_t> features;
  for (std::size_t i = 0; i < constant.size(); ++i) {
    if (constant[i]) {
      features.push_back(i);
    }
  }
  if (!features.empty()) {
    throw std::invalid_argument(
        "constant_policy is 'raise', and the variance is exactly 0 for " +
        listed(features.size(), [&](std::size_t i) { return describe(features[i]); }));
  }
}

template <class T>
Scale<T> read(const Moments& moments, const Reading& how, const NormalizerOptions& options,
              const std::vector<bool>& constant) {
  Scale<T> scale{moments.mean<T>(how), moments.variance<T>(how), {}};
  if (options.constant_policy == ConstantPolicy::unit) {
    scale.divisor = moments.std<T>(how);
    for (std::size_t i = 0; i < constant.size(); ++i) {
      if (constant[i]) {
        scale.divisor[i] = 1;
      }
    }
  } else {
    const FpEnvironment guard;
    scale.divisor = epsilon_divisors<T>(scale.variance, options.epsilon);
  }
  return scale;
}

// The correctly rounded root also of a variance that is a float64 number while T is float.
template <class T>
std::vector<T> unit_divisors(std::span<const double> variance) {
  std::vector<T> divisors;
  divisors.reserve(variance.size());
  for (const double v : variance) {
    divisors.push_back(is_zero(v) ? T{1}
                       : is_infinite(v)
                           ? std::numeric_limits<T>::infinity()
                           : rounded_sqrt_quotient<T>(ExactSum::from_double(v), ExactSum::from_integer(1)));
  }
  return divisors;
}

template <class T>
void check_scale(const Scale<T>& scale, const Shape& feature_shape) {
  check_size(scale.mean.size(), feature_shape, "mean");
  check_size(scale.variance.size(), feature_shape, "variance");
  check_size(scale.divisor.size(), feature_shape, "divisor");
  for (std::size_t i = 0; i < scale.mean.size(); ++i) {
    for (const auto& [number, what] :
         {std::pair{scale.variance[i], "variance"}, std::pair{scale.divisor[i], "divisor"}}) {
      if (is_negative(number)) {
        throw std::invalid_argument(std::string(what) + " of " + describe(feature_shape, i) +
                                    " must not be negative, got " + state::real_to_text(number));
      }
    }
  }
}

}  // namespace

std::string_view name_of(ConstantPolicy policy) noexcept {
  return constant_policy_names[static_cast<std::size_t>(policy)];
}

ConstantPolicy constant_policy_named(std::string_view name) {
  const auto* const found = std::find(constant_policy_names.begin(), constant_policy_names.end(), name);
  if (found == constant_policy_names.end()) {
    throw std::invalid_argument("constant_policy must be 'epsilon', 'unit' or 'raise', got '" +
                                std::string(name) + "'");
  }
  return static_cast<ConstantPolicy>(found - constant_policy_names.begin());
}

void check_epsilon(double epsilon) {
  if (is_negative(epsilon) || is_infinite(epsilon) || is_nan(epsilon)) {
    throw std::invalid_argument("epsilon must be finite and not negative, got " +
                                state::real_to_text(epsilon));
  }
}

Normalizer Normalizer::from(const Moments& moments, const NormalizerOptions& options) {
  check_epsilon(options.epsilon);
  const Reading how{options.nan_policy, options.inf_policy, 0};
  std::vector<bool> constant(moments.size());
  if (options.constant_policy != ConstantPolicy::epsilon) {
    // A NaN or infinity that propagates makes the variance NaN, not 0.
    constant = moments.constant_features();
    const std::vector<double> variance = moments.variance<double>(how);
    for (std::size_t i = 0; i < constant.size(); ++i) {
      constant[i] = constant[i] && !is_nan(variance[i]);
    }
    if (options.constant_policy == ConstantPolicy::raise) {
      refuse_constant(constant, [&](std::size_t i) { return moments.describe(i); });
    }
  }
  Normalizer result;
  result.shape_ = moments.shape();
  result.axis_ = options.axis;
  result.narrow_ = read<float>(moments, how, options, constant);
  result.wide_ = read<double>(moments, how, options, constant);
  return result;
}

Normalizer Normalizer::from(const Shape& feature_shape, std::span<const double> mean,
                            std::span<const double> variance, const NormalizerOptions& options) {
  check_epsilon(options.epsilon);
  check_size(mean.size(), feature_shape, "mean");
  check_size(variance.size(), feature_shape, "variance");
  std::vector<bool> constant(variance.size());
  for (std::size_t i = 0; i < variance.size(); ++i) {
    if (is_negative(variance[i]) || is_nan(variance[i])) {
      throw std::invalid_argument("variance of " + describe(feature_shape, i) +
                                  " must not be negative or NaN, got " + state::real_to_text(variance[i]));
    }
    constant[i] = is_zero(variance[i]);
  }
  if (options.constant_policy == ConstantPolicy::raise) {
    refuse_constant(constant, [&](std::size_t i) { return describe(feature_shape, i); });
  }
  Normalizer result;
  result.shape_ = feature_shape;
  result.axis_ = options.axis;
  result.given_ = true;
  result.wide_.mean.assign(mean.begin(), mean.end());
  result.wide_.variance.assign(variance.begin(), variance.end());
  const FpEnvironment guard;
  result.narrow_.mean = narrowed(mean);
  result.narrow_.variance = narrowed(variance);
  if (options.constant_policy == ConstantPolicy::unit) {
    result.narrow_.divisor = unit_divisors<float>(variance);
    result.wide_.divisor = unit_divisors<double>(variance);
  } else {
    result.narrow_.divisor = epsilon_divisors<float>(result.narrow_.variance, options.epsilon);
    result.wide_.divisor = epsilon_divisors<double>(result.wide_.variance, options.epsilon);
  }
  return result;
}

Normalizer Normalizer::from_parts(const Shape& feature_shape, Scale<float> narrow, Scale<double> wide,
                                  std::optional<Axes> axis) {
  check_scale(narrow, feature_shape);
  check_scale(wide, feature_shape);
  Normalizer result;
  result.shape_ = feature_shape;
  result.axis_ = std::move(axis);
  result.narrow_ = std::move(narrow);
  result.wide_ = std::move(wide);
  return result;
}

template <class T>
std::vector<std::size_t> Normalizer::overflowing_features() const {
  std::vector<std::size_t> features;
  const std::vector<T>& variance = scale<T>().variance;  // of learned ones infinite is too large
  for (std::size_t i = 0; i < variance.size(); ++i) {
    if (is_infinite(variance[i]) && !(given_ && is_infinite(wide_.variance[i]))) {
      features.push_back(i);
    }
  }
  return features;
}
template std::vector<std::size_t> Normalizer::overflowing_features<float>() const;
template std::vector<std::size_t> Normalizer::overflowing_features<double>() const;

Normalizer Normalizer::select(std::size_t feature) const {
  const auto one = [feature](const auto& scale) {
    return std::decay_t<decltype(scale)>{
        {scale.mean.at(feature)}, {scale.variance.at(feature)}, {scale.divisor.at(feature)}};
  };
  return from_parts({}, one(narrow_), one(wide_), {});
}

}  // namespace exactnorm
