// Any bytes either load, and then save and load again to the same state, or give a StateError.
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <exactnorm/state.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace {

using nlohmann::json;

std::string xxh3_of(const json& document) {
  const std::vector<std::uint8_t> cbor = json::to_cbor(document);
  XXH128_canonical_t hash;
  XXH128_canonicalFromHash(&hash, XXH3_128bits(cbor.data(), cbor.size()));
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string text = "xxh3-128:";
  for (const unsigned char byte : hash.digest) {
    text += digits[byte >> 4U];
    text += digits[byte & 15U];
  }
  return text;
}

// Random bytes never have the right checksum: with one, what lies behind that check is reached as well.
std::string sealed(json document) {
  document.erase("checksum");
  if (document.contains("features") && document.contains("shape")) {
    document["digest"] = xxh3_of({{"features", document["features"]}, {"shape", document["shape"]}});
  }
  document["checksum"] = xxh3_of(document);
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

void load(std::string_view document) {
  try {
    const auto state = exactnorm::from_bytes(document);
    std::visit(
        [](const auto& loaded) {
          const std::string cbor = exactnorm::to_cbor(loaded);
          const std::string again = std::visit([](const auto& copy) { return exactnorm::to_cbor(copy); },
                                               exactnorm::from_bytes(exactnorm::to_json(loaded)));
          const std::string from_cbor = std::visit([](const auto& copy) { return exactnorm::to_cbor(copy); },
                                                   exactnorm::from_bytes(cbor));
          if (again != cbor || from_cbor != cbor) {
            __builtin_trap();
          }
        },
        state);
  } catch (const exactnorm::StateError&) {
    return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view document(reinterpret_cast<const char*>(data), size);
  load(document);
  const json parsed = json::parse(document, nullptr, false);
  if (parsed.is_object()) {
    load(sealed(parsed));
  }
  return 0;
}
