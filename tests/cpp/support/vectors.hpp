#pragma once
/// \file
/// The test vectors of vectors/README.md as views and expected results.

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include <exactnorm/tensor_view.hpp>

#include "strided_array.hpp"

namespace vectors {

using Json = nlohmann::json;

/// All cases of a file.
inline Json load(const std::string& file) {
  std::ifstream stream(std::string(EXACTNORM_VECTORS_DIR) + "/" + file);
  return Json::parse(stream);
}

inline std::uint64_t bits(const Json& text) { return std::stoull(text.get<std::string>(), nullptr, 16); }

inline exactnorm::Shape shape(const Json& extents) {
  return exactnorm::Shape(extents.get<std::vector<std::int64_t>>());
}

/// The array, in whatever layout.
inline arrays::StridedArray array(const Json& json, const arrays::Layout& layout = {}) {
  arrays::StridedArray result(exactnorm::dtype_named(json["dtype"].get<std::string>()), shape(json["shape"]),
                              layout);
  std::vector<std::uint64_t> patterns;
  for (const Json& element : json["bits"]) {
    patterns.push_back(bits(element));
  }
  result.set_bits(patterns);
  return result;
}

template <class T>
std::uint64_t bits_of(T number) {
  return std::bit_cast<std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>(number);
}

/// Numbers against their bits in the file, bit by bit, but any NaN equals any NaN.
template <class T>
::testing::AssertionResult equal(const std::vector<T>& actual, const Json& expected) {
  std::vector<std::uint64_t> actual_bits;
  std::vector<std::uint64_t> expected_bits;
  for (const T number : actual) {
    actual_bits.push_back(bits_of(number));
  }
  for (const Json& text : expected) {
    expected_bits.push_back(bits(text));
  }
  return arrays::equal_bits(exactnorm::dtype_of<T>(), actual_bits, expected_bits);
}

}  // namespace vectors
