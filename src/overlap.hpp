#pragma once
/// \file
/// Do two arrays share memory?

#include <exactnorm/tensor_view.hpp>

namespace exactnorm {

/// Every element of a lies where the same element of b lies, and has its size. Precondition: equal shapes.
bool same_elements(const TensorView& a, const TensorView& b) noexcept;

/// Some element of a shares a byte with some element of b. Interleaved views, as two column ranges of one
/// table, are told apart. True as well where strides are so tangled that a few thousand steps do not settle
/// it.
bool may_overlap(const TensorView& a, const TensorView& b) noexcept;

}  // namespace exactnorm
