// The kernels of kernels.hpp for numbers that fit a float64. Included once for every target by panels.cpp,
// so without a guard.

HWY_BEFORE_NAMESPACE();
namespace exactnorm::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Wide = hn::ScalableTag<double>;
using WideInteger = hn::RebindToSigned<Wide>;
using Doubles = hn::Vec<Wide>;
using Integers = hn::Vec<WideInteger>;

// y = (multiple of acc's unit, added to acc) + (rest, returned).
HWY_INLINE Doubles split(Doubles y, Doubles& acc) {
  const Doubles next = hn::Add(y, acc);
  const Doubles taken = hn::Sub(next, acc);
  acc = next;
  return hn::Sub(y, taken);
}

// What the windows get of one vector of columns, and where they are good.
struct Leaving {
  const PanelColumns& state;
  std::size_t column;
  Integers good;

  // As many units as there are between the bits of the accumulator and of its start.
  template <std::size_t window>
  HWY_INLINE void anchored(Doubles accumulator) const {
    const WideInteger d;
    const Doubles start = hn::LoadU(Wide(), state.start[window] + column);
    const Integers units = hn::Sub(hn::BitCast(d, accumulator), hn::BitCast(d, start));
    std::int64_t* to = state.window[window] + column;
    hn::StoreU(hn::Add(hn::LoadU(d, to), hn::And(units, good)), d, to);
  }
  // An accumulator that started at zero is moved onto its start first.
  template <std::size_t window>
  HWY_INLINE void plain(Doubles sum) const {
    anchored<window>(hn::Add(sum, hn::LoadU(Wide(), state.start[window] + column)));
  }
};

// Judges one vector of columns and tells the caller; `smallest` is what the scan has kept.
template <bool scans>
HWY_INLINE Leaving judge(const PanelColumns& state, std::size_t column, Doubles squares, Integers smallest,
                         bool& all_good) {
  const WideInteger d;
  const Integers wanted = hn::LoadU(d, state.wanted + column);
  if constexpr (!scans) {
    return {state, column, wanted};
  }
  const auto within = hn::Le(squares, hn::LoadU(Wide(), state.limit + column));  // false for NaN
  const auto too_small = hn::Lt(smallest, hn::LoadU(d, state.from + column));
  const Integers good = hn::AndNot(hn::VecFromMask(d, too_small),
                                   hn::And(wanted, hn::BitCast(d, hn::VecFromMask(Wide(), within))));
  hn::StoreU(smallest, d, state.smallest + column);
  hn::StoreU(good, d, state.good + column);
  all_good = all_good && hn::AllTrue(d, hn::Eq(good, wanted));
  return {state, column, good};
}

// Elements of every type that narrow kernels take, two vectors of doubles at a time.

// float32, and what becomes float32 first: `bits` are scanned.
template <class Element>
struct FloatInput {
  using Floats = hn::ScalableTag<float>;
  using Half = hn::Half<Floats>;
  using Words = hn::RebindToUnsigned<Floats>;
  static HWY_INLINE hn::Vec<Floats> load(const Element* x) {
    if constexpr (std::is_same_v<Element, float>) {
      return hn::LoadU(Floats(), x);
    } else {
      using Stored =
          std::conditional_t<std::is_same_v<Element, float16_bits>, hwy::float16_t, hwy::bfloat16_t>;
      return hn::PromoteTo(Floats(),
                           hn::LoadU(hn::Rebind<Stored, Floats>(), reinterpret_cast<const Stored*>(x)));
    }
  }
  static HWY_INLINE void widen(const Element* x, hn::Vec<Floats> loaded, Doubles& low, Doubles& high) {
    if constexpr (std::is_same_v<Element, float>) {  // reads again: a load converts on its way
      low = hn::PromoteTo(Wide(), hn::LoadU(Half(), x));
      high = hn::PromoteTo(Wide(), hn::LoadU(Half(), x + hn::Lanes(Wide())));
    } else {
      widen(loaded, low, high);
    }
  }
  static HWY_INLINE void widen(hn::Vec<Floats> loaded, Doubles& low, Doubles& high) {
    low = hn::PromoteTo(Wide(), hn::LowerHalf(Half(), loaded));
    high = hn::PromoteTo(Wide(), hn::UpperHalf(Half(), loaded));
  }
};

// Integers of 16 bits.
template <class Element>
struct IntegerInput {
  static HWY_INLINE Doubles load(const Element* x) {
    using Int32 = hn::Rebind<std::int32_t, Wide>;
    return hn::PromoteTo(Wide(), hn::PromoteTo(Int32(), hn::LoadU(hn::Rebind<Element, Wide>(), x)));
  }
};

