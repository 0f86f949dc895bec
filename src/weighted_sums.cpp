#include "weighted_sums.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <type_traits>
#include <vector>

#include "decode.hpp"
#include "fold.hpp"
#include "half.hpp"
#include "kernels/kernels.hpp"
#include "packed_weights.hpp"
#include "packing.hpp"
#include "product_buckets.hpp"
#include "weighted_element.hpp"
#include "weighted_panel_sums.hpp"

namespace exactnorm {
namespace {

/// In integers, an element at a time: any dtypes.
class IntegerSums final : public BlockSums {
 public:
  IntegerSums(DType x, DType w, const LoopNest& nest, Feature* features, ExactSum* weights)
      : nest_(nest),
        features_(features),
        weights_(weights),
        decode_x_(decoder_of(x)),
        decode_w_(decoder_of(w)) {}

  void add(const Position& at, std::int64_t rows, std::int64_t columns) override {
    for (Position column = at; columns-- > 0; column.advance(nest_.columns, 1)) {
      Feature& feature = features_[column.feature];
      ExactSum& weight = weights_[column.feature];
      Position row = column;
      for (std::int64_t left = rows; left-- > 0; row.advance(nest_.rows, 1)) {
        if (is_set(row.at[where_operand])) {
          add_element(row, feature, weight);
        }
      }
      buckets_.spill(feature, weight);
    }
  }

 private:
  void add_element(const Position& at, Feature& feature, ExactSum& weight) {
    const Decoded w = decode_w_(at.at[weights_operand]);
    check_weight(w);
    if (w.mantissa == 0) {
      return;
    }
    if (!is_set(at.at[valid_operand])) {
      ++feature.counts.null;
      return;
    }
    const Decoded x = decode_x_(at.at[data_operand]);
    if (x.kind != Kind::finite) {
      count_special(x.kind, feature.counts);
      return;
    }
    ++feature.counts.finite;
    buckets_.add(w, x, feature, weight);
  }

  const LoopNest& nest_;
  Feature* features_;
  ExactSum* weights_;
  Decoder decode_x_;
  Decoder decode_w_;
  ProductBuckets buckets_;
};

// Whether float32 holds every value.
template <class Format>
constexpr bool is_narrow = Format::is_float ? sizeof(typename Format::Bits) <= 4
                                            : sizeof(typename Format::Bits) <= 2;

template <class Format>
float to_float(typename Format::Bits bits) noexcept {
  if constexpr (std::is_same_v<Format, Float16>) {
    return exactnorm::to_float(static_cast<float16_bits>(bits));
  } else if constexpr (std::is_same_v<Format, BFloat16>) {
    return exactnorm::to_float(static_cast<bfloat16_bits>(bits));
  } else if constexpr (std::is_same_v<Format, Float32>) {
    return std::bit_cast<float>(bits);
  } else if constexpr (std::is_same_v<Format, BooleanFormat>) {
    return bits != 0 ? 1.0F : 0.0F;
  } else {
    return static_cast<float>(bits);
  }
}

/// Through the weighted kernel: values and weights are packed as float32 first. Rows whose weights are no
/// float32 go the integers' way.
template <class Format>
class WeightedVectorSums final : public BlockSums {
 public:
  WeightedVectorSums(const kernels::Table& table, DType x, DType w, const LoopNest& nest, Feature* features,
                     ExactSum* weights)
      : table_(table),
        nest_(nest),
        features_(features),
        weights_(weights),
        pack_weights_(packing_of_weights(w)),
        integers_(x, w, nest, features, weights) {}

  void add(const Position& at, std::int64_t rows, std::int64_t columns) override {
    const std::int64_t fold = rows_to_fold(columns, group);
    width_ = fold * columns;
    padded_ = (width_ + group - 1) / group * group;
    columns_ = columns;
    if (!sums_ || first_feature_ != at.feature || period_ != columns) {
      finish();
      sums_.emplace(table_, features_ + at.feature, weights_ + at.feature, static_cast<std::size_t>(columns),
                    nest_.columns.feature, static_cast<std::size_t>(padded_));
      first_feature_ = at.feature;
      period_ = columns;
    }
    const std::int64_t most = std::max(packed_elements / padded_, std::int64_t{1});
    Position next = at;
    while (rows > 0) {
      const std::int64_t count = std::min(rows, std::min<std::int64_t>(most, kernels::panel_rows) * fold);
      add_panel(next, count);
      next.advance(nest_.rows, count);
      rows -= count;
    }
  }

  void finish() override {
    if (sums_) {
      sums_->flush();
      sums_.reset();
    }
  }

