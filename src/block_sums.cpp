#include "block_sums.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "anchored_columns.hpp"
#include "decode.hpp"
#include "kernels/buckets.hpp"
#include "kernels/kernels.hpp"

namespace exactnorm {
namespace {

using kernels::Buckets;

/// Any strides, no masks.
template <class Format>
class PlainSums final : public BlockSums {
 public:
  PlainSums(const LoopNest& nest, Feature* features) : nest_(nest), features_(features) {}

  void add(const Position& at, std::int64_t rows, std::int64_t columns) override {
    for (Position column = at; columns-- > 0; column.advance(nest_.columns, 1)) {
      const std::byte* x = column.at[data_operand];
      const std::ptrdiff_t stride = nest_.rows.strides[data_operand];
      for (std::int64_t left = rows; left > 0;) {
        const auto run = static_cast<std::size_t>(std::min<std::int64_t>(left, Buckets<Format>::max_run));
        buckets_.add(x, run, stride);
        buckets_.spill(features_[column.feature]);
        x += static_cast<std::ptrdiff_t>(run) * stride;
        left -= static_cast<std::int64_t>(run);
      }
    }
  }

 private:
  const LoopNest& nest_;
  Feature* features_;
  Buckets<Format> buckets_;
};

bool is_set(const std::byte* flag) noexcept { return flag == nullptr || *flag != std::byte{0}; }

/// Under where and valid: the values that count are gathered first.
template <class Format>
class MaskedSums final : public BlockSums {
 public:
  MaskedSums(const LoopNest& nest, Feature* features) : nest_(nest), features_(features) {}

  void add(const Position& at, std::int64_t rows, std::int64_t columns) override {
    for (Position column = at; columns-- > 0; column.advance(nest_.columns, 1)) {
      Feature& feature = features_[column.feature];
      Position row = column;
      for (std::int64_t left = rows; left-- > 0; row.advance(nest_.rows, 1)) {
        if (!is_set(row.at[where_operand])) {
          continue;
        }
        if (!is_set(row.at[valid_operand])) {
          ++feature.counts.null;
          continue;
        }
        gathered_[count_++] = load<Bits>(row.at[data_operand]);
        if (count_ == gathered_.size()) {
          spill(feature);
        }
      }
      spill(feature);
    }
  }

 private:
  using Bits = typename Format::Bits;

  void spill(Feature& feature) {
    buckets_.add(reinterpret_cast<const std::byte*>(gathered_.data()), std::exchange(count_, 0),
                 sizeof(Bits));
    buckets_.spill(feature);
  }

  const LoopNest& nest_;
  Feature* features_;
  Buckets<Format> buckets_;
  std::array<Bits, Buckets<Format>::max_run> gathered_{};
  std::size_t count_ = 0;
};

/// Σw, Σwx and Σwx², a row at a time.
template <class Format>
class WeightedSums final : public BlockSums {
 public:
  WeightedSums(const LoopNest& nest, DType weights_dtype, Feature* features, ExactSum* weights)
      : nest_(nest), features_(features), weights_(weights) {
    decode_weight_ = with_format(weights_dtype, []<class W>(W) -> Decoder {
      return [](const std::byte* at) noexcept { return decode<W>(load<typename W::Bits>(at)); };
    });
  }

  void add(const Position& at, std::int64_t rows, std::int64_t columns) override {
    for (Position column = at; columns-- > 0; column.advance(nest_.columns, 1)) {
      Position row = column;
      for (std::int64_t left = rows; left-- > 0; row.advance(nest_.rows, 1)) {
        if (is_set(row.at[where_operand])) {
          add_row(row);
        }
      }
    }
  }

 private:
  using Decoder = Decoded (*)(const std::byte*) noexcept;

  void add_row(const Position& row) {
    const Decoded w = decode_weight_(row.at[weights_operand]);
    if (w.kind != Kind::finite || (w.negative && w.mantissa != 0)) {
      const char* what = w.kind == Kind::nan ? "NaN" : w.kind == Kind::posinf ? "infinity" : "a negative one";
      throw std::invalid_argument(std::string("weights must be non-negative and finite, got ") + what);
    }
    if (w.mantissa == 0) {
      return;
    }
    Feature& feature = features_[row.feature];
    if (!is_set(row.at[valid_operand])) {
      ++feature.counts.null;
      return;
    }
    const Decoded x = decode<Format>(load<typename Format::Bits>(row.at[data_operand]));
    switch (x.kind) {
      case Kind::nan:
        ++feature.counts.nan;
        return;
      case Kind::posinf:
        ++feature.counts.posinf;
        return;
      case Kind::neginf:
        ++feature.counts.neginf;
        return;
      case Kind::finite:
        break;
    }
    ++feature.counts.finite;
    weights_[row.feature].add_wide(0, w.mantissa, w.exponent);
    const uint128 wx = static_cast<uint128>(w.mantissa) * x.mantissa;
    add_product(feature.sum, wx, 1, w.exponent + x.exponent, x.negative);
    add_product(feature.sumsq, wx, x.mantissa, w.exponent + 2 * x.exponent, false);
  }

  // sum ± a · b · 2^exponent, a·b of up to 192 bits.
  static void add_product(ExactSum& sum, uint128 a, std::uint64_t b, int exponent, bool negative) {
    const uint128 low = static_cast<uint128>(static_cast<std::uint64_t>(a)) * b;
    const uint128 high = static_cast<uint128>(static_cast<std::uint64_t>(a >> 64)) * b;
    sum.add_wide(static_cast<std::uint64_t>(low >> 64), static_cast<std::uint64_t>(low), exponent, negative);
    sum.add_wide(static_cast<std::uint64_t>(high >> 64), static_cast<std::uint64_t>(high), exponent + 64,
                 negative);
  }

