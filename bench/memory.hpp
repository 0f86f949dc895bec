#pragma once
/// \file
/// How fast memory can be read, copied and rewritten: plain loops, to hold beside the library's own passes.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/// Reads all of `bytes` (but for the last few, less than 512) and returns something that depends on them.
struct Reader {
  std::string name;
  std::uint64_t (*read)(const std::byte* data, std::size_t bytes) noexcept;
};
/// Those that this CPU can run: 128, 256 and 512-bit loads on x86-64, each with and without software
/// prefetch.
std::vector<Reader> readers();

/// Writes `values` of them to `out`. Both arrays start on a cache line; values is a multiple of 64.
struct Copier {
  std::string name;
  void (*copy)(const std::byte* in, std::byte* out, std::size_t values) noexcept;
};
/// float32 to float32; out may be in itself, except for libc's memcpy, which is the first.
std::vector<Copier> float_copiers();
/// The same loads and stores as a normalization from float64 or uint8, and the conversion alone.
std::vector<Copier> double_to_float_copiers();
std::vector<Copier> byte_to_float_copiers();

}  // namespace bench
