#include <exactnorm/normalizer.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "apply.hpp"
#include "block_plan.hpp"
#include "float_bits.hpp"
#include "fp_environment.hpp"
#include "listed.hpp"
#include "overlap.hpp"
#include "parallel.hpp"
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

// The kept axes of an input of this shape. Throws std::invalid_argument if their extents are not the
// features'.
AxisSet check_axes(const Shape& shape, const Shape& feature_shape, const std::optional<Axes>& axis) {
  const std::size_t rank = shape.size();
  AxisSet kept = 0;
  if (axis) {
    for (const int given : *axis) {
      const std::size_t i = static_cast<std::size_t>(given) + (given < 0 ? rank : 0);
      if (i >= rank || (kept >> i & 1) != 0) {
        static_cast<void>(kept_axes(*axis, rank));  // throws
      }
      kept |= AxisSet{1} << i;
    }
  } else if (rank >= feature_shape.size()) {
    kept = static_cast<AxisSet>(((std::uint64_t{1} << feature_shape.size()) - 1)
                                << (rank - feature_shape.size()));
  }
  std::size_t features = 0;
  bool equal = true;
  for (std::size_t i = 0; i < rank; ++i) {
    if ((kept >> i & 1) != 0) {
      equal &= features < feature_shape.size() && shape[i] == feature_shape[features];
      ++features;
    }
  }
  if (!equal || features != feature_shape.size()) {
    throw std::invalid_argument("the input has shape " + to_string(shape) +
                                ", whose kept axes do not have the feature shape " +
                                to_string(feature_shape));
  }
  return kept;
}

// Throws std::invalid_argument for what apply cannot take.
void check_views(const TensorView& in, const MutableTensorView& out) {
  if (!is_floating(out.dtype)) {
    throw std::invalid_argument("out must be float16, bfloat16, float32 or float64, got " +
                                std::string(name_of(out.dtype)));
  }
  if (in.shape != out.shape) {
    throw std::invalid_argument("out must have the shape of the input, " + to_string(in.shape) + ", got " +
                                to_string(out.shape));
  }
  const std::size_t rank = in.shape.size();
  if (in.strides.size() != rank || out.strides.size() != rank) {
    throw std::invalid_argument("a view of shape " + to_string(in.shape) + " needs as many strides, got " +
                                to_string(in.strides) + " and, for out, " + to_string(out.strides));
  }
}

// The same of views that have elements.
void check_memory(const TensorView& in, const MutableTensorView& out) {
  if (in.data == nullptr || out.data == nullptr) {
    throw std::invalid_argument("a view of shape " + to_string(in.shape) + " needs data, got a null pointer");
  }
  for (std::size_t i = 0; i < out.shape.size(); ++i) {
    if (out.shape[i] > 1 && out.strides[i] == 0) {
      throw std::invalid_argument("out must not repeat elements: its stride on axis " + std::to_string(i) +
                                  " is 0");
    }
  }
  if (!same_elements(in, out) && may_overlap(in, out)) {
    throw std::invalid_argument(
        "out overlaps the input: it may only be the same elements, in the same places and of the same "
        "size");
  }
}

template <class T>
void run_blocks(const Application<T>& application, int threads) {
  const std::int64_t blocks = application.plan.blocks();
  if (threads <= 1) {
    const FpEnvironment guard;
    apply_blocks(application, 0, blocks);
    return;
  }
  constexpr std::int64_t share = 64;  // blocks: large against taking a share, small against the whole
  std::atomic<std::int64_t> next = 0;
  run_workers(static_cast<int>(std::min<std::int64_t>(threads, (blocks + share - 1) / share)), [&](int) {
    const FpEnvironment guard;
    for (std::int64_t first = 0; (first = next.fetch_add(share, std::memory_order_relaxed)) < blocks;) {
      apply_blocks(application, first, std::min(first + share, blocks));
    }
  });
}

void run(const Normalizer& normalizer, const TensorView& in, const MutableTensorView& out,
         Direction direction, int threads) {
  constexpr std::int64_t enough_for_threads = 256 << 10;  // bytes read and written
  // An output that no last-level cache would keep.
  constexpr std::int64_t enough_for_streaming = 32 << 20;
  check_views(in, out);
  const AxisSet kept = check_axes(in.shape, normalizer.shape(), normalizer.axis());
  const std::int64_t elements = element_count(in.shape);
  if (elements > 0) {
    check_memory(in, out);
  }
  const auto in_bytes = elements * static_cast<std::int64_t>(size_of(in.dtype));
  const auto out_bytes = elements * static_cast<std::int64_t>(size_of(out.dtype));
  const bool small = in_bytes + out_bytes < enough_for_threads;
  threads = small && threads >= 0 ? 1 : resolve_threads(threads);

  const BlockPlan plan(in.shape, in.strides, out.strides, kept);
  const auto start = [&](const auto& scale) {
    using T = typename std::decay_t<decltype(scale.mean)>::value_type;
    run_blocks<T>(
        {plan, static_cast<const std::byte*>(in.data), in.dtype, static_cast<std::byte*>(out.data), out.dtype,
         scale, direction, out_bytes >= enough_for_streaming && in.data != out.data, kernels::apply_table()},
        threads);
  };
  if (compute_type(in.dtype, out.dtype) == DType::float32) {
    start(normalizer.scale<float>());
  } else {
    start(normalizer.scale<double>());
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

DType compute_type(DType in, DType out) noexcept {
  switch (in) {
    case DType::float64:
    case DType::int32:
    case DType::int64:
    case DType::uint32:
    case DType::uint64:
      return DType::float64;
    default:
      return out == DType::float64 ? DType::float64 : DType::float32;
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

void Normalizer::apply(const TensorView& in, const MutableTensorView& out, int threads) const {
  run(*this, in, out, Direction::normalize, threads);
}

void Normalizer::inverse(const TensorView& in, const MutableTensorView& out, int threads) const {
  run(*this, in, out, Direction::invert, threads);
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
