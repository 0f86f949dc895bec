// The anchored kernels of kernels.hpp, compiled once for every Highway target with native fma.

#include <cstddef>
#include <cstdint>

#include "../fp_environment.hpp"
#include "kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/anchored.cpp"
// The first three would be copies of others here. Vectors of unknown size (SVE) cannot stand in arrays; such
// CPUs have NEON too.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace exactnorm::kernels::HWY_NAMESPACE {
#if HWY_NATIVE_FMA  // where Highway emulates it, MulAdd rounds twice and the proof fails

namespace hn = hwy::HWY_NAMESPACE;
using Wide = hn::ScalableTag<double>;
using WideVector = hn::Vec<Wide>;
using WideInteger = hn::RebindToSigned<Wide>;

// The range of magnitudes of a column, by integer comparisons: NaN and infinity show as large.
template <class T>
struct Range {
  using D = hn::ScalableTag<T>;
  using DI = hn::RebindToSigned<D>;
  using Vector = hn::Vec<DI>;
  static constexpr auto magnitude = std::numeric_limits<typename Anchored<T>::Bits>::max();

  Vector largest;
  Vector smallest;

  // Spelled out because a constructor that the compiler makes up would lack the target's instructions.
  HWY_INLINE Range() : largest(hn::Zero(DI())), smallest(hn::Set(DI(), magnitude)) {}

  HWY_INLINE void see(hn::Vec<D> x) {
    const Vector bits = hn::And(hn::BitCast(DI(), x), hn::Set(DI(), magnitude));
    largest = hn::Max(largest, bits);
    // Wraps: zero becomes the largest, 1 the smallest signed integer, so that zeros do not count.
    smallest = hn::Min(smallest, hn::Add(bits, hn::Set(DI(), magnitude)));
  }

  // Stores what PanelColumns wants; true if all these columns are good.
  HWY_INLINE bool judge(std::size_t column, const PanelColumns<T>& state) const {
    const DI d;
    const auto good = hn::And(hn::Lt(largest, hn::LoadU(d, state.below + column)),
                              hn::Not(hn::Lt(smallest, hn::LoadU(d, state.from + column))));
    hn::StoreU(largest, d, state.largest + column);
    hn::StoreU(hn::VecFromMask(d, good), d, state.good + column);
    return hn::AllTrue(d, good);
  }
};

HWY_INLINE hn::Vec<WideInteger> good_lanes(const std::int64_t* good) {
  return hn::LoadU(WideInteger(), good);
}
HWY_INLINE hn::Vec<WideInteger> good_lanes(const std::int32_t* good) {
  return hn::PromoteTo(WideInteger(), hn::LoadU(hn::Rebind<std::int32_t, WideInteger>(), good));
}

// Adds what accumulator `index` gathered to the windows of the good columns.
template <std::size_t index, class T>
HWY_INLINE void leave(WideVector gathered, std::size_t column, const PanelColumns<T>& state) {
  const WideInteger d;
  const hn::Vec<WideInteger> units =
      hn::Sub(hn::BitCast(d, gathered), hn::BitCast(d, hn::LoadU(Wide(), state.start[index] + column)));
  std::int64_t* window = state.window[index] + column;
  hn::StoreU(hn::Add(hn::LoadU(d, window), hn::And(units, good_lanes(state.good + column))), d, window);
}

// An accumulator that started at zero is moved onto its start first.
template <std::size_t index, class T>
HWY_INLINE void leave_plain(WideVector sum, std::size_t column, const PanelColumns<T>& state) {
  leave<index>(hn::Add(sum, hn::LoadU(Wide(), state.start[index] + column)), column, state);
}

// y = (multiple of acc's grid, added to acc) + (rest, returned).
HWY_INLINE WideVector split(WideVector y, WideVector& acc) {
  const WideVector next = hn::Add(y, acc);
  const WideVector taken = hn::Sub(next, acc);
  acc = next;
  return hn::Sub(y, taken);
}

