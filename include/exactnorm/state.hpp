#pragma once
/// \file
/// The state document: JSON on disk, CBOR on the wire. docs/contract.md, "The state document", has the
/// format.
///
///     exactnorm::save("stats.json", moments);
///     exactnorm::Moments same = exactnorm::load_moments("stats.json");
///     std::string wire = exactnorm::to_cbor(same);  // to another process: moments_from_bytes(wire)

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

#include <exactnorm/grouped_moments.hpp>
#include <exactnorm/moments.hpp>
#include <exactnorm/normalization.hpp>

namespace exactnorm {

/// A document that cannot be loaded; the message says where and why.
struct StateError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// What a document can hold.
using AnyState = std::variant<Moments, Normalization, GroupedMoments>;

/// "xxh3-128:" and 32 hexadecimal digits over shape and features, of each key if there are any: equal if and
/// only if (but for chance) the statistics are. Cost: O(features).
std::string digest(const Moments& moments);
std::string digest(const GroupedMoments& groups);

/// The JSON text, ended by a newline. Same state, same bytes. Throws std::invalid_argument for a layer whose
/// name is not UTF-8, as do all that write one. Cost: O(features).
std::string to_json(const Moments& moments);
std::string to_json(const GroupedMoments& groups);
std::string to_json(const Normalization& layer);
/// The canonical CBOR. Same state, same bytes.
std::string to_cbor(const Moments& moments);
std::string to_cbor(const GroupedMoments& groups);
std::string to_cbor(const Normalization& layer);

/// Reads either encoding (JSON if the first byte that is no white space is '{') and checks everything. Throws
/// StateError with the place, "features[3].sum: …", or the byte. Allocates no more than a small multiple of
/// the input.
AnyState from_bytes(std::string_view document);
/// The same where only one kind will do; StateError if the document is of another.
Moments moments_from_bytes(std::string_view document);
GroupedMoments grouped_from_bytes(std::string_view document);
Normalization normalization_from_bytes(std::string_view document);

/// Writes the JSON beside path, flushes it to disk and renames it: path has the old content or the new, and
/// nothing is left beside it. A file that is replaced keeps its permissions, a symbolic link stays one.
/// Throws std::system_error naming the path. Memory beyond the state itself: less than a megabyte.
void save(const std::filesystem::path& path, const Moments& moments);
void save(const std::filesystem::path& path, const GroupedMoments& groups);
void save(const std::filesystem::path& path, const Normalization& layer);
/// Reads either encoding. Throws StateError or std::system_error, both naming the file. Peak memory: at most
/// twice the loaded state (a pipe is first read to its end).
AnyState load(const std::filesystem::path& path);
Moments load_moments(const std::filesystem::path& path);
GroupedMoments load_grouped(const std::filesystem::path& path);
Normalization load_normalization(const std::filesystem::path& path);

}  // namespace exactnorm
