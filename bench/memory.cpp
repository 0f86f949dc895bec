#include "memory.hpp"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bench {
namespace {

// Far enough ahead for memory to answer, near enough to stay in the first-level cache.
constexpr std::size_t ahead = 2048;
constexpr std::size_t line = 64;

template <bool prefetch>
std::uint64_t read_words(const std::byte* data, std::size_t bytes) noexcept {
  constexpr std::size_t block = 512;
  std::uint64_t sums[block / 8] = {};
  for (const std::byte* end = data + bytes / block * block; data != end; data += block) {
    if constexpr (prefetch) {
      for (std::size_t k = 0; k < block; k += line) {
        __builtin_prefetch(data + ahead + k);
      }
    }
    std::uint64_t words[block / 8];
    std::memcpy(words, data, block);
    for (std::size_t k = 0; k < block / 8; ++k) {
      sums[k] ^= words[k];
    }
  }
  std::uint64_t all = 0;
  for (const std::uint64_t sum : sums) {
    all ^= sum;
  }
  return all;
}

void copy_libc(const std::byte* in, std::byte* out, std::size_t values) noexcept {
  std::memcpy(out, in, values * 4);
}

template <class T>
void convert_portable(const std::byte* in, std::byte* out, std::size_t values) noexcept {
  for (std::size_t i = 0; i < values; ++i) {
    T value;
    std::memcpy(&value, in + i * sizeof(T), sizeof(T));
    const auto converted = static_cast<float>(value);
    std::memcpy(out + i * sizeof(float), &converted, sizeof(float));
  }
}

#if defined(__x86_64__)

template <bool prefetch>
__attribute__((target("avx2"))) std::uint64_t read_256(const std::byte* data, std::size_t bytes) noexcept {
  __m256i sums[8] = {};
  for (const std::byte* end = data + bytes / 256 * 256; data != end; data += 256) {
    for (std::size_t k = 0; k < 8; ++k) {
      if (prefetch && k % 2 == 0) {
        __builtin_prefetch(data + ahead + k * 32);
      }
      sums[k] = _mm256_xor_si256(sums[k], _mm256_load_si256(reinterpret_cast<const __m256i*>(data) + k));
    }
  }
  std::uint64_t words[4 * 8];
  std::memcpy(words, sums, sizeof words);
  std::uint64_t all = 0;
  for (const std::uint64_t word : words) {
    all ^= word;
  }
  return all;
}

template <bool prefetch>
__attribute__((target("avx512f"))) std::uint64_t read_512(const std::byte* data, std::size_t bytes) noexcept {
  __m512i sums[8] = {};
  for (const std::byte* end = data + bytes / 512 * 512; data != end; data += 512) {
    for (std::size_t k = 0; k < 8; ++k) {
      if constexpr (prefetch) {
        __builtin_prefetch(data + ahead + k * 64);
      }
      sums[k] = _mm512_xor_si512(sums[k], _mm512_load_si512(data + k * 64));
    }
  }
  std::uint64_t words[8 * 8];
  std::memcpy(words, sums, sizeof words);
  std::uint64_t all = 0;
  for (const std::uint64_t word : words) {
    all ^= word;
  }
  return all;
}

enum class Stores { ordinary, non_temporal };

template <Stores stores>
__attribute__((target("avx2"))) inline void store(float* out, __m256 values) noexcept {
  if constexpr (stores == Stores::non_temporal) {
    _mm256_stream_ps(out, values);
  } else {
    _mm256_store_ps(out, values);
  }
}

__attribute__((target("avx2"))) inline __m256 load_as_float(const float* in) noexcept {
  return _mm256_load_ps(in);
}
__attribute__((target("avx2"))) inline __m256 load_as_float(const double* in) noexcept {
  return _mm256_set_m128(_mm256_cvtpd_ps(_mm256_load_pd(in + 4)), _mm256_cvtpd_ps(_mm256_load_pd(in)));
}
__attribute__((target("avx2"))) inline __m256 load_as_float(const std::uint8_t* in) noexcept {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(in))));
}

template <class T, Stores stores, bool prefetch>
__attribute__((target("avx2"))) void convert_256(const std::byte* in, std::byte* out,
                                                 std::size_t values) noexcept {
  const auto* from = reinterpret_cast<const T*>(in);
  auto* to = reinterpret_cast<float*>(out);
  for (std::size_t i = 0; i < values; i += 64) {
    if constexpr (prefetch) {
      for (std::size_t k = 0; k < 64 * sizeof(T); k += line) {
        __builtin_prefetch(reinterpret_cast<const std::byte*>(from + i) + ahead + k);
      }
    }
    for (std::size_t k = 0; k < 64; k += 8) {
      store<stores>(to + i + k, load_as_float(from + i + k));
    }
  }
  _mm_sfence();
}

__attribute__((target("avx512f"))) void stream_512(const std::byte* in, std::byte* out,
                                                   std::size_t values) noexcept {
  for (std::size_t i = 0; i < values * 4; i += 64) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(out + i), _mm512_load_si512(in + i));
  }
  _mm_sfence();
}

bool has_avx2() { return __builtin_cpu_supports("avx2") != 0; }
bool has_avx512() { return __builtin_cpu_supports("avx512f") != 0; }

#endif

template <class T>
std::vector<Copier> converters() {
  std::vector<Copier> all{{"portable loop", convert_portable<T>}};
#if defined(__x86_64__)
  if (has_avx2()) {
    all.push_back({"256-bit, ordinary stores", convert_256<T, Stores::ordinary, false>});
    all.push_back({"256-bit, ordinary stores, prefetch", convert_256<T, Stores::ordinary, true>});
    all.push_back({"256-bit, non-temporal stores", convert_256<T, Stores::non_temporal, false>});
    all.push_back({"256-bit, non-temporal stores, prefetch", convert_256<T, Stores::non_temporal, true>});
  }
#endif
  return all;
}

}  // namespace

std::vector<Reader> readers() {
  std::vector<Reader> all{{"words", read_words<false>}, {"words, prefetch", read_words<true>}};
#if defined(__x86_64__)
  if (has_avx2()) {
    all.push_back({"256-bit", read_256<false>});
    all.push_back({"256-bit, prefetch", read_256<true>});
  }
  if (has_avx512()) {
    all.push_back({"512-bit", read_512<false>});
    all.push_back({"512-bit, prefetch", read_512<true>});
  }
#endif
  return all;
}

std::vector<Copier> float_copiers() {
  std::vector<Copier> all{{"libc memcpy", copy_libc}};
  const std::vector<Copier> loops = converters<float>();
  all.insert(all.end(), loops.begin(), loops.end());
#if defined(__x86_64__)
  if (has_avx512()) {
    all.push_back({"512-bit, non-temporal stores", stream_512});
  }
#endif
  return all;
}

std::vector<Copier> double_to_float_copiers() { return converters<double>(); }
std::vector<Copier> byte_to_float_copiers() { return converters<std::uint8_t>(); }

}  // namespace bench