 private:
  using Bits = typename Format::Bits;
  static constexpr std::int64_t group = 16;
  static constexpr std::int64_t packed_elements = 1 << 13;  // of each, values and weights

  void add_panel(const Position& at, std::int64_t rows) {
    const bool by_row = nest_.columns.strides[weights_operand] == 0;
    row_weights_.resize(static_cast<std::size_t>(by_row ? rows : rows * columns_));
    if (!pack_weights(at, rows, by_row)) {
      integers_.add(at, rows, columns_);
      return;
    }
    const bool masked = at.at[valid_operand] != nullptr || at.at[where_operand] != nullptr;
    const WeightRange range = range_of_weights(row_weights_);
    if (by_row && !masked && try_in_place(at, rows, range)) {
      return;
    }
    // Row r of the data is part r mod fold of long row r / fold, whose end zeros fill.
    const std::int64_t fold = width_ / columns_;
    const std::int64_t long_rows = (rows + fold - 1) / fold;
    x_.assign(static_cast<std::size_t>(long_rows * padded_), 0.0F);
    w_.assign(x_.size(), 0.0F);
    if (columns_ == 1 && !masked &&
        pack_plain(at.at[data_operand], nest_.rows.strides[data_operand], row_weights_.data(), 1, rows,
                   x_.data(), w_.data())) {
      features_[at.feature].counts.finite +=
          std::count_if(w_.begin(), w_.end(), [](float w) { return w != 0; });
    } else {
      pack_rows(at, rows, by_row);
    }
    sums_->add(x_.data(), w_.data(), static_cast<std::size_t>(long_rows), range);
  }

  // Rows of float32 that the kernel can read where they are, if it takes them.
  bool try_in_place(const Position& at, std::int64_t rows, const WeightRange& range) {
    if constexpr (std::is_same_v<Format, Float32>) {
      const std::byte* x = at.at[data_operand];
      if (columns_ != padded_ || width_ != columns_ || nest_.columns.strides[data_operand] != sizeof(float) ||
          nest_.rows.strides[data_operand] % static_cast<std::int64_t>(sizeof(float)) != 0 ||
          reinterpret_cast<std::uintptr_t>(x) % alignof(float) != 0) {
        return false;
      }
      if (packs_ > 0) {
        --packs_;
        return false;
      }
      if (!sums_->try_rows(reinterpret_cast<const float*>(x),
                           nest_.rows.strides[data_operand] / static_cast<std::int64_t>(sizeof(float)),
                           row_weights_.data(), static_cast<std::size_t>(rows), range)) {
        failures_ = std::min(failures_ + 1, 4);
        packs_ = (1 << failures_) - 1;
        return false;
      }
      failures_ = 0;
      const auto count =
          std::count_if(row_weights_.begin(), row_weights_.end(), [](float w) { return w != 0; });
      for (std::int64_t j = 0; j < columns_; ++j) {
        features_[at.feature + j * nest_.columns.feature].counts.finite += count;
      }
      return true;
    } else {
      return false;
    }
  }

  void pack_rows(const Position& at, std::int64_t rows, bool by_row) {
    const std::int64_t fold = width_ / columns_;
    const bool masked = at.at[valid_operand] != nullptr ||
                        (at.at[where_operand] != nullptr && nest_.columns.strides[where_operand] != 0);
    std::int64_t plain_rows = 0;
    Position row = at;
    for (std::int64_t r = 0; r < rows; ++r, row.advance(nest_.rows, 1)) {
      const auto to = static_cast<std::size_t>(r / fold * padded_ + r % fold * columns_);
      const float* weights = row_weights_.data() + (by_row ? r : r * columns_);
      if (by_row && *weights == 0) {
        continue;
      }
      if (by_row && !masked &&
          pack_plain(row.at[data_operand], nest_.columns.strides[data_operand], weights, 0, columns_,
                     x_.data() + to, w_.data() + to)) {
        ++plain_rows;
      } else {
        pack_row(row, weights, by_row ? 0 : 1, x_.data() + to, w_.data() + to);
      }
    }
    for (std::int64_t j = 0; j < columns_; ++j) {
      features_[at.feature + j * nest_.columns.feature].counts.finite += plain_rows;
    }
  }

