// The kernels of kernels.hpp for integers of 8, 32 and 64 bits. Included once for every target by panels.cpp,
// so without a guard.

HWY_BEFORE_NAMESPACE();
namespace exactnorm::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Bytes, as 16-bit numbers of even and of odd columns. 256 of them add up in 16 bits: at most 256 · 255 <
// 2^16, or at least -256 · 128 = -2^15. A square is at most 255², so its upper and its lower byte do, too.
template <class Element>
struct ByteSums {
  using Bytes = hn::ScalableTag<std::uint8_t>;
  using Shorts = hn::Repartition<std::uint16_t, Bytes>;
  using SignedShorts = hn::RebindToSigned<Shorts>;
  using Vector = hn::Vec<Shorts>;

  Vector sum[2];
  Vector upper[2];
  Vector lower[2];

  HWY_INLINE void start() {
    for (std::size_t odd = 0; odd < 2; ++odd) {
      sum[odd] = upper[odd] = lower[odd] = hn::Zero(Shorts());
    }
  }
  HWY_INLINE void add(const Element* x) {
    const Shorts d;
    const auto bytes = hn::LoadU(Bytes(), reinterpret_cast<const std::uint8_t*>(x));
    if constexpr (std::is_same_v<Element, bool>) {
      add(d, hn::BitCast(d, hn::Min(bytes, hn::Set(Bytes(), 1))));
    } else {
      add(d, hn::BitCast(d, bytes));
    }
  }
  HWY_INLINE void add(Shorts d, Vector pair) {
    const Vector byte = hn::Set(d, 0xff);
    Vector values[2];
    if constexpr (std::is_same_v<Element, std::int8_t>) {
      const SignedShorts s;
      values[0] = hn::BitCast(d, hn::ShiftRight<8>(hn::BitCast(s, hn::ShiftLeft<8>(pair))));
      values[1] = hn::BitCast(d, hn::ShiftRight<8>(hn::BitCast(s, pair)));
    } else {
      values[0] = hn::And(pair, byte);
      values[1] = hn::ShiftRight<8>(pair);
    }
    for (std::size_t odd = 0; odd < 2; ++odd) {
      const Vector square = hn::Mul(values[odd], values[odd]);
      sum[odd] = hn::Add(sum[odd], values[odd]);
      upper[odd] = hn::Add(upper[odd], hn::ShiftRight<8>(square));
      lower[odd] = hn::Add(lower[odd], hn::And(square, byte));
    }
  }
  HWY_INLINE void leave(const PanelColumns& state, std::size_t column) const {
    const Shorts d;
    for (std::size_t odd = 0; odd < 2; ++odd) {
      HWY_ALIGN std::uint16_t sums[hn::MaxLanes(d)];
      HWY_ALIGN std::uint16_t uppers[hn::MaxLanes(d)];
      HWY_ALIGN std::uint16_t lowers[hn::MaxLanes(d)];
      hn::Store(sum[odd], d, sums);
      hn::Store(upper[odd], d, uppers);
      hn::Store(lower[odd], d, lowers);
      for (std::size_t i = 0; i < hn::Lanes(d); ++i) {
        const std::size_t at = column + 2 * i + odd;
        const std::int64_t value =
            std::is_signed_v<Element> ? std::int64_t{static_cast<std::int16_t>(sums[i])} : sums[i];
        state.window[0][at] += value;
        state.window[1][at] += 256 * std::int64_t{uppers[i]} + lowers[i];
      }
    }
  }
};

template <class Element>
bool sum_bytes(const void* x, std::size_t rows, std::ptrdiff_t row_stride, std::size_t columns,
               const PanelColumns& state, std::ptrdiff_t ahead) noexcept {
  const std::size_t lanes = hn::Lanes(hn::ScalableTag<std::uint8_t>());
  for (std::size_t column = 0; column < columns; column += lanes) {
    ByteSums<Element> sums;
    sums.start();
    const Element* row = static_cast<const Element*>(x) + column;
    for (std::size_t n = 0; n < rows; ++n, row += row_stride) {
      hwy::Prefetch(reinterpret_cast<const char*>(row) + ahead);
      sums.add(row);
    }
    sums.leave(state, column);
  }
  return true;
}

