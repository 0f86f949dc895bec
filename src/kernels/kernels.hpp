#pragma once
/// \file
/// The contract of a panel kernel, the proofs, and the table of those compiled in.
///
/// A panel is at most panel_rows rows of some columns of one dtype. Per column a kernel keeps a few
/// accumulators whose additions are all exact: for integers always, for floating-point numbers under a bound
/// on the data that the kernel checks in the same pass. So it can only be right or say "failed", and a failed
/// column is summed by the next tier, in the end in integers.
///
/// Floating-point columns (and integers of 16 bits, which are floating-point numbers here) have an
/// exponent E, chosen beforehand. Let p = 8, for 2^p = 256 rows, and let every x be a multiple of the grid
/// 2^g. The bound is
///
///     Σx² <= (1 - 2^-30) · 2^(2E+8)     and     E - g <= capacity of the tier.
///
/// It implies Σ|x| <= sqrt(256 · Σx²) < (1 - 2^-32) · 2^(E+8), by Cauchy and Schwarz. (The check lets Σx² be
/// greater by the rests that it does not see, at most 2^(2E-37). The slack of 2^-30 is needed: without any,
/// an accumulator may come to the very end of its binade, where its unit doubles.) All accumulators are
/// float64. Each holds an integer number of its unit 2^u, below 2^53 of them: all additions are exact. An
/// *anchored* one starts at start = mantissa · 2^(u+52) and takes of each y the multiple of its unit next to
/// y, d; the rest, y - d, is at most half a unit and is exact (fma where y is a product). Its unit stays
/// fixed while it stays in the binade of its start.
///
/// narrow: y = x as float64 is exact, and x² is taken exactly by fma.
///   A   x² anchored at 2^(2E+8), unit 2^(2E-44). It only grows, so if its end is at most 2^(2E+8) + the
///       bound, it never left the binade, and the bound on Σx² held for every row: that end is the check.
///       (NaN and infinity end as such and fail it.)
///   tier 0, E - g <= 22: x² is a multiple of A's unit, so A leaves no rest.
///     S   += x, unit 2^(E-43)       |S| < 2^(E+8): 51 bits
///   tier 1, E - g <= 43: as tier 0, and
///     R   += rest of A              each at most 2^(2E-45), together 2^(2E-37); unit 2^(2E-88): 51 bits
///   tier 2, E - g <= 66:
///     S   x anchored at 1.5 · 2^(E+9), unit 2^(E-43). Its steps stay below Σ|x| + 256 half units < 2^(E+8)
///     RS  += rest of S              together at most 2^(E-36); unit 2^(E-87): 51 bits
///     R   rest of A anchored at 1.5 · 2^(2E-36), unit 2^(2E-88)
///     RR  += rest of R              together at most 2^(2E-81); unit 2^(2E-132): 51 bits
///   A float of t bits with |x| >= 2^m, or zero, is a multiple of 2^(m-t+1): the smallest |x| proves g. Once
///   2^(E-capacity) is no coarser than the smallest subnormal, every number of the type is one.
///   Integers of 16 bits: E = 16 and g = 0 for every column, no check needed: |x| <= 2^16, and Σx² <=
///   2^(2E+8) ends A at most at the end of its binade, where its bits still say the right number.
///
/// wide, float64: p = x·x rounded, e = fma(x, x, -p), x² = p + e exactly. Given |x| >= 2^m, x is a multiple
/// of 2^(m-52), p of 2^(2m-52), e of 2^(2m-104); |e| <= 2^-53 · p. With g = m - 52:
///   tier 1, E - g <= 70:
///     S   x anchored at 1.5 · 2^(E+9), unit 2^(E-43)
///     RS  += rest of S              together at most 2^(E-36); unit 2^(E-87): 51 bits
///     P   p anchored at 2^(2E+8), unit 2^(2E-44), whose end is the check, as A's above (Σp and Σx² differ by
///         2^-53 of themselves)
///     RP  += rest of P              together at most 2^(2E-37); unit 2^(2E-88): 51 bits
///     Q   e anchored at 1.5 · 2^(2E-44), unit 2^(2E-96): its steps stay below Σ|e| + 256 half units <
///     2^(2E-45) RQ  += rest of Q              together at most 2^(2E-89); unit 2^(2E-140): 51 bits
///   tier 2, E - g <= 87: as tier 1, but the rests of P and Q are anchored
///     RP  anchored at 1.5 · 2^(2E-36); RRP += its rest, unit 2^(2E-132)
///     RQ  anchored at 1.5 · 2^(2E-88); RRQ += its rest, unit 2^(2E-184)
///   -419 <= E <= 507, so that no unit is subnormal and nothing overflows.
///
/// weighted, of float32 x and float32 w >= 0, w = 0 where nothing counts: y = w·x is exact (48 bits), y·x = p
/// + e as above. The weights are below 2^F and, if not 0, at least 2^n; h = n - 23 is their grid, m = g + 23,
/// and in the bound Σwx² <= (1 - 2^-30) · 2^(Z+8), with Z = 2E + F, takes the place of Σx²: then Σ|y| <=
/// sqrt(Σw · Σwx²) < (1 - 2^-32) · 2^(E+F+8). All as tier 2 of wide, with y for x, E + F for E in its sum and
/// Z for 2E, but
///     RQ  += rest of Q              as in tier 1
///     W   w as integers of unit 2^(F-48): n >= F - 25, below 2^48 each
///   exact for (E - m) + (F - n) <= 41, so that y is a multiple of 2^(E+F-87), and 2(E - m) + (F - n) <= 71,
///   so that e is one of 2^(Z-140) (80 would do for p, one of 2^(Z-132)).
///
/// What an accumulator leaves behind is its number of units: the difference of two bit patterns in one
/// binade. Those that start at 0 are first moved to 1.5 · 2^(u+52), exact as they hold at most 51 bits. That
/// number is at most 2^52, so a window of int64 holds 1024 panels.
///
/// All this needs round to nearest, subnormals kept (FpEnvironment) and true fma.