// `vectors` float32 vectors side by side, each as two float64 ones.
template <std::size_t vectors>
HWY_INLINE bool sum_group(const float* x, std::size_t rows, std::ptrdiff_t row_stride, std::size_t column,
                          const PanelColumns<float>& state) {
  const hn::ScalableTag<float> d;
  const hn::Half<decltype(d)> half;
  const Wide wide;
  const std::size_t lanes = hn::Lanes(wide);
  Range<float> range[vectors];
  WideVector s[2 * vectors];
  WideVector a[2 * vectors];
  WideVector r[2 * vectors];
  for (std::size_t i = 0; i < 2 * vectors; ++i) {
    s[i] = r[i] = hn::Zero(wide);
    a[i] = hn::LoadU(wide, state.start[1] + column + i * lanes);
  }
  const float* row = x + column;
  for (std::size_t n = 0; n < rows; ++n, row += row_stride) {
    for (std::size_t v = 0; v < vectors; ++v) {
      range[v].see(hn::LoadU(d, row + 2 * v * lanes));
    }
    for (std::size_t i = 0; i < 2 * vectors; ++i) {
      const WideVector y = hn::PromoteTo(wide, hn::LoadU(half, row + i * lanes));
      s[i] = hn::Add(s[i], y);
      const WideVector next = hn::MulAdd(y, y, a[i]);
      const WideVector taken = hn::Sub(next, a[i]);
      a[i] = next;
      r[i] = hn::Add(r[i], hn::MulSub(y, y, taken));
    }
  }
  bool good = true;
  for (std::size_t v = 0; v < vectors; ++v) {
    good &= range[v].judge(column + 2 * v * lanes, state);
  }
  for (std::size_t i = 0; i < 2 * vectors; ++i) {
    leave_plain<0>(s[i], column + i * lanes, state);
    leave<1>(a[i], column + i * lanes, state);
    leave_plain<2>(r[i], column + i * lanes, state);
  }
  return good;
}

template <std::size_t vectors>
HWY_INLINE bool sum_group(const double* x, std::size_t rows, std::ptrdiff_t row_stride, std::size_t column,
                          const PanelColumns<double>& state) {
  const Wide wide;
  const std::size_t lanes = hn::Lanes(wide);
  Range<double> range[vectors];
  WideVector acc[3][vectors];   // X, P, Q
  WideVector rest[3][vectors];  // what they leave
  for (std::size_t v = 0; v < vectors; ++v) {
    for (std::size_t i = 0; i < 3; ++i) {
      acc[i][v] = hn::LoadU(wide, state.start[2 * i] + column + v * lanes);
      rest[i][v] = hn::Zero(wide);
    }
  }
  const double* row = x + column;
  for (std::size_t n = 0; n < rows; ++n, row += row_stride) {
    for (std::size_t v = 0; v < vectors; ++v) {
      const WideVector y = hn::LoadU(wide, row + v * lanes);
      range[v].see(y);
      rest[0][v] = hn::Add(rest[0][v], split(y, acc[0][v]));
      const WideVector square = hn::Mul(y, y);
      rest[1][v] = hn::Add(rest[1][v], split(square, acc[1][v]));
      rest[2][v] = hn::Add(rest[2][v], split(hn::MulSub(y, y, square), acc[2][v]));
    }
  }
  bool good = true;
  for (std::size_t v = 0; v < vectors; ++v) {
    const std::size_t at = column + v * lanes;
    good &= range[v].judge(at, state);
    leave<0>(acc[0][v], at, state);
    leave_plain<1>(rest[0][v], at, state);
    leave<2>(acc[1][v], at, state);
    leave_plain<3>(rest[1][v], at, state);
    leave<4>(acc[2][v], at, state);
    leave_plain<5>(rest[2][v], at, state);
  }
  return good;
}

template <class T>
bool sum_panel(const T* x, std::size_t rows, std::ptrdiff_t row_stride, std::size_t columns,
               const PanelColumns<T>& state) noexcept {
  // Two vectors side by side hide the latency of fma where there are 32 registers for them.
  constexpr std::size_t together = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 2 : 1;
  const std::size_t lanes = hn::Lanes(hn::ScalableTag<T>());
  bool good = true;
  std::size_t column = 0;
  for (; column + together * lanes <= columns; column += together * lanes) {
    good &= sum_group<together>(x, rows, row_stride, column, state);
  }
  for (; column < columns; column += lanes) {
    good &= sum_group<1>(x, rows, row_stride, column, state);
  }
  return good;
}

Table table(const char* name) { return {name, &sum_panel<float>, &sum_panel<double>}; }

#endif
}  // namespace exactnorm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

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
