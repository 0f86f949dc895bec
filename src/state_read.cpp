#include <exactnorm/state.hpp>
#include <optional>
#include <stdexcept>
#include <utility>

#include "state_bytes.hpp"
#include "state_format.hpp"
#include "state_parsers.hpp"
#include "state_schema.hpp"

namespace exactnorm::state {
namespace {

Normalization layer_from(Contents& c) {
  if (!c.has(Key::build)) {
    return Normalization(std::move(c.config));
  }
  Normalizer normalizer =
      Normalizer::from_parts(c.build.shape, std::move(c.narrow), std::move(c.wide), c.build.axes);
  std::optional<Moments> moments;
  if (c.has(Key::features)) {
    moments = Moments::from_parts(c.shape, std::move(c.names), std::move(c.features), std::move(c.weights));
  }
  return Normalization::from_parts(std::move(c.config), static_cast<std::size_t>(c.build.rank),
                                   std::move(c.build.axes), std::move(normalizer), std::move(moments),
                                   c.build.adapted);
}

void verify(const Contents& c, const Document& document) {
  const auto compare = [](Key key, const std::string& expected, const std::string& got) {
    if (expected != got) {
      throw StateError(std::string(name_of(key)) +
                       ": the document was changed or damaged: its content gives " + excerpt(expected) +
                       ", it says " + excerpt(got));
    }
  };
  if (document.learned()) {
    compare(Key::digest, digest_of(document), c.digest);
  }
  compare(Key::checksum, checksum_of(document, c.digest), c.checksum);
}

void parse(ByteSource& source, Contents& contents) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  const Rule root = document_rule(contents, source.size());
  while (!source.at_end() && is_space(source.peek())) {
    source.next();
  }
  if (source.at_end()) {
    throw StateError("the document is empty");
  }
  const bool json = source.peek() == '{';
  const unsigned major = static_cast<unsigned char>(source.peek()) >> 5;
  if (!json && (major != 5 || source.offset() > 0)) {
    throw StateError("byte " + std::to_string(source.offset()) +
                     ": expected '{' (JSON) or a map (CBOR), got " + excerpt(std::string(1, source.peek())));
  }
  RuleReader reader(root, name_of(Key::version),
                    json ? RuleReader::KeyOrder::free : RuleReader::KeyOrder::sorted);
  json ? parse_json(source, reader) : parse_cbor(source, reader);
}

}  // namespace

AnyState read(ByteSource& source) {
  Contents contents;
  parse(source, contents);
  try {
    if (contents.kind == ContentKind::layer) {
      Normalization layer = layer_from(contents);
      verify(contents, Document(layer));
      return layer;
    }
    if (contents.kind == ContentKind::groups) {
      GroupedMoments groups = GroupedMoments::from_parts(
          contents.shape, std::move(contents.names), std::move(contents.group_keys),
          std::move(contents.features), std::move(contents.weights));
      verify(contents, Document(groups));
      return groups;
    }
    Moments moments = Moments::from_parts(contents.shape, std::move(contents.names),
                                          std::move(contents.features), std::move(contents.weights));
    verify(contents, Document(moments));
    return moments;
  } catch (const StateError&) {
    throw;
  } catch (const std::invalid_argument& error) {
    throw StateError(error.what());
  }
}

}  // namespace exactnorm::state

namespace exactnorm {

AnyState from_bytes(std::string_view document) {
  state::ByteSource source(document);
  return state::read(source);
}
Moments moments_from_bytes(std::string_view document) { return state::only<Moments>(from_bytes(document)); }
GroupedMoments grouped_from_bytes(std::string_view document) {
  return state::only<GroupedMoments>(from_bytes(document));
}
Normalization normalization_from_bytes(std::string_view document) {
  return state::only<Normalization>(from_bytes(document));
}

}  // namespace exactnorm
