#include "state_rules.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace exactnorm::state {

std::string excerpt(std::string_view text) {
  constexpr std::string_view hexadecimal = "0123456789abcdef";
  constexpr std::size_t longest = 60;
  std::string result = "\"";
  for (const char c : text.substr(0, longest)) {
    if (c >= 0x20 && c < 0x7f) {
      result += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      result.append("\\x").append({hexadecimal[byte >> 4], hexadecimal[byte & 15]});
    }
  }
  return result + (text.size() > longest ? "...\"" : "\"");
}

// Runs act; a failure gets its place.
template <class Act>
void RuleReader::guarded(Act&& act) {
  try {
    act();
  } catch (const DecisiveError& error) {
    throw StateError(place() + ": " + error.what());
  } catch (const std::invalid_argument& error) {
    std::string message = place() + ": " + error.what();
    if (decided_) {
      throw StateError(message);
    }
    failure_ = std::move(message);
    at_decisive_ = false;
  }
}

// The rule for the value that comes now.
const Rule& RuleReader::expected_here() {
  if (frames_.empty()) {
    return root_;
  }
  const Frame& top = frames_.back();
  return top.rule->item.empty() ? top.rule->fields[top.at].rule : top.rule->item.front();
}

// After a value: on to the next item, or out of the field.
void RuleReader::leave() {
  if (frames_.empty()) {
    return;
  }
  Frame& top = frames_.back();
  if (!top.rule->item.empty()) {
    ++top.at;
    return;
  }
  decided_ = decided_ || (frames_.size() == 1 && top.rule->fields[top.at].key == decisive_);
  top.at = no_field;
}

template <class Function, class... Arguments>
void RuleReader::take(const Function Rule::*function, const char* kind, Arguments&&... arguments) {
  if (failure_) {
    return;
  }
  guarded([&] {
    const Rule& rule = expected_here();
    if (!(rule.*function)) {
      throw StateError("expected " + std::string(rule.expected) + ", got " + kind);
    }
    (rule.*function)(std::forward<Arguments>(arguments)...);
    leave();
  });
}

void RuleReader::number(std::uint64_t value) {
  if (failure_ && depth_ == 1 && std::exchange(at_decisive_, false)) {
    const auto field = std::find_if(root_.fields.begin(), root_.fields.end(),
                                    [&](const Field& f) { return f.key == decisive_; });
    try {
      field->rule.number(value);
    } catch (const std::invalid_argument& error) {
      throw StateError(std::string(decisive_) + ": " + error.what());
    }
    finish();
  }
  take(&Rule::number, "an integer", value);
}

void RuleReader::negative(std::int64_t value) { take(&Rule::negative, "a negative integer", value); }
void RuleReader::string(std::string& value) { take(&Rule::string, "a string", value); }
void RuleReader::boolean(bool value) { take(&Rule::boolean, value ? "true" : "false", value); }
void RuleReader::null() { take(&Rule::null, "null"); }

void RuleReader::refuse(const std::string& what) {
  if (!failure_) {
    guarded([&] { throw StateError("expected " + std::string(expected_here().expected) + ", got " + what); });
  }
}

void RuleReader::open_object() {
  ++depth_;
  at_decisive_ = false;
  if (failure_) {
    return;
  }
  guarded([&] {
    const Rule& rule = expected_here();
    if (rule.fields.empty()) {
      throw StateError("expected " + std::string(rule.expected) + ", got an object");
    }
    if (rule.open) {
      rule.open(Rule::unannounced);
    }
    frames_.push_back({&rule, no_field, 0});
  });
}

void RuleReader::key(std::string_view name) {
  if (failure_) {
    at_decisive_ = depth_ == 1 && name == decisive_;
    return;
  }
  guarded([&] { read_key(name); });
}

void RuleReader::read_key(std::string_view name) {
  Frame& top = frames_.back();
  const auto& fields = top.rule->fields;
  const auto field =
      std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.key == name; });
  if (field == fields.end()) {
    throw StateError("unknown key " + excerpt(name));
  }
  const auto index = static_cast<std::uint32_t>(field - fields.begin());
  if (top.seen >> index & 1) {
    throw StateError("the key " + excerpt(name) + " comes twice");
  }
  if (order_ == KeyOrder::sorted && top.seen >> index != 0) {
    throw StateError("the key " + excerpt(name) + " is out of order");
  }
  top.seen |= std::uint32_t{1} << index;
  top.at = index;
}

void RuleReader::close_object() {
  --depth_;
  at_decisive_ = false;
  if (failure_) {
    return;
  }
  guarded([&] {
    const Frame& top = frames_.back();
    for (std::size_t i = 0; i < top.rule->fields.size(); ++i) {
      const Field& field = top.rule->fields[i];
      if (field.required && !(top.seen >> i & 1)) {
        throw StateError("the key " + excerpt(field.key) + " is missing");
      }
    }
    close();
  });
}

void RuleReader::open_array(std::uint64_t announced) {
  ++depth_;
  at_decisive_ = false;
  if (failure_) {
    return;
  }
  guarded([&] {
    const Rule& rule = expected_here();
    if (rule.item.empty()) {
      throw StateError("expected " + std::string(rule.expected) + ", got an array");
    }
    if (rule.open) {
      rule.open(announced);
    }
    frames_.push_back({&rule, 0, 0});
  });
}

void RuleReader::close_array() {
  --depth_;
  at_decisive_ = false;
  if (failure_) {
    return;
  }
  guarded([&] {
    frames_.back().at = no_field;
    close();
  });
}

void RuleReader::close() {
  const Frame& top = frames_.back();
  if (top.rule->close) {
    top.rule->close(top.seen);
  }
  frames_.pop_back();
  leave();
}

void RuleReader::malformed(std::uint64_t offset, const std::string& why) const {
  finish();
  throw StateError("byte " + std::to_string(offset) + ": " + why);
}

void RuleReader::finish() const {
  if (failure_) {
    throw StateError(*failure_);
  }
}

// "features[3].sum", "document" for the whole.
std::string RuleReader::place() const {
  std::string result;
  for (const Frame& frame : frames_) {
    if (frame.at == no_field) {
      break;
    }
    if (frame.rule->item.empty()) {
      result.append(result.empty() ? "" : ".").append(frame.rule->fields[frame.at].key);
    } else {
      result.append("[").append(std::to_string(frame.at)).append("]");
    }
  }
  return result.empty() ? "document" : result;
}

}  // namespace exactnorm::state
