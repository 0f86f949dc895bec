#include <exactnorm/normalization.hpp>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "float_bits.hpp"
#include "given_values.hpp"
#include "listed.hpp"
#include "state_numbers.hpp"

namespace exactnorm {
namespace {

// As Python prints it, None for unknown extents.
std::string shape_text(const Shape& shape) {
  std::string text = to_string(shape);
  for (std::size_t at = 0; (at = text.find("-1", at)) != std::string::npos;) {
    text.replace(at, 2, "None");
  }
  return text;
}

std::int64_t total(const Counts& counts) {
  std::int64_t sum = counts.finite;
  for (const std::int64_t count : {counts.nan, counts.posinf, counts.neginf, counts.null}) {
    sum += std::min(count, std::numeric_limits<std::int64_t>::max() - sum);
  }
  return sum;
}

// Makes room first, so that moving the texts in cannot fail.
void append(std::vector<std::string>& texts, std::vector<std::string> more) {
  texts.reserve(texts.size() + more.size());
  for (std::string& text : more) {
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) {
      texts.push_back(std::move(text));
    }
  }
}

}  // namespace

// ---- construction and build

Normalization::Normalization(NormalizationOptions options) : options_(std::move(options)) {
  if (options_.mean) {
    check_given(*options_.mean, "mean");
  }
  if (options_.variance) {
    check_given(*options_.variance, "variance");
    const std::vector<double>& variance = options_.variance->values;
    for (std::size_t i = 0; i < variance.size(); ++i) {
      if (is_nan(variance[i]) || is_negative(variance[i])) {
        throw std::invalid_argument("variance must not be negative or NaN; value " + std::to_string(i) +
                                    " is " + state::real_to_text(variance[i]));
      }
    }
  }
  if (options_.mean.has_value() != options_.variance.has_value()) {
    const auto text = [](const std::optional<GivenValues>& given) {
      return given ? to_string(*given) : "None";
    };
    throw std::invalid_argument("when values are given, both `mean` and `variance` must be set; got mean " +
                                text(options_.mean) + " and variance " + text(options_.variance));
  }
  check_epsilon(options_.epsilon);
  if (!is_floating(options_.dtype)) {
    throw std::invalid_argument("dtype must be float16, bfloat16, float32 or float64, got " +
                                std::string(name_of(options_.dtype)));
  }
}

NormalizerOptions Normalization::normalizer_options(const Axes& axes) const {
  return {.axis = axes,
          .nan_policy = options_.nan_policy,
          .inf_policy = options_.inf_policy,
          .constant_policy = options_.constant_policy,
          .epsilon = options_.epsilon};
}

Normalization::State Normalization::built_for(const Shape& input_shape, Warnings& warnings) const {
  if (std::any_of(input_shape.begin(), input_shape.end(), [](std::int64_t extent) { return extent < -1; })) {
    throw std::invalid_argument("extents must be -1 (unknown) or not negative, got shape " +
                                to_string(input_shape));
  }
  const Axes given = options_.axis.value_or(Axes{});
  Axes kept = kept_axes(given, input_shape.size());
  for (const int axis : kept) {
    if (input_shape[static_cast<std::size_t>(axis)] < 0) {
      throw std::invalid_argument(
          "all `axis` values to be kept must have known extents; got axis (" +
          listed(given.size(), [&](std::size_t i) { return std::to_string(given[i]); }) +
          ") and input shape " + shape_text(input_shape) + ", whose extent at index " + std::to_string(axis) +
          " is unknown");
    }
  }
  if (input_shape.size() == 1 && !kept.empty() && !options_.mean) {
    warnings.push_back(
        with_name("axis " + std::to_string(given[0]) + " of 1-d data makes each of the " +
                  std::to_string(input_shape[0]) +
                  " indices a feature of its own; axis=None gives one mean and variance of all values"));
  }
  const Shape features = exactnorm::feature_shape(input_shape, kept);
  const auto size = static_cast<std::size_t>(element_count(features));
  const std::vector<double> mean =
      options_.mean ? broadcast(*options_.mean, features, "mean") : std::vector(size, 0.0);
  const std::vector<double> variance =
      options_.mean ? broadcast(*options_.variance, features, "variance") : std::vector(size, 1.0);
  Normalizer normalizer = Normalizer::from(features, mean, variance, normalizer_options(kept));
  State state{input_shape.size(), std::move(kept), Moments(features), std::move(normalizer), false};
  warn_of_overflow(state, warnings);
  return state;
}

// The state as built, with nothing learned.
Normalization::State Normalization::fresh_for(const Shape& input_shape, Warnings& warnings) const {
  if (!state_) {
    return built_for(input_shape, warnings);
  }
  check_fit(*state_, input_shape);
  return {state_->rank, state_->axes, Moments(state_->moments.shape()), state_->normalizer, false};
}

// What built the layer: the reduced extents are not known any more.
Shape Normalization::built_shape(const State& state) {
  Shape shape;
  auto kept = state.axes.begin();
  for (std::size_t i = 0; i < state.rank; ++i) {
    const bool is_kept = kept != state.axes.end() && static_cast<std::size_t>(*kept) == i;
    shape.push_back(is_kept ? state.moments.shape()[static_cast<std::size_t>(kept++ - state.axes.begin())]
                            : -1);
  }
  return shape;
}

