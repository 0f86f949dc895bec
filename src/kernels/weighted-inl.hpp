// The weighted kernel of kernels.hpp. Included once for every target by panels.cpp, so without a guard.

HWY_BEFORE_NAMESPACE();
namespace exactnorm::kernels::HWY_NAMESPACE {

// The accumulators of one vector of columns.
struct WeightedSums {
  Doubles s, p, q;       // anchored
  Doubles rs, rp, rq;    // their rests, of p anchored
  Doubles rrp;           // the rests of that
  Doubles weight_start;  // 1.5 · 2^52 units of the weights
  Integers weights;      // bits of weight_start + w, less those of weight_start

  HWY_INLINE void start(const PanelColumns& state, std::size_t column) {
    const Wide d;
    s = hn::LoadU(d, state.start[0] + column);
    p = hn::LoadU(d, state.start[1] + column);
    q = hn::LoadU(d, state.start[4] + column);
    rp = hn::LoadU(d, state.start[2] + column);
    rs = rq = rrp = hn::Zero(d);
    weight_start = hn::LoadU(d, state.start[7] + column);
    weights = hn::Zero(WideInteger());
  }
  HWY_INLINE void add(Doubles x, Doubles w) {
    const WideInteger d;
    weights =
        hn::Add(weights, hn::Sub(hn::BitCast(d, hn::Add(w, weight_start)), hn::BitCast(d, weight_start)));
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
    const WideInteger d;
    std::int64_t* to = leaving.state.window[7] + leaving.column;
    hn::StoreU(hn::Add(hn::LoadU(d, to), hn::And(weights, leaving.good)), d, to);
  }
};

inline HWY_ATTR bool sum_weighted(const float* x, const float* w, std::size_t rows, std::size_t columns,
                                  const PanelColumns& state) noexcept {
  using Input = FloatInput<float>;
  const Input::Words words;
  const Input::Half half;
  const std::size_t lanes = hn::Lanes(Wide());
  bool good = true;
  for (std::size_t column = 0; column < columns; column += lanes) {
    WeightedSums sums;
    sums.start(state, column);
    const hn::Half<Input::Words> d;
    const auto one = hn::Set(d, 1);
    auto smallest = hn::Set(d, ~std::uint32_t{0});
    for (std::size_t n = 0; n < rows; ++n) {
      const auto loaded = hn::LoadU(half, x + n * columns + column);
      const auto bits = hn::BitCast(d, loaded);
      smallest = hn::Min(smallest, hn::Sub(hn::Add(bits, bits), one));
      sums.add(hn::PromoteTo(Wide(), loaded),
               hn::PromoteTo(Wide(), hn::LoadU(half, w + n * columns + column)));
    }
    const hn::RebindToUnsigned<Wide> wide_words;
    const Integers scanned = hn::BitCast(WideInteger(), hn::PromoteTo(wide_words, smallest));
    sums.leave(judge<true>(state, column, sums.p, scanned, good));
  }
  return good;
}

}  // namespace exactnorm::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
