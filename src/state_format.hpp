#pragma once
/// \file
/// What a state document holds, for those who write and those who read it. docs/contract.md, "The state
/// document", has the format.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <exactnorm/moments.hpp>
#include <exactnorm/normalization.hpp>
#include <exactnorm/state.hpp>

#include "state_encoders.hpp"

namespace exactnorm::state {

inline constexpr std::string_view format_name = "exactnorm";
inline constexpr std::uint64_t format_version = 1;
inline constexpr std::string_view layer_kind = "normalization";

/// The keys of a document, in byte order.
enum class Key { build, checksum, config, digest, features, format, kind, names, readings, shape, version };
constexpr std::string_view name_of(Key key) {
  constexpr std::array<std::string_view, 11> names = {"build",    "checksum", "config", "digest",
                                                      "features", "format",   "kind",   "names",
                                                      "readings", "shape",    "version"};
  return names[static_cast<std::size_t>(key)];
}

/// Moments, or a layer and the Moments it has learned, if any. It only refers to them.
class Document {
 public:
  explicit Document(const Moments& moments) : moments_(&moments) {}
  explicit Document(const Normalization& layer);

  /// Null: a document of Moments.
  [[nodiscard]] const Normalization* layer() const { return layer_; }
  /// Null: a layer that has none.
  [[nodiscard]] const Moments* moments() const { return moments_; }

 private:
  const Normalization* layer_ = nullptr;
  const Moments* moments_ = nullptr;
};

/// Over features and shape. Precondition: there are Moments.
std::string digest_of(const Document& document);
/// Over everything; digest is that of digest_of, or anything if there are no Moments.
std::string checksum_of(const Document& document, std::string_view digest);

void write_json(const Document& document, const Sink& sink);
void write_cbor(const Document& document, const Sink& sink);

class ByteSource;
/// Either encoding, told apart by the first byte; everything checked. Throws StateError, and what the source
/// throws.
std::variant<Moments, Normalization> read(ByteSource& source);

/// Throws StateError if it is the other kind.
template <class T>
T only(std::variant<Moments, Normalization> loaded) {
  if (T* wanted = std::get_if<T>(&loaded)) {
    return std::move(*wanted);
  }
  constexpr bool moments = std::is_same_v<T, Moments>;
  throw StateError(moments ? "expected Moments, got the document of a Normalization"
                           : "expected a Normalization, got the document of Moments");
}

}  // namespace exactnorm::state
