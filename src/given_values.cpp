#include "given_values.hpp"

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "state_numbers.hpp"

namespace exactnorm {

std::string to_string(const GivenValues& given) {
  if (given.shape.empty()) {
    return state::real_to_text(given.values[0]);
  }
  constexpr std::size_t most = 10;
  std::string text = "[";
  for (std::size_t i = 0; i < given.values.size() && i < most; ++i) {
    text += (i == 0 ? "" : ", ") + state::real_to_text(given.values[i]);
  }
  text += given.values.size() > most ? ", …]" : "]";
  return given.shape.size() == 1 ? text : text + " of shape " + to_string(given.shape);
}

void check_given(const GivenValues& given, const char* what) {
  if (element_count(given.shape) != static_cast<std::int64_t>(given.values.size())) {
    throw std::invalid_argument(std::string(what) + " of shape " + to_string(given.shape) + " must have " +
                                std::to_string(element_count(given.shape)) + " values, got " +
                                std::to_string(given.values.size()));
  }
}

// numpy's broadcasting to the shape, aligned at the last axis; extents of 1 in front may be too many. It is
// what Keras 2.7 does, and more than 3 takes.
std::vector<double> broadcast(const GivenValues& given, const Shape& shape, const char* what) {
  const std::size_t surplus = given.shape.size() > shape.size() ? given.shape.size() - shape.size() : 0;
  const std::size_t missing = shape.size() + surplus - given.shape.size();
  bool fits =
      std::all_of(given.shape.begin(), given.shape.begin() + surplus, [](std::int64_t n) { return n == 1; });
  for (std::size_t i = missing; i < shape.size(); ++i) {
    const std::int64_t extent = given.shape[i - missing + surplus];
    fits = fits && (extent == shape[i] || extent == 1);
  }
  if (!fits) {
    throw std::invalid_argument("the given " + std::string(what) + " of shape " + to_string(given.shape) +
                                " does not broadcast to the shape of the kept axes, " + to_string(shape));
  }
  std::vector<double> values(static_cast<std::size_t>(element_count(shape)));
  for (std::size_t to = 0; to < values.size(); ++to) {
    auto index = static_cast<std::int64_t>(to);
    std::int64_t from = 0;
    std::int64_t step = 1;
    for (std::size_t i = shape.size(); i-- > missing;) {
      const std::int64_t extent = given.shape[i - missing + surplus];
      from += extent == 1 ? 0 : index % shape[i] * step;
      step *= extent;
      index /= shape[i];
    }
    values[to] = given.values[static_cast<std::size_t>(from)];
  }
  return values;
}

}  // namespace exactnorm