  // Values under nothing but weights; false, and they have to be packed again, if any is NaN or infinite.
  static bool pack_plain(const std::byte* from, std::ptrdiff_t stride, const float* weights,
                         std::int64_t step, std::int64_t count, float* x, float* w) {
    bool finite = true;
    const auto pack = [&](std::ptrdiff_t apart) {
      for (std::int64_t j = 0; j < count; ++j) {
        const auto bits = load<Bits>(from + j * apart);
        const float weight = weights[j * step];
        if constexpr (Format::is_float) {
          constexpr auto special = static_cast<Bits>(Format::magnitude_mask ^ Format::fraction_mask);
          finite &= (bits & special) != special;
        }
        const auto value = std::bit_cast<std::uint32_t>(to_float<Format>(bits));
        x[j] = std::bit_cast<float>(choose(weight != 0, value, std::uint32_t{0}));
        w[j] = weight;
      }
    };
    if (stride == static_cast<std::ptrdiff_t>(sizeof(Bits))) {
      pack(sizeof(Bits));  // which vectors can
    } else {
      pack(stride);
    }
    return finite;
  }

  bool pack_weights(const Position& at, std::int64_t rows, bool by_row) {
    if (by_row && at.at[where_operand] == nullptr) {
      return pack_weights_(at.at[weights_operand], nest_.rows.strides[weights_operand], rows,
                           row_weights_.data());
    }
    // Weights where `where` is False are not looked at.
    bool exact = true;
    const std::int64_t each = by_row ? 1 : columns_;
    Position row = at;
    for (std::int64_t r = 0; r < rows; ++r, row.advance(nest_.rows, 1)) {
      Position element = row;
      for (std::int64_t j = 0; j < each; ++j, element.advance(nest_.columns, 1)) {
        float& to = row_weights_[static_cast<std::size_t>(r * each + j)];
        to = 0;
        bool looked_at = is_set(element.at[where_operand]);
        if (by_row && nest_.columns.strides[where_operand] != 0) {
          looked_at = any_present(row);
        }
        if (looked_at) {
          exact &= pack_weights_(element.at[weights_operand], 0, 1, &to);
        }
      }
    }
    return exact;
  }
  [[nodiscard]] bool any_present(Position row) const {
    for (std::int64_t j = 0; j < columns_; ++j, row.advance(nest_.columns, 1)) {
      if (is_set(row.at[where_operand])) {
        return true;
      }
    }
    return false;
  }

  // One row of values; the weight of column j is weights[j · step].
  void pack_row(const Position& row, const float* weights, std::int64_t step, float* x, float* w) {
    const std::byte* from = row.at[data_operand];
    const std::byte* where = row.at[where_operand];
    const std::byte* valid = row.at[valid_operand];
    for (std::int64_t j = 0; j < columns_; ++j) {
      const float weight = weights[j * step];
      if (weight != 0 && is_set(where)) {
        Counts& counts = features_[row.feature + j * nest_.columns.feature].counts;
        const auto bits = load<Bits>(from);
        const Kind kind = decode<Format>(bits).kind;
        if (!is_set(valid)) {
          ++counts.null;
        } else if (kind != Kind::finite) {
          x[j] = 0;  // what pack_plain may have left
          w[j] = 0;
          count_special(kind, counts);
        } else {
          ++counts.finite;
          x[j] = to_float<Format>(bits);
          w[j] = weight;
        }
      }
      from += nest_.columns.strides[data_operand];
      where += where != nullptr ? nest_.columns.strides[where_operand] : 0;
      valid += valid != nullptr ? nest_.columns.strides[valid_operand] : 0;
    }
  }

  const kernels::Table& table_;
  const LoopNest& nest_;
  Feature* features_;
  ExactSum* weights_;
  PackWeights pack_weights_;
  IntegerSums integers_;
  std::optional<WeightedPanelSums> sums_;
  std::int64_t first_feature_ = 0;
  std::int64_t period_ = 0;
  std::int64_t columns_ = 0;
  std::int64_t width_ = 0;   // of a long row
  std::int64_t padded_ = 0;  // with zeros, to fill vectors
  std::vector<float> row_weights_;
  std::vector<float> x_;
  std::vector<float> w_;
  int failures_ = 0;  // of rows in place, one after another
  int packs_ = 0;     // panels to pack before the next try
};

}  // namespace

std::unique_ptr<BlockSums> make_weighted_sums(DType x, DType w, const LoopNest& nest, Feature* features,
                                              ExactSum* weights) {
  return with_format(x, [&]<class Format>(Format) -> std::unique_ptr<BlockSums> {
    if constexpr (is_narrow<Format>) {
      if (const kernels::Table& table = kernels::chosen(); table.weighted != nullptr) {
        return std::make_unique<WeightedVectorSums<Format>>(table, x, w, nest, features, weights);
      }
    }
    return std::make_unique<IntegerSums>(x, w, nest, features, weights);
  });
}

}  // namespace exactnorm
