#pragma once
/// \file
/// Summing one block of rows and columns, in one of four ways: anchored kernel, integers, integers under
/// masks, weighted.

#include <memory>

#include "loops.hpp"

namespace exactnorm {

/// Sums blocks into features. One object belongs to one thread.
class BlockSums {
 public:
  BlockSums() = default;
  BlockSums(const BlockSums&) = delete;
  BlockSums& operator=(const BlockSums&) = delete;
  virtual ~BlockSums() = default;

  /// Adds `rows` by `columns` steps of the nest's inner loops, from there. Precondition: FpEnvironment.
  virtual void add(const Position& at, std::int64_t rows, std::int64_t columns) = 0;
  /// Must be called after the last add.
  virtual void finish() {}
};

/// The fastest way that the dtype, the layout and the operands allow on the chosen target. The nest must
/// outlive the result.
std::unique_ptr<BlockSums> make_block_sums(const TensorView& x, const LoopNest& nest,
                                           const UpdateOptions& options, Feature* features,
                                           ExactSum* weights);

}  // namespace exactnorm
