// Normalizer::apply and inverse: what they refuse, and who does the work.

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include <exactnorm/normalizer.hpp>

#include "apply.hpp"
#include "block_plan.hpp"
#include "fp_environment.hpp"
#include "overlap.hpp"
#include "parallel.hpp"

namespace exactnorm {
namespace {

constexpr std::int64_t enough_for_threads = 256 << 10;   // bytes read and written
constexpr std::int64_t enough_for_streaming = 32 << 20;  // bytes written: no last-level cache would keep them

// The kept axes of an input of this shape. Throws std::invalid_argument if their extents are not the
// features'.
AxisSet check_axes(const Shape& shape, const Shape& feature_shape, const std::optional<Axes>& axis) {
  const std::size_t rank = shape.size();
  AxisSet kept = 0;
  if (axis) {
    for (const int given : *axis) {
      const std::size_t i = static_cast<std::size_t>(given) + (given < 0 ? rank : 0);
      if (i >= rank || (kept >> i & 1) != 0) {
        static_cast<void>(kept_axes(*axis, rank));  // throws
      }
      kept |= AxisSet{1} << i;
    }
  } else if (rank >= feature_shape.size()) {
    kept = static_cast<AxisSet>(((std::uint64_t{1} << feature_shape.size()) - 1)
                                << (rank - feature_shape.size()));
  }
  std::size_t features = 0;
  bool equal = true;
  for (std::size_t i = 0; i < rank; ++i) {
    if ((kept >> i & 1) != 0) {
      equal &= features < feature_shape.size() && shape[i] == feature_shape[features];
      ++features;
    }
  }
  if (!equal || features != feature_shape.size()) {
    throw std::invalid_argument("the input has shape " + to_string(shape) +
                                ", whose kept axes do not have the feature shape " +
                                to_string(feature_shape));
  }
  return kept;
}

// Throws std::invalid_argument for what apply cannot take.
void check_views(const TensorView& in, const TensorView& out) {
  if (!is_floating(out.dtype)) {
    throw std::invalid_argument("out must be float16, bfloat16, float32 or float64, got " +
                                std::string(name_of(out.dtype)));
  }
  if (in.shape != out.shape) {
    throw std::invalid_argument("out must have the shape of the input, " + to_string(in.shape) + ", got " +
                                to_string(out.shape));
  }
  const std::size_t rank = in.shape.size();
  if (in.strides.size() != rank || out.strides.size() != rank) {
    throw std::invalid_argument("a view of shape " + to_string(in.shape) + " needs as many strides, got " +
                                to_string(in.strides) + " and, for out, " + to_string(out.strides));
  }
}

// The same of views that have elements.
void check_memory(const TensorView& in, const TensorView& out) {
  if (in.data == nullptr || out.data == nullptr) {
    throw std::invalid_argument("a view of shape " + to_string(in.shape) + " needs data, got a null pointer");
  }
  for (std::size_t i = 0; i < out.shape.size(); ++i) {
    if (out.shape[i] > 1 && out.strides[i] == 0) {
      throw std::invalid_argument("out must not repeat elements: its stride on axis " + std::to_string(i) +
                                  " is 0");
    }
  }
  if (!same_elements(in, out) && may_overlap(in, out)) {
    throw std::invalid_argument(
        "out overlaps the input: it may only be the same elements, in the same places and of the same "
        "size");
  }
}

template <class T>
void run_blocks(const Application<T>& application, int threads) {
  const std::int64_t blocks = application.plan.blocks();
  if (threads <= 1) {
    const FpEnvironment guard;
    apply_blocks(application, 0, blocks);
    return;
  }
  constexpr std::int64_t share = 64;  // blocks: large against taking a share, small against the whole
  std::atomic<std::int64_t> next = 0;
  run_workers(static_cast<int>(std::min<std::int64_t>(threads, (blocks + share - 1) / share)), [&](int) {
    const FpEnvironment guard;
    for (std::int64_t first = 0; (first = next.fetch_add(share, std::memory_order_relaxed)) < blocks;) {
      apply_blocks(application, first, std::min(first + share, blocks));
    }
  });
}

template <class T>
kernels::ApplyRun<T> run_of(DType in, DType out) {
  if constexpr (std::is_same_v<T, float>) {
    return kernels::apply_table().float32(in, out);
  } else {
    return kernels::apply_table().float64(in, out);
  }
}

// One contiguous sample, in and out of the type it is computed in: what one applies one at a time, so it goes
// without plan and blocks. False, and nothing done, if it is anything else or wrong.
template <class T>
bool apply_sample(const Normalizer& normalizer, const TensorView& in, const MutableTensorView& out,
                  Direction direction) {
  const Scale<T>& scale = normalizer.scale<T>();
  const std::size_t rank = in.shape.size();
  const auto bytes = static_cast<std::int64_t>(scale.mean.size() * sizeof(T));
  if (in.dtype != dtype_of<T>() || out.dtype != dtype_of<T>() || out.shape.size() != rank ||
      in.strides.size() != rank || out.strides.size() != rank || bytes == 0 ||
      bytes > enough_for_threads / 2) {
    return false;
  }
  std::int64_t stride = sizeof(T);
  for (std::size_t i = rank; i-- > 0;) {
    const std::int64_t extent = in.shape[i];
    const bool contiguous = extent == 1 || (in.strides[i] == stride && out.strides[i] == stride);
    if (out.shape[i] != extent || !contiguous || extent < 1 || extent > bytes) {
      return false;
    }
    stride *= extent;
    if (stride > bytes) {
      return false;
    }
  }
  const auto x = reinterpret_cast<std::intptr_t>(in.data);
  const auto y = reinterpret_cast<std::intptr_t>(out.data);
  if (stride != bytes || x == 0 || y == 0 || (x != y && std::abs(x - y) < bytes)) {
    return false;
  }
  check_axes(in.shape, normalizer.shape(), normalizer.axis());
  const kernels::ApplyRun<T> run = run_of<T>(in.dtype, out.dtype);
  const FpEnvironment guard;
  run(static_cast<const std::byte*>(in.data), scale.mean.data(), scale.divisor.data(),
      static_cast<std::int64_t>(scale.mean.size()), static_cast<std::byte*>(out.data), direction, {});
  return true;
}

template <class T>
void run(const Normalizer& normalizer, const TensorView& in, const TensorView& out, std::byte* to,
         Direction direction, int threads) {
  check_views(in, out);
  const AxisSet kept = check_axes(in.shape, normalizer.shape(), normalizer.axis());
  const std::int64_t elements = element_count(in.shape);
  if (elements == 0) {
    return;
  }
  check_memory(in, out);
  const auto in_bytes = elements * static_cast<std::int64_t>(size_of(in.dtype));
  const auto out_bytes = elements * static_cast<std::int64_t>(size_of(out.dtype));
  const bool small = in_bytes + out_bytes < enough_for_threads;
  const bool large = out_bytes >= enough_for_streaming;
  const BlockPlan plan(in.shape, in.strides, out.strides, kept);
  run_blocks<T>({plan,
                 static_cast<const std::byte*>(in.data),
                 in.dtype,
                 to,
                 out.dtype,
                 normalizer.scale<T>(),
                 direction,
                 {large, large && in.data != out.data},
                 run_of<T>(in.dtype, out.dtype)},
                small ? 1 : resolve_threads(threads));
}

void apply(const Normalizer& normalizer, const TensorView& in, const MutableTensorView& out,
           Direction direction, int threads) {
  if (threads < 0) {
    static_cast<void>(resolve_threads(threads));  // throws
  }
  auto* const to = static_cast<std::byte*>(out.data);
  if (compute_type(in.dtype, out.dtype) == DType::float64) {
    if (!apply_sample<double>(normalizer, in, out, direction)) {
      run<double>(normalizer, in, out, to, direction, threads);
    }
  } else if (!apply_sample<float>(normalizer, in, out, direction)) {
    run<float>(normalizer, in, out, to, direction, threads);
  }
}

}  // namespace

DType compute_type(DType in, DType out) noexcept {
  switch (in) {
    case DType::float64:
    case DType::int32:
    case DType::int64:
    case DType::uint32:
    case DType::uint64:
      return DType::float64;
    default:
      return out == DType::float64 ? DType::float64 : DType::float32;
  }
}

void Normalizer::apply(const TensorView& in, const MutableTensorView& out, int threads) const {
  exactnorm::apply(*this, in, out, Direction::normalize, threads);
}

void Normalizer::inverse(const TensorView& in, const MutableTensorView& out, int threads) const {
  exactnorm::apply(*this, in, out, Direction::invert, threads);
}

}  // namespace exactnorm