void Normalization::check_fit(const State& state, const Shape& shape) const {
  const Shape built = built_shape(state);
  bool fits = shape.size() == built.size();
  for (std::size_t i = 0; fits && i < built.size(); ++i) {
    fits = built[i] < 0 || shape[i] == built[i];
  }
  if (!fits) {
    throw std::invalid_argument(with_name("the layer was built for inputs of shape " + shape_text(built) +
                                          ", got shape " + shape_text(shape)));
  }
}

void Normalization::build(const Shape& input_shape) {
  if (state_) {
    check_fit(*state_, input_shape);
    return;
  }
  Warnings warnings;
  State state = built_for(input_shape, warnings);
  adopt(std::move(state), std::move(warnings));
}

void Normalization::adopt(State state, Warnings warnings) {
  static_assert(std::is_nothrow_move_constructible_v<State> && std::is_nothrow_move_assignable_v<State>);
  append(warnings_, std::move(warnings));
  state_ = std::move(state);
}

const Normalization::State& Normalization::state() const {
  if (!state_) {
    throw std::logic_error(with_name("the layer is not built: call build, adapt or the layer first"));
  }
  return *state_;
}

// ---- learning

void Normalization::require_learning(std::string_view what) const {
  if (options_.mean) {
    throw std::invalid_argument(
        "Cannot `" + std::string(what) +
        "` a Normalization layer that is initialized with static `mean` and `variance`, you passed mean " +
        to_string(*options_.mean) + " and variance " + to_string(*options_.variance));
  }
}

void Normalization::adapt(const TensorView& x, const UpdateOptions& options) {
  Adaptation adaptation(*this);
  adaptation.update(x, options);
  adaptation.commit();
}

void Normalization::require_update_state() const {
  require_learning("adapt");  // Keras 2.7's word here too
  if (!state_) {
    throw std::logic_error(with_name("`build` must be called before `update_state`"));
  }
}

void Normalization::update_state(const TensorView& x, const UpdateOptions& options) {
  require_update_state();
  check_fit(*state_, x.shape);
  state_->moments.update(x, state_->axes, options);
}

void Normalization::update_state(const Moments& moments) {
  require_update_state();
  state_->moments.merge(moments);
}

void Normalization::finalize(State& state, Warnings& warnings) const {
  const Moments& moments = state.moments;
  if (moments.empty()) {
    const std::vector<double> zeros(moments.size(), 0);
    const std::vector<double> ones(moments.size(), 1);
    state.normalizer = Normalizer::from(moments.shape(), zeros, ones, normalizer_options(state.axes));
    return;
  }
  Normalizer normalizer = Normalizer::from(moments, normalizer_options(state.axes));
  const std::vector<std::size_t> empty =
      moments.empty_features({options_.nan_policy, options_.inf_policy, 0});
  if (!empty.empty()) {
    throw std::invalid_argument(
        with_name("there is no value to learn from for " +
                  listed(empty.size(), [&](std::size_t i) { return moments.describe(empty[i]); })));
  }
  state.normalizer = std::move(normalizer);
  warn_of_propagation(state, warnings);
  warn_of_overflow(state, warnings);
}

void Normalization::finalize_state() {
  if (!state_ || options_.mean) {
    return;
  }
  Warnings warnings;
  finalize(*state_, warnings);  // changes its normalizer, last
  append(warnings_, std::move(warnings));
}

void Normalization::reset_state() {
  if (!state_ || options_.mean) {
    return;
  }
  state_->moments = Moments(state_->moments.shape(), state_->moments.names());
  state_->adapted = false;
}

void Normalization::merge_state(std::span<const Normalization* const> others) {
  require_learning("merge_state");
  for (std::size_t i = 0; i < others.size(); ++i) {
    if (others[i]->options_.mean) {
      throw std::invalid_argument(with_name("layer " + std::to_string(i) +
                                            " to merge was given mean and variance: it has learned nothing"));
    }
    if (!others[i]->state_) {
      throw std::logic_error(with_name("layer " + std::to_string(i) + " to merge is not built"));
    }
  }
  if (!state_ && others.empty()) {
    return;
  }
  Warnings warnings;
  State next = state_ ? *state_ : built_for(built_shape(*others[0]->state_), warnings);
  for (std::size_t i = 0; i < others.size(); ++i) {
    const State& other = *others[i]->state_;
    if (built_shape(other) != built_shape(next) || other.axes != next.axes) {
      throw std::invalid_argument(
          with_name("layer " + std::to_string(i) + " to merge keeps other axes: it was built for shape " +
                    shape_text(built_shape(other)) + ", this layer for " + shape_text(built_shape(next))));
    }
    next.moments.merge(other.moments);
  }
  next.adapted = next.adapted || !next.moments.empty();
  finalize(next, warnings);
  adopt(std::move(next), std::move(warnings));
}

