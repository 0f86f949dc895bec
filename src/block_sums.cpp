#include "block_sums.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "decode.hpp"
#include "kernels/buckets.hpp"
#include "kernels/kernels.hpp"
#include "packing.hpp"
#include "vector_sums.hpp"
#include "weighted_sums.hpp"

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
  std::array<Bits, 1024> gathered_{};
  std::size_t count_ = 0;
};

}  // namespace

std::unique_ptr<BlockSums> make_block_sums(const TensorView& x, const LoopNest& nest,
                                           const UpdateOptions& options, Feature* features,
                                           ExactSum* weights) {
  if (options.weights) {
    return make_weighted_sums(x.dtype, options.weights->dtype, nest, features, weights);
  }
  return with_format(x.dtype, [&]<class Format>(Format) -> std::unique_ptr<BlockSums> {
    const kernels::PanelKernels& kernels = kernels::chosen().of(x.dtype);
    if (kernels.plain[kernels::scheme_of<Format>().first_tier()] != nullptr) {
      return std::make_unique<VectorSums<Format>>(kernels, x, nest, options, features);
    }
    if (options.where || options.valid) {
      return std::make_unique<MaskedSums<Format>>(nest, features);
    }
    return std::make_unique<PlainSums<Format>>(nest, features);
  });
}

}  // namespace exactnorm
