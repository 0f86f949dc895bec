#pragma once
// What the tests of state documents share.

#include <gtest/gtest.h>

#include <rapidcheck.h>
#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include <exactnorm/exactnorm.hpp>

namespace documents {

using Json = nlohmann::json;

inline Json vectors(const std::string& file) {
  std::ifstream stream(std::string(EXACTNORM_VECTORS_DIR) + "/" + file);
  return Json::parse(stream);
}

inline std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

/// The message of the StateError that the document gives; empty if it loads.
inline std::string error_of(std::string_view document) {
  try {
    exactnorm::from_bytes(document);
    return {};
  } catch (const exactnorm::StateError& error) {
    EXPECT_STRNE(error.what(), "");
    return error.what();
  }
}

/// The JSON text or CBOR of whatever the document holds.
inline std::string json_of(const exactnorm::AnyState& loaded) {
  return std::visit([](const auto& held) { return exactnorm::to_json(held); }, loaded);
}
inline std::string cbor_of(const exactnorm::AnyState& loaded) {
  return std::visit([](const auto& held) { return exactnorm::to_cbor(held); }, loaded);
}

/// The document with the digest and checksum that its content asks for, so that they do not hide what a test
/// has changed.
inline std::string sealed(Json document) {
  for (const char* key : {"digest", "checksum"}) {
    const std::string error = error_of(document.dump());
    const std::string marker =
        std::string(key) + ": the document was changed or damaged: its content gives \"";
    if (error.starts_with(marker)) {
      document[key] = error.substr(marker.size(), error.find('"', marker.size()) - marker.size());
    }
  }
  return document.dump();
}

/// Moments of random shape, data, kinds, names and weighting.
inline rc::Gen<exactnorm::Moments> any_moments() {
  return rc::gen::exec([] {
    const auto shape = *rc::gen::container<std::vector<std::int64_t>>(*rc::gen::inRange<std::size_t>(0, 4),
                                                                      rc::gen::inRange<std::int64_t>(0, 4));
    exactnorm::Moments moments{exactnorm::Shape(shape)};
    const auto size = static_cast<std::int64_t>(moments.size());
    std::vector<std::int64_t> batch = {*rc::gen::inRange<std::int64_t>(0, 5)};
    batch.insert(batch.end(), shape.begin(), shape.end());
    const auto count = static_cast<std::size_t>(batch[0] * size);
    const auto values = *rc::gen::container<std::vector<double>>(
        count, rc::gen::oneOf(
                   rc::gen::arbitrary<double>(),
                   rc::gen::elementOf(std::vector<double>{NAN, INFINITY, -INFINITY, 0.0, 5e-324, 1.7e308})));
    const auto weights = *rc::gen::container<std::vector<float>>(
        static_cast<std::size_t>(batch[0]),
        rc::gen::elementOf(std::vector<float>{0, 1, 0.1F, 3e38F, 1e-45F}));
    exactnorm::UpdateOptions options;
    if (*rc::gen::arbitrary<bool>()) {
      options.weights = exactnorm::contiguous(weights.data(), exactnorm::Shape{batch[0]});
    }
    moments.update(exactnorm::contiguous(values.data(), exactnorm::Shape(batch)), {}, options);
    if (size > 0 && *rc::gen::arbitrary<bool>()) {
      const auto stems = *rc::gen::container<std::vector<std::string>>(static_cast<std::size_t>(size),
                                                                       rc::gen::string<std::string>());
      std::vector<std::string> names;
      for (std::size_t i = 0; i < stems.size(); ++i) {
        std::string name;
        for (const char c : stems[i]) {
          name += static_cast<signed char>(c) < 0 ? std::string("é") : std::string(1, c);
        }
        names.push_back(name + "€😀" + std::to_string(i));
      }
      moments.set_names(names);
    }
    return moments;
  });
}

}  // namespace documents
