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

#include <exactnorm/grouped_moments.hpp>
#include <exactnorm/moments.hpp>
#include <exactnorm/normalization.hpp>
#include <exactnorm/state.hpp>

#include "state_encoders.hpp"

namespace exactnorm::state {

inline constexpr std::string_view format_name = "exactnorm";
inline constexpr std::uint64_t format_version = 1;

/// What a document can be of. Moments alone have no key "kind".
enum class ContentKind { moments, layer, groups };
inline constexpr std::string_view layer_kind = "normalization";
inline constexpr std::string_view groups_kind = "grouped";

/// The keys of a document, in byte order.
enum class Key {
  build,
  checksum,
  config,
  digest,
  features,
  format,
  groups,
  kind,
  names,
  readings,
  shape,
  version
};
constexpr std::string_view name_of(Key key) {
  constexpr std::array<std::string_view, 12> names = {"build",    "checksum", "config", "digest",
                                                      "features", "format",   "groups", "kind",
                                                      "names",    "readings", "shape",  "version"};
  return names[static_cast<std::size_t>(key)];
}

/// Moments, Moments of groups, or a layer and the Moments it has learned, if any. It only refers to them.
class Document {
 public:
  explicit Document(const Moments& moments) : moments_(&moments) {}
  explicit Document(const Normalization& layer);
  explicit Document(const GroupedMoments& groups) : groups_(&groups) {}

  /// Of these, all but those that the document is of are null; a layer may have Moments, too.
  [[nodiscard]] const Normalization* layer() const { return layer_; }
  [[nodiscard]] const Moments* moments() const { return moments_; }
  [[nodiscard]] const GroupedMoments* groups() const { return groups_; }
  /// Whether there is anything learned, and so a digest.
  [[nodiscard]] bool learned() const { return moments_ != nullptr || groups_ != nullptr; }

 private:
  const GroupedMoments* groups_ = nullptr;
  const Normalization* layer_ = nullptr;
  const Moments* moments_ = nullptr;
};

/// Over features, or groups, and shape. Precondition: document.learned().
std::string digest_of(const Document& document);
/// Over everything; digest is that of digest_of, or anything if nothing was learned.
std::string checksum_of(const Document& document, std::string_view digest);

void write_json(const Document& document, const Sink& sink);
void write_cbor(const Document& document, const Sink& sink);

class ByteSource;
/// Either encoding, told apart by the first byte; everything checked. Throws StateError, and what the source
/// throws.
AnyState read(ByteSource& source);

template <class T>
constexpr const char* name_of_state() {
  return std::is_same_v<T, Moments>          ? "Moments"
         : std::is_same_v<T, GroupedMoments> ? "GroupedMoments"
                                             : "a Normalization";
}

/// Throws StateError if it is of another kind.
template <class T>
T only(AnyState loaded) {
  if (T* wanted = std::get_if<T>(&loaded)) {
    return std::move(*wanted);
  }
  throw StateError(std::string("expected ") + name_of_state<T>() + ", got the document of " +
                   std::visit([]<class Held>(const Held&) { return name_of_state<Held>(); }, loaded));
}

}  // namespace exactnorm::state
