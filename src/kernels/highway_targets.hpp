#pragma once
/// \file
/// Which of Highway's targets are compiled. To be included before any header of Highway.

// The first three would be copies of others here. Vectors of unknown size (SVE) cannot stand in structs; such
// CPUs have NEON too.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
