#pragma once
/// \file
/// What a caller may have done to the floating-point control word: all rounding modes, subnormals flushed or
/// not.

#include <cstdint>
#include <vector>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace control {

#if defined(__x86_64__)
using Word = unsigned int;
inline Word current() { return _mm_getcsr(); }
inline void set(Word word) { _mm_setcsr(word); }
/// Every rounding mode with and without flush-to-zero and denormals-are-zero; no exception flag is up.
inline std::vector<Word> all() {
  std::vector<Word> words;
  for (const Word rounding : {0x0000U, 0x2000U, 0x4000U, 0x6000U}) {
    for (const Word flush : {0x0000U, 0x8000U, 0x0040U, 0x8040U}) {
      words.push_back(0x1f80U | rounding | flush);
    }
  }
  return words;
}
#else
using Word = std::uint64_t;
inline Word current() {
  Word word;
  asm volatile("mrs %0, fpcr" : "=r"(word));
  return word;
}
inline void set(Word word) { asm volatile("msr fpcr, %0" : : "r"(word)); }
inline std::vector<Word> all() {
  std::vector<Word> words;
  for (Word rounding = 0; rounding < 4; ++rounding) {
    for (const Word flush : {0U, 1U}) {
      words.push_back(rounding << 22 | Word{flush} << 24);
    }
  }
  return words;
}
#endif

/// Runs the body with that control word and gives back what it has become after it. The body must be calls
/// alone: the compiler may move arithmetic.
template <class Body>
__attribute__((noinline)) Word under(Word word, Body&& body) {
  const Word before = current();
  set(word);
  try {
    body();
  } catch (...) {
    set(before);
    throw;
  }
  const Word after = current();
  set(before);
  return after;
}

}  // namespace control
