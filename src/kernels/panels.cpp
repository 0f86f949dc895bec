// The panel kernels, compiled once for every Highway target with native fma.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "../fp_environment.hpp"
#include "highway_targets.hpp"
#include "kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/panels.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#if HWY_NATIVE_FMA  // where Highway emulates it, MulAdd rounds twice and the proofs fail
#include "anchored-inl.hpp"
#include "integers-inl.hpp"
#include "weighted-inl.hpp"

namespace exactnorm::kernels::HWY_NAMESPACE {

Table table(const char* name) {
  Table table{name};
  add_anchored(table);
  add_integers(table);
  table.weighted = &sum_weighted<false>;
  table.weighted_rows = &sum_weighted<true>;
  return table;
}

}  // namespace exactnorm::kernels::HWY_NAMESPACE
#endif

#if HWY_ONCE
#include <hwy/targets.h>

namespace exactnorm::kernels {

const std::vector<Compiled>& compiled() {
  static const std::vector<Compiled> tables = [] {
    const std::int64_t cpu = hwy::SupportedTargets();
    std::vector<Compiled> all;
    [[maybe_unused]] const auto add = [&](Table table, std::int64_t target) {
      all.push_back({table, (cpu & target) != 0});
    };
#if HWY_TARGETS & HWY_AVX3
    add(N_AVX3::table("avx512"), HWY_AVX3);
#endif
#if HWY_TARGETS & HWY_AVX2
    add(N_AVX2::table("avx2"), HWY_AVX2);
#endif
#if HWY_TARGETS & HWY_NEON
    add(N_NEON::table("neon"), HWY_NEON);
#endif
    return all;
  }();
  return tables;
}

}  // namespace exactnorm::kernels
#endif
