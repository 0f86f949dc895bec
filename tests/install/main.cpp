// Headers, library and dependencies as installed, seen from outside: learn, merge, read, apply, save.
#include <array>
#include <cstdlib>
#include <exactnorm/exactnorm.hpp>
#include <iostream>

int main() {
  const std::array<float, 6> x{1, 10, 2, 20, 3, 30};
  exactnorm::Moments first({2});
  first.update(exactnorm::rows(x.data(), 2, 2));
  exactnorm::Moments moments({2});
  moments.update(exactnorm::rows(x.data() + 4, 1, 2));
  moments.merge(first);

  const bool right = moments.mean<double>() == std::vector<double>{2, 20} &&
                     moments.variance<float>(exactnorm::Reading{.ddof = 1}) == std::vector<float>{1, 100} &&
                     exactnorm::moments_from_bytes(exactnorm::to_cbor(moments)) == moments;
  std::cout << exactnorm::to_json(moments);
  return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
