// What a Normalization tells its user when it reads what it has learned.

#include <utility>

#include <exactnorm/normalization.hpp>

#include "listed.hpp"

namespace exactnorm {

void Normalization::warn_of_propagation(const State& state, Warnings& warnings) const {
  const std::vector<Feature>& features = state.moments.features();
  const bool nan = options_.nan_policy == Policy::propagate;
  const bool inf = options_.inf_policy == Policy::propagate;
  std::vector<std::size_t> affected;
  for (std::size_t i = 0; i < features.size(); ++i) {
    const Counts& counts = features[i].counts;
    if ((nan && counts.nan != 0) || (inf && (counts.posinf != 0 || counts.neginf != 0))) {
      affected.push_back(i);
    }
  }
  if (affected.empty()) {
    return;
  }
  const auto item = [&](std::size_t i) {
    const Counts& counts = features[affected[i]].counts;
    std::string kinds;
    const auto add = [&](bool propagates, std::int64_t count, const char* kind) {
      if (propagates && count != 0) {
        kinds += (kinds.empty() ? "" : " and ") + std::to_string(count) + kind;
      }
    };
    add(nan, counts.nan, " NaN");
    add(inf, counts.posinf, " +inf");
    add(inf, counts.neginf, " -inf");
    return state.moments.describe(affected[i]) + ": " + kinds;
  };
  warnings.push_back(
      with_name("mean and variance are not finite where data are not; see nan_policy and inf_policy. " +
                listed(affected.size(), item)));
}

void Normalization::warn_of_overflow(const State& state, Warnings& warnings) const {
  const bool wide = compute_type(options_.dtype, options_.dtype) == DType::float64;
  const std::vector<std::size_t> features =
      wide ? state.normalizer.overflowing_features<double>() : state.normalizer.overflowing_features<float>();
  if (!features.empty()) {
    const std::string type = wide ? "float64" : "float32";
    warnings.push_back(with_name("the variance is too large for " + type +
                                 ", so that inputs which are computed in " + type +
                                 " become 0: " + listed(features.size(), [&](std::size_t i) {
                                   return state.moments.describe(features[i]);
                                 })));
  }
}

}  // namespace exactnorm