#include <array>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <exactnorm/tensor_view.hpp>

#include "../decode.hpp"

namespace exactnorm::kernels {

inline constexpr std::size_t panel_rows = 256;
inline constexpr std::size_t panels_per_window = 1024;
inline constexpr std::size_t tiers = 3;
inline constexpr std::size_t max_windows = 8;
/// The largest good end of an accumulator of squares, by its start.
inline constexpr double end_of_squares = 2 - 0x1p-30;

enum class Sum : std::uint8_t { x, squares, weights };

/// A window counts units 2^(slope·E + offset) of one of the sums. The accumulator that fills it starts at
/// mantissa · 2^52 units, or is moved there at the end; 0: it is an integer.
struct Window {
  Sum sum;
  int slope;
  int offset;
  double mantissa;
};

/// How columns of one dtype are summed.
struct Scheme {
  std::array<Window, max_windows> windows;
  std::size_t window_count;
  std::size_t group;                ///< kernels take columns in multiples of this
  std::array<int, tiers> capacity;  ///< the largest E - g; 0: there is no such tier
  std::size_t square;               ///< the window of the accumulator whose end is checked
  int fraction_bits;                ///< a value >= 2^m is a multiple of 2^(m - fraction_bits) …
  int finest;                       ///< … and every value of 2^finest; INT_MIN if small values are refused
  int min_exponent;                 ///< of a column
  int max_exponent;                 ///< of a column; equal to min_exponent if there is nothing to choose

