#pragma once
/// \file
/// The floating-point control word that every exactness argument assumes: round to nearest even, subnormals
/// kept.

#ifdef __FAST_MATH__
#error "exactnorm's arithmetic is exact only without -ffast-math"
#endif

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <cstdint>
#else
#error "exactnorm supports x86-64 and aarch64"
#endif

namespace exactnorm {

/// Sets the control word of this thread to the default (nearest even, no flush-to-zero, no exceptions
/// trapped) and puts back the caller's, exception flags included, at the end of the scope.
///
/// The compiler does not know that arithmetic depends on the control word and may move it across this object.
/// So the arithmetic must be in a function that is not inlined into the scope: one in another translation
/// unit, called through a pointer, or marked EXACTNORM_NOINLINE.
class FpEnvironment {
 public:
  FpEnvironment() noexcept : saved_(read()) { write(standard); }
  ~FpEnvironment() { write(saved_); }
  FpEnvironment(const FpEnvironment&) = delete;
  FpEnvironment& operator=(const FpEnvironment&) = delete;

 private:
#if defined(__x86_64__)
  using Word = unsigned int;
  static constexpr Word standard =
      0x1f80;  // MXCSR at reset: all exceptions masked, RC = nearest, FTZ = DAZ = 0
  static Word read() noexcept { return _mm_getcsr(); }
  static void write(Word word) noexcept { _mm_setcsr(word); }
#else
  using Word = std::uint64_t;
  static constexpr Word standard = 0;  // FPCR at reset: RMode = nearest, FZ = AH = 0
  static Word read() noexcept {
    Word word;
    asm volatile("mrs %0, fpcr" : "=r"(word));
    return word;
  }
  static void write(Word word) noexcept { asm volatile("msr fpcr, %0" : : "r"(word)); }
#endif
  Word saved_;
};

}  // namespace exactnorm

#define EXACTNORM_NOINLINE __attribute__((noinline))
