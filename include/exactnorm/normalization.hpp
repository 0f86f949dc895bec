#pragma once
/// \file
/// The semantics of tf.keras.layers.Normalization, 2.7's and 3's, without Keras: docs/from-keras.md lists
/// them point by point.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <exactnorm/moments.hpp>
#include <exactnorm/normalizer.hpp>

namespace exactnorm {

/// A given mean or variance: values in C order over shape (() for a scalar).
struct GivenValues {
  Shape shape;
  std::vector<double> values;

  friend bool operator==(const GivenValues&, const GivenValues&) = default;
};

struct NormalizationOptions {
  /// What the user gave: absent for None, one element for an int too (see axis_is_list).
  std::optional<Axes> axis = Axes{-1};
  bool axis_is_list = false;  ///< axis was a list: get_config gives back what came
  /// Both or none. Broadcast to the feature shape at build, as numpy does; leading extents of 1 may be too
  /// many.
  std::optional<GivenValues> mean = {};
  std::optional<GivenValues> variance = {};
  bool invert = false;
  double epsilon = 1e-7;
  /// Of outputs (float16, bfloat16, float32 or float64), for those who allocate them; calls write whatever
  /// out is.
  DType dtype = DType::float32;
  Policy nan_policy = Policy::propagate;
  Policy inf_policy = Policy::propagate;
  ConstantPolicy constant_policy = ConstantPolicy::epsilon;
  std::string name = {};  ///< begins the layer's warnings
};

/// A layer that learns and applies.
///
///     exactnorm::Normalization layer;                       // axis = -1
///     layer.adapt(exactnorm::rows(ptr, n_rows, 3));
///     layer(view, out);
///
/// Calls use the statistics of the last finalize_state (adapt, merge_state and forget end with one; a loaded
/// layer has those it was saved with). Before that, and when neither adapted nor given a mean, a call is the
/// identity. A failed call of any member leaves the layer as it was.
///
/// A layer that was given mean and variance learns nothing: adapt, update_state, merge_state and forget throw
/// std::invalid_argument, finalize_state and reset_state do nothing.
///
/// Const methods are safe concurrently, and one writer at a time; calls are writers too (they may build and
/// warn), normalizer().apply is not.
class Normalization {
 public:
  /// Throws std::invalid_argument: only one of mean and variance given, values that do not fill their shape,
  /// a negative or NaN variance, a bad epsilon or dtype.
  explicit Normalization(NormalizationOptions options = {});

  /// Fixes rank and kept extents; -1 is an unknown extent (not allowed on a kept axis). Building again with a
  /// fitting shape changes nothing. Throws std::invalid_argument: axis out of range or twice, unknown kept
  /// extent, given values that do not broadcast or that a policy refuses; with both shapes, if built
  /// otherwise.
  void build(const Shape& input_shape);
  [[nodiscard]] bool built() const noexcept { return state_.has_value(); }

  /// Forgets everything, names included, learns x, and uses it. Builds if need be. For a stream of batches
  /// see Adaptation. Throws std::invalid_argument: another shape than built for, no value in x, naming the
  /// features without any, and as Normalizer::from.
  void adapt(const TensorView& x, const UpdateOptions& options = {});
  /// Learns x on top of what is known; calls see it after finalize_state. Throws std::logic_error if not
  /// built, std::invalid_argument with both shapes if built otherwise, and as Moments::update.
  void update_state(const TensorView& x, const UpdateOptions& options = {});
  /// Adds what these Moments have learned, as if update_state had seen their data. Throws as update_state and
  /// as Moments::merge.
  void update_state(const Moments& moments);
  /// Makes calls use what has been learned; the identity if that is nothing. No effect before build. Does not
  /// change is_adapted. Throws std::invalid_argument naming the features without any value, and as
  /// Normalizer::from.
  void finalize_state();
  /// Forgets what was learned; calls keep the statistics they have until finalize_state. No effect before
  /// build.
  void reset_state();
  /// Adds what other layers have learned, and finalizes; the layer is adapted then, unless nobody has learned
  /// anything. Builds if need be, as the first other is. Throws std::invalid_argument for other axes, rank or
  /// feature shape, for a layer that was given mean and variance, and as Moments::merge and finalize_state;
  /// std::logic_error for an other that is not built.
  void merge_state(std::span<const Normalization* const> others);
  /// Takes away what this layer has learned from these data, and finalizes; if nothing is left, the layer is
  /// not adapted any more. Throws std::logic_error if not built, and as Moments::subtract and finalize_state.
  void forget(const Moments& moments);
  void forget(const TensorView& x, const UpdateOptions& options = {});

  /// The shape of the result for this input, which must have the built rank and kept extents; only reduced
  /// axes may differ. (Rank 0 into an axis=None layer built at rank 1 gives (1,).) Builds if need be. Throws
  /// std::invalid_argument with both shapes.
  Shape prepare_call(const Shape& input_shape);
  /// Normalises, or inverts if options().invert. out has the shape of prepare_call(in.shape), and may be in;
  /// for the rest see Normalizer::apply.
  void operator()(const TensorView& in, const MutableTensorView& out, int threads = 0);
  /// The opposite direction of a call.
  void inverse(const TensorView& in, const MutableTensorView& out, int threads = 0);

