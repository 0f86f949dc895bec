#include "scale.hpp"

#include <cmath>
#include <cstddef>

#include "fp_environment.hpp"

namespace exactnorm {

EXACTNORM_NOINLINE std::vector<float> narrowed(std::span<const double> numbers) {
  std::vector<float> result(numbers.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    result[i] = static_cast<float>(numbers[i]);
  }
  return result;
}

template <class T>
EXACTNORM_NOINLINE std::vector<T> epsilon_divisors(std::span<const T> variance, double epsilon) {
  const T least = static_cast<T>(epsilon);
  std::vector<T> result(variance.size());
  for (std::size_t i = 0; i < variance.size(); ++i) {
    const T root = std::sqrt(variance[i]);    // correctly rounded, as IEEE 754 asks
    result[i] = root < least ? least : root;  // false for NaN
  }
  return result;
}

template std::vector<float> epsilon_divisors<float>(std::span<const float>, double);
template std::vector<double> epsilon_divisors<double>(std::span<const double>, double);

}  // namespace exactnorm
