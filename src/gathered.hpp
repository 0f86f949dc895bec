#pragma once
/// \file
/// Rows of a view and of what options say of them, copied one after another.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include <exactnorm/moments.hpp>

namespace exactnorm {

/// Copies rows of a view, any of them and in any order, one after another in C order.
class RowCopier {
 public:
  explicit RowCopier(const TensorView& view)
      : base_(static_cast<const std::byte*>(view.data)), item_(size_of(view.dtype)), step_(view.strides[0]) {
    Shape extents(std::span(view.shape.begin() + 1, view.shape.size() - 1));
    const auto count = static_cast<std::size_t>(element_count(extents));
    row_bytes_ = count * item_;
    offsets_.resize(count);
    bool together = true;
    for (std::size_t i = 0; i < count; ++i) {
      auto index = static_cast<std::int64_t>(i);
      for (std::size_t axis = extents.size(); axis-- > 0;) {
        offsets_[i] += index % extents[axis] * view.strides[axis + 1];
        index /= extents[axis];
      }
      together &= offsets_[i] == static_cast<std::int64_t>(i * item_);
    }
    if (together) {
      offsets_.clear();
    }
  }

  [[nodiscard]] std::size_t row_bytes() const noexcept { return row_bytes_; }

  void copy(std::span<const std::uint32_t> rows, std::byte* to) const {
    switch (offsets_.empty() ? row_bytes_ : 0) {
      case 1:
        return copy_rows<1>(rows, to);
      case 4:
        return copy_rows<4>(rows, to);
      case 8:
        return copy_rows<8>(rows, to);
      case 16:
        return copy_rows<16>(rows, to);
      case 32:
        return copy_rows<32>(rows, to);
      default:
        break;
    }
    for (const std::uint32_t row : rows) {
      const std::byte* from = base_ + static_cast<std::int64_t>(row) * step_;
      if (offsets_.empty()) {
        std::memcpy(to, from, row_bytes_);
        to += row_bytes_;
        continue;
      }
      for (const std::int64_t offset : offsets_) {
        std::memcpy(to, from + offset, item_);
        to += item_;
      }
    }
  }

 private:
  template <std::size_t bytes>
  void copy_rows(std::span<const std::uint32_t> rows, std::byte* to) const {
    for (const std::uint32_t row : rows) {
      std::memcpy(to, base_ + static_cast<std::int64_t>(row) * step_, bytes);
      to += bytes;
    }
  }

  const std::byte* base_;
  std::size_t item_;
  std::int64_t step_;
  std::size_t row_bytes_ = 0;
  std::vector<std::int64_t> offsets_;  // of a row's elements; none if they lie together
};

/// A view's rows, gathered.
class Gathered {
 public:
  explicit Gathered(const TensorView& view)
      : copier_(view),
        part_{nullptr, view.dtype, view.shape, contiguous_strides(view.shape, view.dtype)},
        row_elements_(copier_.row_bytes() / size_of(view.dtype)) {}

  void gather(std::span<const std::uint32_t> rows) {
    buffer_.resize(std::max(buffer_.size(), rows.size() * copier_.row_bytes()));
    copier_.copy(rows, buffer_.data());
  }
  /// Some of the rows last gathered.
  const TensorView& part(std::size_t first, std::size_t count) {
    part_.data = buffer_.data() + first * copier_.row_bytes();
    part_.shape[0] = static_cast<std::int64_t>(count);
    return part_;
  }
  [[nodiscard]] std::size_t row_elements() const noexcept { return row_elements_; }

 private:
  RowCopier copier_;
  TensorView part_;
  std::size_t row_elements_;
  std::vector<std::byte> buffer_;
};

/// What options say of rows, gathered; what is the same for all rows is left where it is.
class GatheredOptions {
 public:
  GatheredOptions(const UpdateOptions& options, std::int64_t row_elements) : part_(options) {
    part_.threads = 1;
    part_.stop = {};
    for (const auto member : masks) {
      if (options.*member && !(options.*member)->shape.empty()) {
        each_.push_back({member, Gathered(*(options.*member))});
      }
    }
    for (std::size_t i = 0; i < mask_count; ++i) {
      const std::optional<TensorView>& mask = part_.*masks[i];
      repeat_[i] = row_elements;
      if (mask && !mask->shape.empty()) {
        const std::int64_t own = element_count(mask->shape) / std::max<std::int64_t>(mask->shape[0], 1);
        repeat_[i] = row_elements / std::max<std::int64_t>(own, 1);
        step_[i] = own;
      }
    }
  }

  void gather(std::span<const std::uint32_t> rows) {
    for (auto& [member, gathered] : each_) {
      gathered.gather(rows);
    }
  }
  const UpdateOptions& part(std::size_t first, std::size_t count) {
    for (auto& [member, gathered] : each_) {
      part_.*member = gathered.part(first, count);
    }
    return part_;
  }

  static constexpr std::size_t mask_count = 3;
  static constexpr std::array masks = {&UpdateOptions::where, &UpdateOptions::weights, &UpdateOptions::valid};
  /// Where mask i of the last part() has what belongs to an element of a row; null if there is none.
  [[nodiscard]] const std::byte* at(std::size_t i, std::int64_t row, std::int64_t element) const {
    const std::optional<TensorView>& mask = part_.*masks[i];
    return mask
               ? static_cast<const std::byte*>(mask->data) +
                     (row * step_[i] + element / repeat_[i]) * static_cast<std::int64_t>(size_of(mask->dtype))
               : nullptr;
  }

 private:
  struct Each {
    std::optional<TensorView> UpdateOptions::*member;
    Gathered gathered;
  };
  UpdateOptions part_;
  std::vector<Each> each_;
  std::array<std::int64_t, mask_count> repeat_{};  // elements of x for one of the mask
  std::array<std::int64_t, mask_count> step_{};    // elements of the mask from row to row
};

}  // namespace exactnorm