// The accumulators of one vector of columns.
template <std::size_t tier>
struct NarrowSums {
  Doubles s;
  Doubles a;
  Doubles r;   // tiers 1 and 2
  Doubles rs;  // tier 2
  Doubles rr;  // tier 2

  HWY_INLINE void start(const PanelColumns& state, std::size_t column) {
    const Wide d;
    s = tier == 2 ? hn::LoadU(d, state.start[0] + column) : hn::Zero(d);
    a = hn::LoadU(d, state.start[1] + column);
    r = tier == 2 ? hn::LoadU(d, state.start[2] + column) : hn::Zero(d);
    rs = rr = hn::Zero(d);
  }
  HWY_INLINE void add(Doubles y) {
    const Doubles next = hn::MulAdd(y, y, a);
    if constexpr (tier > 0) {
      const Doubles rest = hn::MulSub(y, y, hn::Sub(next, a));
      if constexpr (tier == 1) {
        r = hn::Add(r, rest);
      } else {
        rr = hn::Add(rr, split(rest, r));
      }
    }
    a = next;
    if constexpr (tier == 2) {
      rs = hn::Add(rs, split(y, s));
    } else {
      s = hn::Add(s, y);
    }
  }
  HWY_INLINE void leave(const Leaving& leaving) const {
    leaving.anchored<1>(a);
    if constexpr (tier == 2) {
      leaving.anchored<0>(s);
      leaving.anchored<2>(r);
      leaving.plain<3>(rs);
      leaving.plain<4>(rr);
    } else {
      leaving.plain<0>(s);
      if constexpr (tier == 1) {
        leaving.plain<2>(r);
      }
    }
  }
};

// Adds 32-bit counts of NaN, negative ones, to the 64-bit counters, where good.
template <class Counts>
HWY_INLINE void count(Counts counts, const Leaving& low, const Leaving& high) {
  const WideInteger d;
  const hn::Half<hn::DFromV<Counts>> half;
  const auto add = [&](auto part, const Leaving& leaving) HWY_ATTR {
    std::int64_t* to = leaving.state.nan + leaving.column;
    hn::StoreU(hn::Sub(hn::LoadU(d, to), hn::And(hn::PromoteTo(d, part), leaving.good)), d, to);
  };
  add(hn::LowerHalf(half, counts), low);
  add(hn::UpperHalf(half, counts), high);
}

// Two vectors of columns.
template <class Element, std::size_t tier, bool guarded>
struct FloatSums {
  using Input = FloatInput<Element>;
  using Words = typename Input::Words;
  using Ints = hn::RebindToSigned<Words>;

  NarrowSums<tier> low;
  NarrowSums<tier> high;
  hn::Vec<Words> smallest;
  hn::Vec<Ints> nan;

  HWY_INLINE void start(const PanelColumns& state, std::size_t column) {
    low.start(state, column);
    high.start(state, column + hn::Lanes(Wide()));
    smallest = hn::Set(Words(), ~std::uint32_t{0});
    nan = hn::Zero(Ints());
  }
  HWY_INLINE void add(const Element* x) {
    auto loaded = Input::load(x);
    Doubles y_low;
    Doubles y_high;
    if constexpr (guarded) {
      const auto is_nan = hn::IsNaN(loaded);
      nan = hn::Add(nan, hn::VecFromMask(Ints(), hn::RebindMask(Ints(), is_nan)));
      loaded = hn::IfThenZeroElse(is_nan, loaded);
      Input::widen(loaded, y_low, y_high);
    } else {
      Input::widen(x, loaded, y_low, y_high);
    }
    const auto bits = hn::BitCast(Words(), loaded);
    smallest = hn::Min(smallest, hn::Sub(hn::Add(bits, bits), hn::Set(Words(), 1)));
    low.add(y_low);
    high.add(y_high);
  }
  HWY_INLINE bool leave(const PanelColumns& state, std::size_t column) const {
    const hn::RebindToUnsigned<Wide> wide_words;
    const hn::Half<Words> half;
    const auto widened = [&](auto part)
                             HWY_ATTR { return hn::BitCast(WideInteger(), hn::PromoteTo(wide_words, part)); };
    bool good = true;
    const Leaving of_low = judge<true>(state, column, low.a, widened(hn::LowerHalf(half, smallest)), good);
    const Leaving of_high =
        judge<true>(state, column + hn::Lanes(Wide()), high.a, widened(hn::UpperHalf(half, smallest)), good);
    low.leave(of_low);
    high.leave(of_high);
    if constexpr (guarded) {
      count(nan, of_low, of_high);
    }
    return good;
  }
};

