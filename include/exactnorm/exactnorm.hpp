#pragma once
/// \file
/// Everything.

#include <exactnorm/arrow.hpp>
#include <exactnorm/exact_sum.hpp>
#include <exactnorm/grouped_moments.hpp>
#include <exactnorm/moments.hpp>
#include <exactnorm/normalization.hpp>
#include <exactnorm/normalizer.hpp>
#include <exactnorm/state.hpp>
#include <exactnorm/targets.hpp>
#include <exactnorm/tensor_view.hpp>
