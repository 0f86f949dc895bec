#pragma once
/// \file
/// The few roundings between readings and Scale. All need FpEnvironment.

#include <span>
#include <vector>

namespace exactnorm {

/// The float32 nearest to each number.
std::vector<float> narrowed(std::span<const double> numbers);

/// max(sqrt(variance), epsilon) in T, epsilon rounded to T first; NaN where the variance is NaN, as
/// numpy.maximum has it.
template <class T>
std::vector<T> epsilon_divisors(std::span<const T> variance, double epsilon);

}  // namespace exactnorm