  [[nodiscard]] constexpr bool always_right() const noexcept { return min_exponent == max_exponent; }
  [[nodiscard]] constexpr std::size_t first_tier() const noexcept { return capacity[0] > 0 ? 0 : 1; }
  /// A tier fills the first so many windows.
  [[nodiscard]] constexpr std::size_t windows_of(std::size_t tier) const noexcept {
    return window_count == 5                ? std::size_t{2} + tier + tier / 2
           : window_count == 8 && tier == 1 ? 6
                                            : window_count;
  }
};

namespace detail {

inline constexpr std::array<Window, max_windows> narrow_windows{{{Sum::x, 1, -43, 1.5},
                                                                 {Sum::squares, 2, -44, 1.0},
                                                                 {Sum::squares, 2, -88, 1.5},
                                                                 {Sum::x, 1, -87, 1.5},
                                                                 {Sum::squares, 2, -132, 1.5}}};
inline constexpr std::array<Window, max_windows> wide_windows{{{Sum::x, 1, -43, 1.5},
                                                               {Sum::squares, 2, -44, 1.0},
                                                               {Sum::squares, 2, -88, 1.5},
                                                               {Sum::x, 1, -87, 1.5},
                                                               {Sum::squares, 2, -96, 1.5},
                                                               {Sum::squares, 2, -140, 1.5},
                                                               {Sum::squares, 2, -132, 1.5},
                                                               {Sum::squares, 2, -184, 1.5}}};
inline constexpr std::array<Window, max_windows> byte_windows{{{Sum::x, 0, 0, 0}, {Sum::squares, 0, 0, 0}}};
inline constexpr std::array<Window, max_windows> word_windows{
    {{Sum::x, 0, 0, 0}, {Sum::squares, 0, 0, 0}, {Sum::squares, 0, 32, 0}}};
inline constexpr std::array<Window, max_windows> long_windows{{{Sum::x, 0, 0, 0},
                                                               {Sum::x, 0, 32, 0},
                                                               {Sum::squares, 0, 0, 0},
                                                               {Sum::squares, 0, 32, 0},
                                                               {Sum::squares, 0, 64, 0},
                                                               {Sum::squares, 0, 96, 0}}};

constexpr Scheme narrow_float(int fraction_bits, int finest) {
  // Below 2^-106 a smaller exponent would prove no more: every float32 is on tier 1's grid. Few numbers of 24
  // bits are on that of tier 0.
  const bool few_bits = fraction_bits <= 10;
  return {narrow_windows, 5, 16, {few_bits ? 22 : 0, 43, 66}, 1, fraction_bits, finest, -106, 130};
}
// Enough of E - g for 16 bits.
constexpr Scheme short_integer() { return {narrow_windows, 5, 16, {22, 0, 0}, 1, 0, 0, 16, 16}; }

}  // namespace detail

/// The weighted scheme; F is to be added to the exponents of all its units.
inline constexpr std::array<Window, max_windows> weighted_windows = [] {
  std::array<Window, max_windows> windows = detail::wide_windows;
  windows[7] = {Sum::weights, 0, -48, 1.5};  // in the place of tier 2's last rest
  return windows;
}();
inline constexpr int max_weight_spread = 25;  ///< F - n
/// The largest E - m of a column.
constexpr int weighted_spread(int weight_spread) noexcept {
  const int of_products = 41 - weight_spread;
  const int of_squares = (71 - weight_spread) / 2;
  return of_products < of_squares ? of_products : of_squares;
}

template <class Format>
constexpr Scheme scheme_of() {
  if constexpr (std::is_same_v<Format, Float64>) {
    return {detail::wide_windows, 8, 16, {0, 70, 87}, 1, 52, INT_MIN, -419, 507};
  } else if constexpr (Format::is_float) {
    return detail::narrow_float(Format::fraction_bits, 1 - Format::bias);
  } else if constexpr (sizeof(typename Format::Bits) == 1) {
    return {detail::byte_windows, 2, 64, {1, 0, 0}, 0, 0, 0, 0, 0};
  } else if constexpr (sizeof(typename Format::Bits) == 4) {
    return {detail::word_windows, 3, 16, {1, 0, 0}, 0, 0, 0, 0, 0};
  } else if constexpr (sizeof(typename Format::Bits) == 8) {
    return {detail::long_windows, 6, 16, {1, 0, 0}, 0, 0, 0, 0, 0};
  } else {
    return detail::short_integer();
  }
}

/// Per-column numbers, each array as long as the panel has columns. The kernels of integers use windows
/// alone.
struct PanelColumns {
  std::array<const double*, max_windows> start;   ///< of the accumulators that fill the windows
  std::array<std::int64_t*, max_windows> window;  ///< in: so far; out: with this panel, for good columns
  const double* limit;                            ///< largest good end of the checked accumulator
  const std::int64_t* from;                       ///< smallest good value of `smallest`
  const std::int64_t* wanted;                     ///< -1, or 0 for columns to leave alone
  std::int64_t* smallest;                         ///< out: see scanned()
  std::int64_t* good;                             ///< out: -1, or 0 for failed columns and those not wanted
  std::int64_t* nan;  ///< guarded kernels: how many; in: so far; out: with this panel, for good columns
};

/// What a scan of the values' bits keeps of the smallest magnitude 2^m of a column, as kernels compare it:
/// twice the bits, less one, modulo 2^32, so that zero becomes the largest. Of a float64 it is the upper half
/// of that, rounded so that nothing smaller than 2^m passes.
constexpr std::int64_t scanned(int m, bool wide) {
  return wide ? std::int64_t{m + 1023} << 21 : (std::int64_t{m + 127} << 24) - 1;
}

/// The smallest good value of PanelColumns::smallest in a column of that exponent.
constexpr std::int64_t smallest_allowed(const Scheme& scheme, int exponent, std::size_t tier) noexcept {
  const int grid = exponent - scheme.capacity[tier];
  return scheme.finest != INT_MIN && grid <= scheme.finest
             ? INT64_MIN
             : scanned(grid + scheme.fraction_bits, scheme.fraction_bits == 52);
}

/// Sums a panel of rows (at most panel_rows) of `columns` contiguous elements, a multiple of Scheme::group;
/// row_stride in elements. x is aligned to its element. While it works it asks for the memory `ahead` bytes
/// further on, if that is not 0. Precondition: FpEnvironment. Returns true if no wanted column failed.
using PanelKernel = bool (*)(const void* x, std::size_t rows, std::ptrdiff_t row_stride, std::size_t columns,
                             const PanelColumns& state, std::ptrdiff_t ahead) noexcept;

/// Sums a panel of rows (at most panel_rows) of `columns` float32 x, a multiple of 16, and weights: one for
/// each value, or (by rows) one for each row, whose own sum is then the caller's. Strides in elements. The
/// rest is as with PanelKernel.
using WeightedKernel = bool (*)(const float* x, std::ptrdiff_t x_stride, const float* w,
                                std::ptrdiff_t w_stride, std::size_t rows, std::size_t columns,
                                const PanelColumns& state) noexcept;

/// The kernels of one dtype, by tier; null where there is none. Those of integers are at their first tier.
/// Guarded ones take NaN for zero, and count it; infinities, which are rare, fail.
struct PanelKernels {
  std::array<PanelKernel, tiers> plain{};
  std::array<PanelKernel, tiers> guarded{};
};

/// The kernels of one instruction set. The portable one has none: integers do it all.
struct Table {
  const char* name;
  std::array<PanelKernels, 13> panel{};  ///< by DType
  WeightedKernel weighted = nullptr;
  WeightedKernel weighted_rows = nullptr;

  [[nodiscard]] const PanelKernels& of(DType dtype) const { return panel[static_cast<std::size_t>(dtype)]; }
  PanelKernels& of(DType dtype) { return panel[static_cast<std::size_t>(dtype)]; }
};

/// The table in use; see targets.hpp. Throws std::invalid_argument for a bad EXACTNORM_TARGET.
const Table& chosen();

/// All tables compiled in, best first, without the portable one, and whether this CPU has the instructions.
struct Compiled {
  Table table;
  bool supported;
};
const std::vector<Compiled>& compiled();

}  // namespace exactnorm::kernels