// A number of 64 bits is u = h · 2^32 + l, and u² = h² · 2^64 + 2hl · 2^32 + l². Of what is added up, v, one
// sum has v modulo 2^64 and one v >> 32, at most 256 · 2^32: so the sum of the lower halves is the first less
// 2^32 times the second, exact modulo 2^64 as it is below 2^40.
struct LongSum {
  using D = hn::ScalableTag<std::uint64_t>;
  using Vector = hn::Vec<D>;

  Vector all;
  Vector upper;

  HWY_INLINE void start() { all = upper = hn::Zero(D()); }
  HWY_INLINE void add(Vector v, Vector v_upper) {
    all = hn::Add(all, v);
    upper = hn::Add(upper, v_upper);
  }
  HWY_INLINE void add(Vector v) { add(v, hn::ShiftRight<32>(v)); }
  [[nodiscard]] HWY_INLINE Vector lower() const { return hn::Sub(all, hn::ShiftLeft<32>(upper)); }
};

// Integers of 32 bits, two to a lane: those of even columns below, of odd columns above. Signed ones are
// summed as u = x + 2^31, but squared as they are: at most 2^62.
template <class Element>
HWY_INLINE void sum_words_of_vector(const Element* x, std::size_t rows, std::ptrdiff_t row_stride,
                                    std::size_t column, const PanelColumns& state, std::ptrdiff_t ahead) {
  using D = LongSum::D;
  const D d;
  using Words = hn::Repartition<std::make_unsigned_t<Element>, D>;
  using Factors = hn::Repartition<Element, D>;
  const Words words;
  const Factors factors;
  constexpr bool is_signed = std::is_signed_v<Element>;
  auto even = hn::Zero(d);
  auto odd = hn::Zero(d);
  LongSum even_squares;
  LongSum odd_squares;
  even_squares.start();
  odd_squares.start();
  const auto lower_half = hn::Set(d, 0xffffffffU);
  x += column;
  for (std::size_t n = 0; n < rows; ++n, x += row_stride) {
    hwy::Prefetch(reinterpret_cast<const char*>(x) + ahead);
    const auto pair =
        hn::BitCast(d, hn::LoadU(words, reinterpret_cast<const std::make_unsigned_t<Element>*>(x)));
    const auto upper = hn::ShiftRight<32>(pair);
    const auto squared = [&](auto v) HWY_ATTR {
      const auto f = hn::BitCast(factors, v);
      return hn::BitCast(d, hn::MulEven(f, f));
    };
    even_squares.add(squared(pair));
    odd_squares.add(squared(upper));
    if constexpr (is_signed) {
      const auto u = hn::Xor(pair, hn::Set(d, 0x8000000080000000U));
      even = hn::Add(even, hn::And(u, lower_half));
      odd = hn::Add(odd, hn::ShiftRight<32>(u));
    } else {
      even = hn::Add(even, hn::And(pair, lower_half));
      odd = hn::Add(odd, upper);
    }
  }
  HWY_ALIGN std::uint64_t sums[3][2][hn::MaxLanes(d)];
  hn::Store(even, d, sums[0][0]);
  hn::Store(odd, d, sums[0][1]);
  hn::Store(even_squares.lower(), d, sums[1][0]);
  hn::Store(odd_squares.lower(), d, sums[1][1]);
  hn::Store(even_squares.upper, d, sums[2][0]);
  hn::Store(odd_squares.upper, d, sums[2][1]);
  const std::uint64_t offset = is_signed ? std::uint64_t{rows} << 31 : 0;
  for (std::size_t i = 0; i < 2 * hn::Lanes(d); ++i) {
    state.window[0][column + i] += static_cast<std::int64_t>(sums[0][i % 2][i / 2] - offset);
    state.window[1][column + i] += static_cast<std::int64_t>(sums[1][i % 2][i / 2]);
    state.window[2][column + i] += static_cast<std::int64_t>(sums[2][i % 2][i / 2]);
  }
}

