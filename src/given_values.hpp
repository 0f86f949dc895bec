#pragma once
/// \file
/// A mean or variance that the user gave: shown in messages, checked, spread over the features.

#include <string>
#include <vector>

#include <exactnorm/normalization.hpp>

namespace exactnorm {

/// The number of a scalar, "[1, 2, 3]" for a list, and the same with its shape for more dimensions; long ones
/// in part.
std::string to_string(const GivenValues& given);

/// Throws std::invalid_argument if the values do not fill the shape; `what` is "mean" or "variance".
void check_given(const GivenValues& given, const char* what);

/// A value for each index of the shape: numpy's broadcasting, aligned at the last axis; extents of 1 in front
/// may be too many. That is what Keras 2.7 does, and more than 3 takes. Throws std::invalid_argument with
/// both shapes.
std::vector<double> broadcast(const GivenValues& given, const Shape& shape, const char* what);

}  // namespace exactnorm