  const LoopNest& nest_;
  Feature* features_;
  ExactSum* weights_;
  Decoder decode_weight_;
};

/// float32 and float64 through the anchored kernels, where elements of a row, or of a feature, lie side by
/// side. What does not fill a column group goes the plain way.
template <class T, class Format>
class AnchoredSums final : public BlockSums {
 public:
  AnchoredSums(kernels::PanelKernel<T> kernel, const LoopNest& nest, Feature* features)
      : kernel_(kernel), nest_(nest), features_(features), plain_(nest, features) {}

  static bool fits(const TensorView& x, const LoopNest& nest) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(x.data) % alignof(T) == 0 &&
                         std::all_of(x.strides.begin(), x.strides.end(),
                                     [](std::int64_t stride) { return stride % item == 0; });
    return aligned &&
           (nest.columns.extent == 1 || nest.columns.strides[data_operand] == item || is_run(nest));
  }

  void add(const Position& at, std::int64_t rows, std::int64_t columns) override {
    const std::int64_t row_stride = nest_.rows.strides[data_operand] / item;
    if (columns % group != 0 && columns <= max_folded && row_stride == columns) {
      // Rows follow one another without a gap: `fold` of them make one long row, so that any number of
      // columns fills the vectors.
      std::int64_t fold = group / std::gcd(columns, group);
      while (fold * columns < min_folded_columns) {
        fold *= 2;
      }
      const std::int64_t folded_rows = rows / fold;
      add_anchored(at, folded_rows, fold * columns, fold * columns, columns);
      add_plain(at, folded_rows * fold, rows - folded_rows * fold, 0, columns);
    } else {
      const std::int64_t whole = columns / group * group;
      add_anchored(at, rows, row_stride, whole, whole);
      add_plain(at, 0, rows, whole, columns - whole);
    }
  }

  void finish() override {
    if (columns_) {
      columns_->flush();
      columns_.reset();
    }
  }

 private:
  static constexpr std::int64_t item = sizeof(T);
  static constexpr std::int64_t group = kernels::column_group;
  static constexpr std::int64_t max_folded =
      256;  // 16 · 256 columns of windows still fit the second-level cache
  static constexpr std::int64_t min_folded_columns =
      64;                                       // enough independent sums to hide the latency of additions
  static constexpr std::int64_t min_rows = 16;  // fewer do not pay for choosing an exponent

  static bool is_run(const LoopNest& nest) { return nest.rows.strides[data_operand] == item; }

  void add_anchored(const Position& at, std::int64_t rows, std::int64_t row_stride, std::int64_t columns,
                    std::int64_t period) {
    if (columns == 0 || rows < min_rows) {
      add_plain(at, 0, period == columns ? rows : rows * (columns / period), 0, period);
      return;
    }
    if (!columns_ || first_feature_ != at.feature || width_ != columns) {
      finish();
      columns_.emplace(kernel_, features_ + at.feature, static_cast<std::size_t>(period),
                       nest_.columns.feature, static_cast<std::size_t>(columns));
      first_feature_ = at.feature;
      width_ = columns;
    }
    columns_->add(reinterpret_cast<const T*>(at.at[data_operand]), static_cast<std::size_t>(rows),
                  row_stride);
  }

  void add_plain(Position at, std::int64_t skipped_rows, std::int64_t rows, std::int64_t skipped_columns,
                 std::int64_t columns) {
    at.advance(nest_.rows, skipped_rows);
    at.advance(nest_.columns, skipped_columns);
    plain_.add(at, rows, columns);
  }

  kernels::PanelKernel<T> kernel_;
  const LoopNest& nest_;
  Feature* features_;
  PlainSums<Format> plain_;
  std::optional<AnchoredColumns<T>> columns_;
  std::int64_t first_feature_ = 0;
  std::int64_t width_ = 0;
};

template <class T, class Format>
std::unique_ptr<BlockSums> make_anchored(const TensorView& x, const LoopNest& nest, Feature* features) {
  using Sums = AnchoredSums<T, Format>;
  const kernels::PanelKernel<T> kernel = kernels::kernel_of<T>(kernels::chosen());
  if (kernel != nullptr && Sums::fits(x, nest)) {
    return std::make_unique<Sums>(kernel, nest, features);
  }
  return std::make_unique<PlainSums<Format>>(nest, features);
}

}  // namespace

std::unique_ptr<BlockSums> make_block_sums(const TensorView& x, const LoopNest& nest,
                                           const UpdateOptions& options, Feature* features,
                                           ExactSum* weights) {
  if (options.weights) {
    return with_format(x.dtype, [&]<class Format>(Format) -> std::unique_ptr<BlockSums> {
      return std::make_unique<WeightedSums<Format>>(nest, options.weights->dtype, features, weights);
    });
  }
  if (options.where || options.valid) {
    return with_format(x.dtype, [&]<class Format>(Format) -> std::unique_ptr<BlockSums> {
      return std::make_unique<MaskedSums<Format>>(nest, features);
    });
  }
  if (x.dtype == DType::float32) {
    return make_anchored<float, Float32>(x, nest, features);
  }
  if (x.dtype == DType::float64) {
    return make_anchored<double, Float64>(x, nest, features);
  }
  return with_format(x.dtype, [&]<class Format>(Format) -> std::unique_ptr<BlockSums> {
    return std::make_unique<PlainSums<Format>>(nest, features);
  });
}

}  // namespace exactnorm
