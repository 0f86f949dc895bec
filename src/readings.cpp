// Moments' readings: which number a feature has under the policies, and its exact quotient.

#include <cmath>
#include <limits>
#include <string>

#include <exactnorm/moments.hpp>

#include "listed.hpp"

namespace exactnorm {
namespace {

// Throws if values of a kind occur, naming the features.
template <class Count>
void refuse(const Moments& moments, const char* argument, const char* what, Count&& count) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < moments.size(); ++i) {
    if (count(moments.features()[i].counts) > 0) {
      found.push_back(i);
    }
  }
  if (!found.empty()) {
    throw std::invalid_argument(
        std::string(argument) + " is 'raise': " + listed(found.size(), [&](std::size_t k) {
          return moments.describe(found[k]) + " has " +
                 std::to_string(count(moments.features()[found[k]].counts)) + " " + what;
        }));
  }
}

void check(const Moments& moments, const Reading& how) {
  if (how.ddof < 0) {
    throw std::invalid_argument("ddof must be at least 0, got " + std::to_string(how.ddof));
  }
  if (how.ddof > 0 && moments.weighted()) {
    throw std::invalid_argument("ddof must be 0 for weighted data, got " + std::to_string(how.ddof));
  }
  if (how.nan_policy == Policy::raise) {
    refuse(moments, "nan_policy", "NaN", [](const Counts& c) { return c.nan; });
  }
  if (how.inf_policy == Policy::raise) {
    refuse(moments, "inf_policy", "infinite values", [](const Counts& c) {
      return static_cast<std::uint64_t>(c.posinf) + static_cast<std::uint64_t>(c.neginf);
    });
  }
}

bool nan_decides(const Counts& counts, const Reading& how) {
  return how.nan_policy == Policy::propagate && counts.nan > 0;
}
bool inf_decides(const Counts& counts, const Reading& how) {
  return how.inf_policy == Policy::propagate && (counts.posinf > 0 || counts.neginf > 0);
}

struct Ratio {
  ExactSum numerator;
  ExactSum denominator;
};

// (n·S2 - S1²) / (n·(n - ddof)), with W for n if weighted (and then ddof is 0).
Ratio variance_ratio(const Feature& feature, const ExactSum* weight, std::int64_t ddof) {
  const ExactSum n = weight != nullptr ? *weight : ExactSum::from_integer(feature.counts.finite);
  ExactSum freedom = n;
  freedom.add(-ddof, 0);
  ExactSum numerator = n * feature.sumsq;
  numerator -= feature.sum * feature.sum;
  return {std::move(numerator), n * freedom};
}

}  // namespace

template <class T, class Read>
std::vector<T> Moments::read(const Reading& how, Read&& read_finite) const {
  check(*this, how);
  std::vector<T> readings(size());
  for (std::size_t i = 0; i < size(); ++i) {
    const Counts& counts = features_[i].counts;
    readings[i] = nan_decides(counts, how) ? std::numeric_limits<T>::quiet_NaN()
                                           : read_finite(features_[i], weighted() ? &weights_[i] : nullptr);
  }
  return readings;
}

template <class T>
std::vector<T> Moments::mean(const Reading& how) const {
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  constexpr T infinity = std::numeric_limits<T>::infinity();
  return read<T>(how, [&](const Feature& feature, const ExactSum* weight) {
    const Counts& counts = feature.counts;
    if (inf_decides(counts, how)) {
      return counts.neginf == 0 ? infinity : counts.posinf == 0 ? -infinity : nan;
    }
    if (counts.finite == 0) {
      return nan;
    }
    return rounded_quotient<T>(feature.sum,
                               weight != nullptr ? *weight : ExactSum::from_integer(counts.finite));
  });
}

template <class T>
std::vector<T> Moments::variance(const Reading& how) const {
  return read<T>(how, [&](const Feature& feature, const ExactSum* weight) {
    if (inf_decides(feature.counts, how) || feature.counts.finite <= how.ddof) {
      return std::numeric_limits<T>::quiet_NaN();
    }
    const Ratio ratio = variance_ratio(feature, weight, how.ddof);
    return rounded_quotient<T>(ratio.numerator, ratio.denominator);
  });
}

template <class T>
std::vector<T> Moments::std(const Reading& how) const {
  return read<T>(how, [&](const Feature& feature, const ExactSum* weight) {
    if (inf_decides(feature.counts, how) || feature.counts.finite <= how.ddof) {
      return std::numeric_limits<T>::quiet_NaN();
    }
    const Ratio ratio = variance_ratio(feature, weight, how.ddof);
    return rounded_sqrt_quotient<T>(ratio.numerator, ratio.denominator);
  });
}

std::vector<std::size_t> Moments::empty_features(const Reading& how) const {
  std::vector<std::size_t> empty;
  for (std::size_t i = 0; i < size(); ++i) {
    const Counts& counts = features_[i].counts;
    if (counts.finite <= how.ddof && !nan_decides(counts, how) && !inf_decides(counts, how)) {
      empty.push_back(i);
    }
  }
  return empty;
}

template std::vector<float> Moments::mean<float>(const Reading&) const;
template std::vector<double> Moments::mean<double>(const Reading&) const;
template std::vector<float> Moments::variance<float>(const Reading&) const;
template std::vector<double> Moments::variance<double>(const Reading&) const;
template std::vector<float> Moments::std<float>(const Reading&) const;
template std::vector<double> Moments::std<double>(const Reading&) const;

}  // namespace exactnorm