  [[nodiscard]] const NormalizationOptions& options() const noexcept { return options_; }
  /// True after adapt, merge_state, and loading an adapted layer; false after reset_state. update_state and
  /// finalize_state do not change it.
  [[nodiscard]] bool is_adapted() const noexcept;
  /// Elements seen per feature, of all kinds (Keras 2.7's `count`), of the feature that has most; 0 before
  /// build and with a given mean.
  [[nodiscard]] std::int64_t count() const noexcept;
  /// The kept axes, sorted and non-negative. Throws std::logic_error if not built, as do all that follow.
  [[nodiscard]] const Axes& axes() const;
  [[nodiscard]] std::size_t rank() const;
  [[nodiscard]] const Shape& feature_shape() const;
  /// The built rank with the kept extents, 1 elsewhere: the shape of Keras's layer.mean.
  [[nodiscard]] Shape broadcast_shape() const;
  /// What calls use.
  [[nodiscard]] const Normalizer& normalizer() const;
  /// What has been learned. Throws std::logic_error with a given mean too.
  [[nodiscard]] const Moments& moments() const;

  /// Messages for the user since the last take, each once: a NaN or infinity that propagates, a variance too
  /// large for the type that calls with inputs of options().dtype compute in, 1-d data whose every index
  /// becomes a feature, a first call that is the identity. The library prints nothing.
  std::vector<std::string> take_warnings();

  /// A built layer, as a document holds it (state.hpp): moments are absent if and only if mean and variance
  /// were given, and normalizer.axis() is axes. Throws std::invalid_argument for parts that no layer has.
  static Normalization from_parts(NormalizationOptions options, std::size_t rank, Axes axes,
                                  Normalizer normalizer, std::optional<Moments> moments, bool adapted);

 private:
  friend class Adaptation;
  struct State {
    std::size_t rank = 0;
    Axes axes;
    Moments moments;  // never any value with a given mean
    Normalizer normalizer;
    bool adapted = false;
  };
  using Warnings = std::vector<std::string>;

  [[nodiscard]] NormalizerOptions normalizer_options(const Axes& axes) const;
  [[nodiscard]] State built_for(const Shape& input_shape, Warnings& warnings) const;
  [[nodiscard]] State fresh_for(const Shape& input_shape, Warnings& warnings) const;
  static Shape built_shape(const State& state);
  void check_fit(const State& state, const Shape& shape) const;
  void adopt(State state, Warnings warnings);
  [[nodiscard]] const State& state() const;

  void require_learning(std::string_view what) const;
  void require_update_state() const;
  void finalize(State& state, Warnings& warnings) const;
  void warn_of_propagation(const State& state, Warnings& warnings) const;
  void warn_of_overflow(const State& state, Warnings& warnings) const;

  [[nodiscard]] Shape call_shape(const State& state, const Shape& input_shape) const;
  [[nodiscard]] bool is_identity(const State& state) const;
  void call(const TensorView& in, const MutableTensorView& out, bool invert, int threads);

  [[nodiscard]] std::string with_name(const std::string& message) const;

  NormalizationOptions options_;
  std::optional<State> state_;
  Warnings warnings_;
  bool warned_identity_ = false;
};

/// One adapt over a stream of batches. Learns into fresh Moments: the layer changes in commit() alone.
///
///     exactnorm::Adaptation adaptation(layer);
///     while (auto batch = next()) adaptation.update(*batch);
///     adaptation.commit();
class Adaptation {
 public:
  /// Throws std::invalid_argument if the layer was given mean and variance. The layer must outlive this.
  explicit Adaptation(Normalization& layer);

  /// Throws std::invalid_argument with both shapes if the batch does not fit the layer or the batches before,
  /// and as Normalization::build and Moments::update.
  void update(const TensorView& batch, const UpdateOptions& options = {});
  /// A batch of a table: (rows, features). The layer's axis must keep the features or nothing: -1, 1 or None.
  void update_columns(std::span<const Column> columns, const UpdateOptions& options = {});
  /// All that these Moments, of the layer's feature shape, have learned. A layer that is not built gets an
  /// axis in front for the rows.
  void update(const Moments& moments);
  /// One name for each feature, or none. Before the first update they are checked there.
  void set_names(std::vector<std::string> names);
  /// What the batches so far have taught. Throws std::invalid_argument if there was none.
  [[nodiscard]] const Moments& moments() const;
  /// Throws std::invalid_argument if nothing was seen, naming the features without any value, and as
  /// Normalizer::from. To be called once.
  void commit();

 private:
  template <class Learn>
  void learn(const Shape& batch_shape, Learn&& learn);

  Normalization& layer_;
  std::optional<Normalization::State> next_;
  std::vector<std::string> warnings_;
  std::vector<std::string> names_;
};

}  // namespace exactnorm
