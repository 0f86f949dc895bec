#pragma once
/// \file
/// A strict schema for documents that are read as a stream of events.

#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <exactnorm/state.hpp>

namespace exactnorm::state {

// A template so that Rule, which is not complete before its members are, can have fields with rules.
template <class Rule>
struct FieldOf {
  std::string_view key;
  Rule rule;
  bool required = true;
};

/// Thrown by a rule's function for what explains all other failures: it is not kept back (see RuleReader).
struct DecisiveError : StateError {
  using StateError::StateError;
};

/// What may stand in one place of a document, and what to do with it. A value of a kind without function is
/// refused. Functions may throw std::invalid_argument; the reader says where.
struct Rule {
  std::string_view expected;  ///< for messages: "an integer from 0 to …"
  std::function<void(std::uint64_t)> number = {};
  std::function<void(std::int64_t)> negative = {};
  std::function<void(std::string&)> string = {};
  std::function<void(bool)> boolean = {};
  std::function<void()> null = {};
  std::vector<FieldOf<Rule>> fields = {};  ///< of an object, in the byte order of their keys; at most 32
  std::vector<Rule> item = {};             ///< of an array: one, for all of its items
  /// At the start of an array or object; an encoding that announces the number of items passes it, others
  /// pass unannounced.
  std::function<void(std::uint64_t announced)> open = {};
  /// At the end; bit i of seen: field i of an object came.
  std::function<void(std::uint32_t seen)> close = {};

  static constexpr std::uint64_t unannounced = UINT64_MAX;
};

using Field = FieldOf<Rule>;

/// Text from a document for a message: quoted, printable ASCII, not long.
std::string excerpt(std::string_view text);

/// Takes the events of one document and holds them to the rules: types, unknown, missing and duplicate keys.
/// Whatever is off is a StateError with the place. Nothing recurses, and nothing is allocated that an event
/// did not bring.
class RuleReader {
 public:
  enum class KeyOrder { free, sorted };

  /// As long as the root's field `decisive` has not been read, a failure is kept back until it has, for that
  /// field may explain the failure: a document of a later version.
  RuleReader(const Rule& root, std::string_view decisive, KeyOrder order)
      : root_(root), decisive_(decisive), order_(order) {}

  void number(std::uint64_t value);
  void negative(std::int64_t value);
  void string(std::string& value);
  void boolean(bool value);
  void null();
  void open_object();
  void key(std::string_view name);
  void close_object();
  void open_array(std::uint64_t announced);
  void close_array();
  /// A value of a kind that no document has; `what` names it.
  void refuse(const std::string& what);
  /// The bytes are no document at all. Throws.
  [[noreturn]] void malformed(std::uint64_t offset, const std::string& why) const;
  /// The document has ended. Throws what was kept back.
  void finish() const;

 private:
  struct Frame {
    const Rule* rule;
    std::uint64_t at;    ///< the field or item that is being read; no_field between fields
    std::uint32_t seen;  ///< fields that have come
  };

  static constexpr std::uint64_t no_field = UINT64_MAX;

  template <class Act>
  void guarded(Act&& act);
  template <class Function, class... Arguments>
  void take(const Function Rule::*function, const char* kind, Arguments&&... arguments);
  const Rule& expected_here();
  void leave();
  void close();
  void read_key(std::string_view name);
  [[nodiscard]] std::string place() const;

  const Rule& root_;
  std::string_view decisive_;
  KeyOrder order_;
  std::vector<Frame> frames_;
  bool decided_ = false;
  // After a failure that is kept back: only depth and the decisive field matter.
  std::optional<std::string> failure_;
  std::uint64_t depth_ = 0;
  bool at_decisive_ = false;
};

}  // namespace exactnorm::state