void Normalization::forget(const Moments& moments) {
  require_learning("forget");
  Warnings warnings;
  State next = state();
  next.moments.subtract(moments);
  next.adapted = next.adapted && !next.moments.empty();
  finalize(next, warnings);
  adopt(std::move(next), std::move(warnings));
}

void Normalization::forget(const TensorView& x, const UpdateOptions& options) {
  require_learning("forget");
  check_fit(state(), x.shape);
  Moments gone(state_->moments.shape());
  gone.update(x, state_->axes, options);
  forget(gone);
}

// ---- calls

Shape Normalization::call_shape(const State& state, const Shape& input_shape) const {
  if (input_shape.empty() && state.rank == 1 && state.axes.empty()) {
    return {1};
  }
  check_fit(state, input_shape);
  return input_shape;
}

Shape Normalization::prepare_call(const Shape& input_shape) {
  if (!state_) {
    build(input_shape);
  }
  return call_shape(*state_, input_shape);
}

bool Normalization::is_identity(const State& state) const {
  const Scale<double>& scale = state.normalizer.scale<double>();
  return !options_.mean && !state.adapted &&
         std::all_of(scale.mean.begin(), scale.mean.end(), is_zero<double>) &&
         std::all_of(scale.variance.begin(), scale.variance.end(),
                     [](double v) { return magnitude_bits(v) == magnitude_bits(1.0); });
}

void Normalization::call(const TensorView& in, const MutableTensorView& out, bool invert, int threads) {
  Warnings warnings;
  std::optional<State> fresh;
  if (!state_) {
    fresh = built_for(in.shape, warnings);
  }
  const State& state = fresh ? *fresh : *state_;
  TensorView x = in;
  x.shape = call_shape(state, in.shape);
  if (x.shape.size() != in.shape.size()) {
    x.strides = contiguous_strides(x.shape, x.dtype);  // the scalar as an array of one element
  }
  const bool identity = !warned_identity_ && is_identity(state);
  if (identity) {
    warnings.push_back(
        with_name("the layer is not adapted and was given no mean and variance: the call returns its input"));
  }
  if (invert) {
    state.normalizer.inverse(x, out, threads);
  } else {
    state.normalizer.apply(x, out, threads);
  }
  append(warnings_, std::move(warnings));
  warned_identity_ = warned_identity_ || identity;
  if (fresh) {
    state_ = std::move(fresh);
  }
}

void Normalization::operator()(const TensorView& in, const MutableTensorView& out, int threads) {
  call(in, out, options_.invert, threads);
}

void Normalization::inverse(const TensorView& in, const MutableTensorView& out, int threads) {
  call(in, out, !options_.invert, threads);
}

// ---- what is known

bool Normalization::is_adapted() const noexcept { return state_ && state_->adapted; }

std::int64_t Normalization::count() const noexcept {
  std::int64_t most = 0;
  if (state_) {
    for (const Feature& feature : state_->moments.features()) {
      most = std::max(most, total(feature.counts));
    }
  }
  return most;
}

const Axes& Normalization::axes() const { return state().axes; }
std::size_t Normalization::rank() const { return state().rank; }
const Shape& Normalization::feature_shape() const { return state().moments.shape(); }
const Normalizer& Normalization::normalizer() const { return state().normalizer; }

Shape Normalization::broadcast_shape() const {
  Shape shape;
  for (const std::int64_t extent : built_shape(state())) {
    shape.push_back(extent < 0 ? 1 : extent);
  }
  return shape;
}

const Moments& Normalization::moments() const {
  const Moments& moments = state().moments;
  if (options_.mean) {
    throw std::logic_error(with_name("the layer was given mean and variance: it has learned nothing"));
  }
  return moments;
}

std::vector<std::string> Normalization::take_warnings() { return std::exchange(warnings_, {}); }

std::string Normalization::with_name(const std::string& message) const {
  return options_.name.empty() ? message : "Normalization layer '" + options_.name + "': " + message;
}

Normalization Normalization::from_parts(NormalizationOptions options, std::size_t rank, Axes axes,
                                        Normalizer normalizer, std::optional<Moments> moments, bool adapted) {
  Normalization layer(std::move(options));
  const Shape& features = normalizer.shape();
  if (rank > max_rank || axes != kept_axes(layer.options_.axis.value_or(Axes{}), rank) ||
      axes.size() != features.size() || normalizer.axis() != axes) {
    throw std::invalid_argument(
        "rank and axes do not agree with the layer's axis and with the readings, of shape " +
        to_string(features));
  }
  if (moments.has_value() == layer.options_.mean.has_value() || (adapted && !moments)) {
    throw std::invalid_argument("a layer has either learned Moments or a given mean and variance");
  }
  if (moments && moments->shape() != features) {
    throw std::invalid_argument("the Moments have shape " + to_string(moments->shape()) + ", the readings " +
                                to_string(features));
  }
  Moments learned = moments ? std::move(*moments) : Moments(features);
  layer.state_ = State{rank, std::move(axes), std::move(learned), std::move(normalizer), adapted};
  return layer;
}

}  // namespace exactnorm
