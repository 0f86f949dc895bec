#pragma once
/// \file
/// The two encodings as events.

#include "state_bytes.hpp"
#include "state_rules.hpp"

namespace exactnorm::state {

/// Reads one JSON text (RFC 8259) and nothing after it. Throws StateError.
void parse_json(ByteSource& source, RuleReader& reader);

/// Reads one item of canonical CBOR and nothing after it. Throws StateError; also for what CBOR allows and
/// canonical CBOR or our documents do not: indefinite lengths, heads longer than need be, byte strings, tags,
/// floats, text that is not UTF-8.
void parse_cbor(ByteSource& source, RuleReader& reader);

}  // namespace exactnorm::state
