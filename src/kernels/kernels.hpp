#pragma once
/// \file
/// The contract of a panel kernel, and the table of those compiled in. One file per kernel implements it for
/// every instruction set.
///
/// A panel is at most panel_rows rows of some columns of float32 or float64. Per column a kernel keeps a few
/// float64 accumulators whose additions are all exact, under a bound on the data that it checks in the same
/// pass. So it can only be right or say "failed", and a failed column is summed in integers instead.
///
/// The bound, for a column with exponent E (chosen beforehand): every |x| < 2^E, and every x is a multiple of
/// the grid 2^g. An accumulator then holds integers times its unit 2^u, below 2^53 of them: all additions are
/// exact. With p = 8, for 2^p = 256 rows:
///
/// float32, x = d (24 bits, exact in float64), E - 43 <= g, which |x| >= 2^(E-20) or E <= -106 ensures:
///   S  += d                     |S| <= 2^(E+8), unit 2^(E-43): 51 bits
///   n   = fma(d, d, A); A starts at 2^(2E+8) and grows by at most 256 · 2^(2E), so it stays in its binade
///   (or ends at the top of it): its unit is 2^(2E-44) t   = n - A                 exact: a multiple of the
///   unit; at most 2^(2E), since rounding is monotone and 2^(2E) lies on the grid R  += fma(d, d, -t) d² - t
///   is exact: |rest| <= 2^(2E-45), half a unit of A, and a multiple of 2^(2g): unit 2^(2E-86); |R| <=
///   2^(2E-37): 49 bits Then Σx = S and Σx² = (A - 2^(2E+8)) + R.
///
/// float64, |x| >= 2^m or x = 0, m = E - 18, so that x is a multiple of 2^(m-52); -459 <= m and E <= 507, so
/// that nothing below is subnormal or overflows:
///   X, x split on the grid of an accumulator that starts at 1.5 · 2^(E+9): unit 2^(E-43); rests: |r| <=
///   2^(E-44), multiples of 2^(m-52): unit 2^(E-70), 34 bits p = x·x rounded, e = fma(x, x, -p), x² = p + e
///   exactly P, p split from 2^(2E+8): unit 2^(2E-44); rests: |r| <= 2^(2E-45), multiples of 2^(2m-52): unit
///   2^(2E-88), 51 bits Q, e split from 1.5 · 2^(2E-45), as |e| <= 2^(2E-54): unit 2^(2E-97); rests: |r| <=
///   2^(2E-98), multiples of 2^(2m-104): unit 2^(2E-140), 50 bits
///
/// An accumulator leaves as an integer number of units: the difference of two bit patterns in one binade, its
/// start being mantissa · 2^(u+52). Those that start at 0 are first moved there by adding 1.5 · 2^(u+52),
/// exact as they hold at most 51 bits. That integer is at most 2^52, so a window of int64 holds 1024 panels.
///
/// All this needs round to nearest, subnormals kept (FpEnvironment) and true fma.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace exactnorm::kernels {

inline constexpr std::size_t panel_rows = 256;
inline constexpr std::size_t panels_per_window = 1024;
/// Kernels take columns in multiples of this.
inline constexpr std::size_t column_group = 16;

/// One accumulator: unit 2^(slope·E + offset), start mantissa · 2^(unit exponent + 52), where it feeds Σx (or
/// else Σx²).
struct Accumulator {
  int slope;
  int offset;
  double mantissa;
};

template <class T>
struct Anchored;

template <>
struct Anchored<float> {
  using Bits = std::int32_t;
  static constexpr std::size_t count = 3;
  static constexpr std::array<Accumulator, count> accumulators{{{1, -43, 1.5}, {2, -44, 1.0}, {2, -86, 1.5}}};
  static constexpr int spread = 20;  // E - m
  static constexpr int min_exponent =
      -106;  // here and below every float32 under 2^E is a multiple of 2^(E-43)
  static constexpr int max_exponent = 128;
  static constexpr bool bounded_below = false;
};

template <>
struct Anchored<double> {
  using Bits = std::int64_t;
  static constexpr std::size_t count = 6;
  static constexpr std::array<Accumulator, count> accumulators{
      {{1, -43, 1.5}, {1, -70, 1.5}, {2, -44, 1.0}, {2, -88, 1.5}, {2, -97, 1.5}, {2, -140, 1.5}}};
  static constexpr int spread = 18;
  static constexpr int min_exponent = -441;
  static constexpr int max_exponent = 507;
  static constexpr bool bounded_below = true;  // at min_exponent too, smaller values fail
};

/// Per-column numbers, each array as long as the panel has columns.
template <class T>
struct PanelColumns {
  using Bits = typename Anchored<T>::Bits;
  std::array<const double*, Anchored<T>::count> start;  ///< in the order of Anchored<T>::accumulators
  std::array<std::int64_t*, Anchored<T>::count>
      window;         ///< in: so far; out: with this panel, except for failed columns
  const Bits* below;  ///< the magnitude bits of 2^E: all must be smaller
  const Bits*
      from;       ///< (magnitude bits + max) mod 2^n of the smallest value allowed, signed; zero maps to max
  Bits* largest;  ///< out: the largest magnitude bits seen
  Bits* good;     ///< out: -1, or 0 for a failed column
};

/// Sums a panel of rows (at most panel_rows) of `columns` contiguous elements, a multiple of column_group;
/// row_stride in elements. x is aligned to its element. Precondition: FpEnvironment. Returns true if no
/// column failed.
template <class T>
using PanelKernel = bool (*)(const T* x, std::size_t rows, std::ptrdiff_t row_stride, std::size_t columns,
                             const PanelColumns<T>& state) noexcept;

/// The kernels of one instruction set; null pointers mean the portable path.
struct Table {
  const char* name;
  PanelKernel<float> float32;
  PanelKernel<double> float64;
};

template <class T>
PanelKernel<T> kernel_of(const Table& table) {
  if constexpr (std::is_same_v<T, float>) {
    return table.float32;
  } else {
    return table.float64;
  }
}

/// The table in use; see targets.hpp. Throws std::invalid_argument for a bad EXACTNORM_TARGET.
const Table& chosen();

/// All tables compiled in, best first, without the portable one, and whether this CPU has the instructions.
struct Compiled {
  Table table;
  bool supported;
};
const std::vector<Compiled>& compiled();

}  // namespace exactnorm::kernels