template <class Element>
bool sum_words(const void* x, std::size_t rows, std::ptrdiff_t row_stride, std::size_t columns,
               const PanelColumns& state, std::ptrdiff_t ahead) noexcept {
  for (std::size_t column = 0; column < columns; column += 2 * hn::Lanes(LongSum::D())) {
    sum_words_of_vector(static_cast<const Element*>(x), rows, row_stride, column, state, ahead);
  }
  return true;
}

// Signed numbers are summed as u = x + 2^63: Σx = Σu - n·2^63 and Σx² = Σu² - 2^64·Σu + n·2^126.
template <class Element>
HWY_INLINE void sum_longs_of_vector(const Element* x, std::size_t rows, std::ptrdiff_t row_stride,
                                    std::size_t column, const PanelColumns& state, std::ptrdiff_t ahead) {
  using D = LongSum::D;
  const D d;
  const hn::Repartition<std::uint32_t, D> halves;
  constexpr bool is_signed = std::is_signed_v<Element>;
  LongSum s;
  LongSum hh;
  LongSum hl;
  LongSum ll;
  for (LongSum* each : {&s, &hh, &hl, &ll}) {
    each->start();
  }
  x += column;
  for (std::size_t n = 0; n < rows; ++n, x += row_stride) {
    hwy::Prefetch(reinterpret_cast<const char*>(x) + ahead);
    auto u = hn::LoadU(d, reinterpret_cast<const std::uint64_t*>(x));
    if constexpr (is_signed) {
      u = hn::Xor(u, hn::Set(d, std::uint64_t{1} << 63));
    }
    const auto h = hn::ShiftRight<32>(u);
    const auto h32 = hn::BitCast(halves, h);
    const auto l32 = hn::BitCast(halves, u);
    s.add(u, h);
    hh.add(hn::MulEven(h32, h32));
    hl.add(hn::MulEven(h32, l32));
    ll.add(hn::MulEven(l32, l32));
  }
  const auto leave = [&](std::size_t window, LongSum::Vector units) HWY_ATTR {
    auto* to = reinterpret_cast<std::uint64_t*>(state.window[window] + column);
    hn::StoreU(hn::Add(hn::LoadU(d, to), units), d, to);
  };
  // n·2^63 is 2^32 · (n·2^31), n·2^126 is 2^96 · (n·2^30).
  const auto offset = [&](int bit)
                          HWY_ATTR { return hn::Set(d, is_signed ? std::uint64_t{rows} << bit : 0); };
  const auto if_signed = [&](LongSum::Vector v) HWY_ATTR { return is_signed ? v : hn::Zero(d); };
  leave(0, s.lower());
  leave(1, hn::Sub(s.upper, offset(31)));
  leave(2, ll.lower());
  leave(3, hn::Add(ll.upper, hn::Add(hl.lower(), hl.lower())));
  leave(4, hn::Sub(hn::Add(hh.lower(), hn::Add(hl.upper, hl.upper)), if_signed(s.lower())));
  leave(5, hn::Add(hn::Sub(hh.upper, if_signed(s.upper)), offset(30)));
}

template <class Element>
bool sum_longs(const void* x, std::size_t rows, std::ptrdiff_t row_stride, std::size_t columns,
               const PanelColumns& state, std::ptrdiff_t ahead) noexcept {
  for (std::size_t column = 0; column < columns; column += hn::Lanes(LongSum::D())) {
    sum_longs_of_vector(static_cast<const Element*>(x), rows, row_stride, column, state, ahead);
  }
  return true;
}

}  // namespace exactnorm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

namespace exactnorm::kernels::HWY_NAMESPACE {

inline void add_integers(Table& table) {
  table.of(DType::int8).plain[0] = &sum_bytes<std::int8_t>;
  table.of(DType::uint8).plain[0] = &sum_bytes<std::uint8_t>;
  table.of(DType::boolean).plain[0] = &sum_bytes<bool>;
  table.of(DType::int32).plain[0] = &sum_words<std::int32_t>;
  table.of(DType::uint32).plain[0] = &sum_words<std::uint32_t>;
  table.of(DType::int64).plain[0] = &sum_longs<std::int64_t>;
  table.of(DType::uint64).plain[0] = &sum_longs<std::uint64_t>;
}

}  // namespace exactnorm::kernels::HWY_NAMESPACE
