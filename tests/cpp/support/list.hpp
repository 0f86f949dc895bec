#pragma once
/// \file
/// A C array as a view of rank 1.

#include <cstddef>

#include <exactnorm/tensor_view.hpp>

template <class T, std::size_t size>
auto list(T (&values)[size]) {
  return exactnorm::contiguous(values, exactnorm::Shape{static_cast<std::int64_t>(size)});
}