// `pairs` of vectors of columns side by side.
template <class Element, std::size_t tier, bool guarded, std::size_t pairs>
HWY_INLINE bool sum_floats(const Element* x, std::size_t rows, std::ptrdiff_t row_stride, std::size_t column,
                           const PanelColumns& state, std::ptrdiff_t ahead) {
  const std::size_t width = 2 * hn::Lanes(Wide());
  FloatSums<Element, tier, guarded> sums[pairs];
  for (std::size_t i = 0; i < pairs; ++i) {
    sums[i].start(state, column + i * width);
  }
  x += column;
  for (std::size_t n = 0; n < rows; ++n, x += row_stride) {
    for (std::size_t i = 0; i < pairs; ++i) {
      hwy::Prefetch(reinterpret_cast<const char*>(x + i * width) + ahead);
      sums[i].add(x + i * width);
    }
  }
  bool good = true;
  for (std::size_t i = 0; i < pairs; ++i) {
    good &= sums[i].leave(state, column + i * width);
  }
  return good;
}

template <class Element, std::size_t tier>
HWY_INLINE void sum_integers(const Element* x, std::size_t rows, std::ptrdiff_t row_stride,
                             std::size_t column, const PanelColumns& state, std::ptrdiff_t ahead) {
  const std::size_t lanes = hn::Lanes(Wide());
  NarrowSums<tier> low;
  NarrowSums<tier> high;
  low.start(state, column);
  high.start(state, column + lanes);
  x += column;
  for (std::size_t n = 0; n < rows; ++n, x += row_stride) {
    hwy::Prefetch(reinterpret_cast<const char*>(x) + ahead);
    low.add(IntegerInput<Element>::load(x));
    high.add(IntegerInput<Element>::load(x + lanes));
  }
  bool good = true;
  low.leave(judge<false>(state, column, low.a, hn::Zero(WideInteger()), good));
  high.leave(judge<false>(state, column + lanes, high.a, hn::Zero(WideInteger()), good));
}

// The accumulators of one vector of columns.
template <std::size_t tier>
struct WideSums {
  Doubles s, p, q;     // anchored
  Doubles rs, rp, rq;  // their rests, of p and q anchored in tier 2
  Doubles rrp, rrq;    // the rests of those

  HWY_INLINE void start(const PanelColumns& state, std::size_t column) {
    const Wide d;
    s = hn::LoadU(d, state.start[0] + column);
    p = hn::LoadU(d, state.start[1] + column);
    q = hn::LoadU(d, state.start[4] + column);
    rs = hn::Zero(d);
    rp = tier == 2 ? hn::LoadU(d, state.start[2] + column) : hn::Zero(d);
    rq = tier == 2 ? hn::LoadU(d, state.start[5] + column) : hn::Zero(d);
    rrp = rrq = hn::Zero(d);
  }
  HWY_INLINE void add(Doubles y) {
    rs = hn::Add(rs, split(y, s));
    const Doubles square = hn::Mul(y, y);
    const Doubles rest_p = split(square, p);
    const Doubles rest_q = split(hn::MulSub(y, y, square), q);
    if constexpr (tier == 2) {
      rrp = hn::Add(rrp, split(rest_p, rp));
      rrq = hn::Add(rrq, split(rest_q, rq));
    } else {
      rp = hn::Add(rp, rest_p);
      rq = hn::Add(rq, rest_q);
    }
  }
  HWY_INLINE void leave(const Leaving& leaving) const {
    leaving.anchored<0>(s);
    leaving.anchored<1>(p);
    leaving.anchored<4>(q);
    leaving.plain<3>(rs);
    if constexpr (tier == 2) {
      leaving.anchored<2>(rp);
      leaving.anchored<5>(rq);
      leaving.plain<6>(rrp);
      leaving.plain<7>(rrq);
    } else {
      leaving.plain<2>(rp);
      leaving.plain<5>(rq);
    }
  }
};

