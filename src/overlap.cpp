#include "overlap.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace exactnorm {
namespace {

// The search for steps x[k] in [0, most[k]] whose distance Σ x[k]·stride[k] lies in a given range; strides
// positive and falling.
class Search {
 public:
  void add(std::int64_t stride, std::int64_t most) {
    for (std::size_t i = 0; i < size_; ++i) {
      if (terms_[i].stride == stride) {
        terms_[i].most += most;
        return;
      }
    }
    terms_[size_++] = {stride, most, 0};
  }

  void prepare() {
    std::sort(terms_.begin(), terms_.begin() + size_,
              [](const Term& a, const Term& b) { return a.stride > b.stride; });
    for (std::size_t i = size_; i-- > 0;) {
      terms_[i].reach = terms_[i].stride * terms_[i].most + (i + 1 < size_ ? terms_[i + 1].reach : 0);
    }
  }

  bool finds(std::int64_t low, std::int64_t high, std::size_t at = 0) {
    const std::int64_t reach = at < size_ ? terms_[at].reach : 0;
    if (high < 0 || low > reach) {
      return false;
    }
    if (low <= 0 || high >= reach || --steps_left_ <= 0) {
      return true;  // no step at all, or every step there is
    }
    const Term& term = terms_[at];
    const std::int64_t rest = reach - term.stride * term.most;
    const std::int64_t first = low <= rest ? 0 : (low - rest + term.stride - 1) / term.stride;
    const std::int64_t last = std::min(term.most, high / term.stride);
    for (std::int64_t x = first; x <= last; ++x) {
      if (finds(low - x * term.stride, high - x * term.stride, at + 1)) {
        return true;
      }
    }
    return false;
  }

 private:
  struct Term {
    std::int64_t stride;
    std::int64_t most;
    std::int64_t reach;  // the greatest distance that this and the later terms can make
  };
  std::array<Term, 2 * max_rank> terms_;
  std::size_t size_ = 0;
  int steps_left_ = 4096;
};

struct Extent {
  std::int64_t lowest;   // address of the first byte of the lowest element
  std::int64_t highest;  // and of the highest
};

Extent extent_of(const TensorView& view) {
  const auto base = static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(view.data));
  Extent extent{base, base};
  for (std::size_t i = 0; i < view.shape.size(); ++i) {
    const std::int64_t span = (view.shape[i] - 1) * view.strides[i];
    (span < 0 ? extent.lowest : extent.highest) += span;
  }
  return extent;
}

}  // namespace

bool same_elements(const TensorView& a, const TensorView& b) noexcept {
  if (a.data != b.data || size_of(a.dtype) != size_of(b.dtype)) {
    return false;
  }
  for (std::size_t i = 0; i < a.shape.size(); ++i) {
    if (a.shape[i] > 1 && a.strides[i] != b.strides[i]) {
      return false;
    }
  }
  return true;
}

bool may_overlap(const TensorView& a, const TensorView& b) noexcept {
  if (element_count(a.shape) == 0 || element_count(b.shape) == 0) {
    return false;
  }
  const Extent of_a = extent_of(a);
  const Extent of_b = extent_of(b);
  if (of_a.highest + static_cast<std::int64_t>(size_of(a.dtype)) <= of_b.lowest ||
      of_b.highest + static_cast<std::int64_t>(size_of(b.dtype)) <= of_a.lowest) {
    return false;
  }
  // With a counted upwards from its lowest element and b downwards from its highest, all steps add up: an
  // element of a lies (steps) - (b.highest - a.lowest) above one of b, and they share a byte if that is above
  // -size_of(a) and below size_of(b).
  Search search;
  for (const TensorView* view : {&a, &b}) {
    for (std::size_t i = 0; i < view->shape.size(); ++i) {
      if (view->shape[i] > 1 && view->strides[i] != 0) {
        search.add(std::abs(view->strides[i]), view->shape[i] - 1);
      }
    }
  }
  search.prepare();
  const std::int64_t apart = of_b.highest - of_a.lowest;
  return search.finds(apart - static_cast<std::int64_t>(size_of(a.dtype)) + 1,
                      apart + static_cast<std::int64_t>(size_of(b.dtype)) - 1);
}

}  // namespace exactnorm
