// The weighted kernel of kernels.hpp. Included once for every target by panels.cpp, so without a guard.

HWY_BEFORE_NAMESPACE();
namespace exactnorm::kernels::HWY_NAMESPACE {

// The accumulators of one vector of columns.
struct WeightedSums {
  Doubles s, p, q;     // anchored
  Doubles rs, rp, rq;  // their rests, of p anchored
  Doubles rrp;         // the rests of that

  HWY_INLINE void start(const PanelColumns& state, std::size_t column) {
    const Wide d;
    s = hn::LoadU(d, state.start[0] + column);
    p = hn::LoadU(d, state.start[1] + column);
    q = hn::LoadU(d, state.start[4] + column);
    rp = hn::LoadU(d, state.start[2] + column);
    rs = rq = rrp = hn::Zero(d);
  }
  HWY_INLINE void add(Doubles x, Doubles w) {
    const Doubles y = hn::Mul(w, x);
    rs = hn::Add(rs, split(y, s));
    const Doubles product = hn::Mul(y, x);
    rrp = hn::Add(rrp, split(split(product, p), rp));
    rq = hn::Add(rq, split(hn::MulSub(y, x, product), q));
  }
  HWY_INLINE void leave(const Leaving& leaving) const {
    leaving.anchored<0>(s);
    leaving.anchored<1>(p);
    leaving.anchored<2>(rp);
    leaving.plain<3>(rs);
    leaving.anchored<4>(q);
    leaving.plain<5>(rq);
    leaving.plain<6>(rrp);
  }
};

// One vector of columns; one weight for each row where `by_row`, else one for each value.
template <bool by_row>
HWY_INLINE bool sum_weighted_vector(const float* x, std::ptrdiff_t x_stride, const float* w,
                                    std::ptrdiff_t w_stride, std::size_t rows, std::size_t column,
                                    const PanelColumns& state) {
  const Wide wide;
  const WideInteger ints;
  const FloatInput<float>::Half half;
  const hn::Half<FloatInput<float>::Words> words;
  WeightedSums sums;
  sums.start(state, column);
  const Doubles weight_start = hn::LoadU(wide, state.start[7] + column);
  const auto one = hn::Set(words, 1);
  auto smallest = hn::Set(words, ~std::uint32_t{0});
  Integers weights = hn::Zero(ints);  // bits of weight_start + w, less those of weight_start
  x += column;
  w += by_row ? 0 : column;
  for (std::size_t n = 0; n < rows; ++n, x += x_stride, w += w_stride) {
    const auto loaded = hn::LoadU(half, x);
    const auto bits = hn::BitCast(words, loaded);
    smallest = hn::Min(smallest, hn::Sub(hn::Add(bits, bits), one));
    const Doubles weight =
        by_row ? hn::Set(wide, static_cast<double>(*w)) : hn::PromoteTo(wide, hn::LoadU(half, w));
    if constexpr (!by_row) {
      weights = hn::Add(weights, hn::Sub(hn::BitCast(ints, hn::Add(weight, weight_start)),
                                         hn::BitCast(ints, weight_start)));
    }
    sums.add(hn::PromoteTo(wide, loaded), weight);
  }
  const Integers scanned = hn::BitCast(ints, hn::PromoteTo(hn::RebindToUnsigned<Wide>(), smallest));
  bool good = true;
  const Leaving leaving = judge<true>(state, column, sums.p, scanned, good);
  sums.leave(leaving);
  if constexpr (!by_row) {
    std::int64_t* to = state.window[7] + column;
    hn::StoreU(hn::Add(hn::LoadU(ints, to), hn::And(weights, leaving.good)), ints, to);
  }
  return good;
}

template <bool by_row>
HWY_ATTR bool sum_weighted(const float* x, std::ptrdiff_t x_stride, const float* w, std::ptrdiff_t w_stride,
                           std::size_t rows, std::size_t columns, const PanelColumns& state) noexcept {
  bool good = true;
  for (std::size_t column = 0; column < columns; column += hn::Lanes(Wide())) {
    good &= sum_weighted_vector<by_row>(x, x_stride, w, w_stride, rows, column, state);
  }
  return good;
}

}  // namespace exactnorm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