// `vectors` of columns side by side.
template <std::size_t tier, bool guarded, std::size_t vectors>
HWY_INLINE bool sum_doubles(const double* x, std::size_t rows, std::ptrdiff_t row_stride, std::size_t column,
                            const PanelColumns& state, std::ptrdiff_t ahead) {
  const Wide d;
  const WideInteger ints;
  const hn::RebindToUnsigned<Wide> words;
  const hn::Repartition<std::uint32_t, Wide> halves;
  const std::size_t lanes = hn::Lanes(d);
  WideSums<tier> sums[vectors];
  hn::Vec<decltype(halves)> smallest[vectors];
  Integers nan[vectors];
  for (std::size_t v = 0; v < vectors; ++v) {
    sums[v].start(state, column + v * lanes);
    smallest[v] = hn::Set(halves, ~std::uint32_t{0});
    nan[v] = hn::Zero(ints);
  }
  x += column;
  for (std::size_t n = 0; n < rows; ++n, x += row_stride) {
    hwy::Prefetch(reinterpret_cast<const char*>(x) + ahead);
    for (std::size_t v = 0; v < vectors; ++v) {
      Doubles y = hn::LoadU(d, x + v * lanes);
      if constexpr (guarded) {
        const auto is_nan = hn::IsNaN(y);
        nan[v] = hn::Add(nan[v], hn::VecFromMask(ints, hn::RebindMask(ints, is_nan)));
        y = hn::IfThenZeroElse(is_nan, y);
      }
      // Of the 64-bit difference only the upper half counts: so is the minimum that of 32-bit numbers.
      const auto bits = hn::BitCast(words, y);
      const auto scanned = hn::Sub(hn::Add(bits, bits), hn::Set(words, 1));
      smallest[v] = hn::Min(smallest[v], hn::BitCast(halves, scanned));
      sums[v].add(y);
    }
  }
  bool good = true;
  for (std::size_t v = 0; v < vectors; ++v) {
    const Integers upper = hn::BitCast(ints, hn::ShiftRight<32>(hn::BitCast(words, smallest[v])));
    const Leaving leaving = judge<true>(state, column + v * lanes, sums[v].p, upper, good);
    sums[v].leave(leaving);
    if constexpr (guarded) {
      std::int64_t* to = state.nan + leaving.column;
      hn::StoreU(hn::Sub(hn::LoadU(ints, to), hn::And(nan[v], leaving.good)), ints, to);
    }
  }
  return good;
}

template <class Element, std::size_t tier, bool guarded>
bool sum_panel(const void* x, std::size_t rows, std::ptrdiff_t row_stride, std::size_t columns,
               const PanelColumns& state, std::ptrdiff_t ahead) noexcept {
  const auto* elements = static_cast<const Element*>(x);
  const std::size_t lanes = hn::Lanes(Wide());
  bool good = true;
  if constexpr (std::is_same_v<Element, double>) {
    // Two vectors side by side hide the latencies where there are 32 registers for them.
    constexpr std::size_t vectors = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 2 : 1;
    for (std::size_t column = 0; column < columns; column += vectors * lanes) {
      good &= sum_doubles<tier, guarded, vectors>(elements, rows, row_stride, column, state, ahead);
    }
  } else {
    std::size_t column = 0;
    if constexpr (!std::is_integral_v<Element> && HWY_TARGET == HWY_AVX3) {
      // Two cache lines of a row at a time where there are 32 registers: wide rows are fetched faster so.
      for (; column + 4 * lanes <= columns; column += 4 * lanes) {
        good &= sum_floats<Element, tier, guarded, 2>(elements, rows, row_stride, column, state, ahead);
      }
    }
    for (; column < columns; column += 2 * lanes) {
      if constexpr (std::is_integral_v<Element>) {
        sum_integers<Element, tier>(elements, rows, row_stride, column, state, ahead);
      } else {
        good &= sum_floats<Element, tier, guarded, 1>(elements, rows, row_stride, column, state, ahead);
      }
    }
  }
  return good;
}

}  // namespace exactnorm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

// Outside: what fills the tables runs on every CPU.
namespace exactnorm::kernels::HWY_NAMESPACE {

template <class Element, std::size_t tier>
void add_tier(PanelKernels& kernels) {
  kernels.plain[tier] = &sum_panel<Element, tier, false>;
  if constexpr (!std::is_integral_v<Element>) {
    kernels.guarded[tier] = &sum_panel<Element, tier, true>;
  }
}

inline void add_anchored(Table& table) {
  add_tier<float, 1>(table.of(DType::float32));
  add_tier<float, 2>(table.of(DType::float32));
  add_tier<double, 1>(table.of(DType::float64));
  add_tier<double, 2>(table.of(DType::float64));
  add_tier<float16_bits, 0>(table.of(DType::float16));
  add_tier<float16_bits, 1>(table.of(DType::float16));
  add_tier<float16_bits, 2>(table.of(DType::float16));
  add_tier<bfloat16_bits, 0>(table.of(DType::bfloat16));
  add_tier<bfloat16_bits, 1>(table.of(DType::bfloat16));
  add_tier<bfloat16_bits, 2>(table.of(DType::bfloat16));
  add_tier<std::int16_t, 0>(table.of(DType::int16));
  add_tier<std::uint16_t, 0>(table.of(DType::uint16));
}

}  // namespace exactnorm::kernels::HWY_NAMESPACE
