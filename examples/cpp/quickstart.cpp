// Learn a table, read its mean and variance, save what was learned and load it again.

#include <cstddef>
#include <iostream>
#include <vector>

#include <exactnorm/exactnorm.hpp>

int main() {
  const std::vector<double> table{25, 1.75, 31, 1.62, 40, 1.80};  // 3 rows of 2 features

  exactnorm::Moments moments({2}, {"age", "height"});
  moments.update(exactnorm::rows(table.data(), 3, 2));
  exactnorm::save("stats.json", moments);

  const exactnorm::Moments loaded = exactnorm::load_moments("stats.json");
  const auto mean = loaded.mean<double>();
  const auto variance = loaded.variance<double>();
  for (std::size_t i = 0; i < loaded.size(); ++i) {
    std::cout << loaded.names()[i] << ": mean " << mean[i] << ", variance " << variance[i] << "\n";
  }
  std::cout << exactnorm::digest(loaded) << "\n";
}
