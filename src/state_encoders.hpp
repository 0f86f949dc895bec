#pragma once
/// \file
/// Two writers with one interface, canonical CBOR and the JSON text of a document: what is written once as a
/// template comes out in both.

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace exactnorm::state {

using Sink = std::function<void(std::string_view)>;

/// Gathers small pieces into large ones.
class Output {
 public:
  explicit Output(const Sink& sink) : sink_(sink) {}

  void put(char c) { buffer_.push_back(c); }
  void put(std::string_view text) {
    buffer_.append(text);
    if (buffer_.size() >= full) {
      flush();
    }
  }
  void flush() {
    sink_(buffer_);
    buffer_.clear();
  }

 private:
  static constexpr std::size_t full = std::size_t{1} << 16;

  const Sink& sink_;
  std::string buffer_;
};

/// RFC 8949: shortest heads, definite lengths. The caller gives keys in order.
class CborEncoder {
 public:
  static constexpr bool keys_in_order = true;

  explicit CborEncoder(const Sink& sink) : out_(sink) {}

  void open_object(std::size_t entries) { head(5, entries); }
  void key(std::string_view name) { string(name); }
  void close_object() {}
  void open_array(std::size_t items) { head(4, items); }
  void close_array() {}
  void line(int /*indent*/) {}
  void integer(std::integral auto value) {
    const auto wide = static_cast<std::int64_t>(value);
    wide < 0 ? head(1, static_cast<std::uint64_t>(-1 - wide)) : head(0, static_cast<std::uint64_t>(wide));
  }
  void string(std::string_view text) {
    head(3, text.size());
    out_.put(text);
  }
  void boolean(bool value) { out_.put(static_cast<char>(value ? 0xf5 : 0xf4)); }
  void null() { out_.put(static_cast<char>(0xf6)); }
  void finish() { out_.flush(); }

 private:
  void head(unsigned major, std::uint64_t argument) {
    const unsigned log_bytes = argument < 24             ? 0
                               : argument <= 0xff        ? 1
                               : argument <= 0xffff      ? 2
                               : argument <= 0xffff'ffff ? 3
                                                         : 4;
    if (log_bytes == 0) {
      out_.put(static_cast<char>(major << 5 | argument));
      return;
    }
    out_.put(static_cast<char>(major << 5 | (23 + log_bytes)));
    for (unsigned bits = 8U << (log_bytes - 1); bits > 0;) {
      bits -= 8;
      out_.put(static_cast<char>(argument >> bits & 0xff));
    }
  }

  Output out_;
};

/// One space after ':' and ','; line breaks where line() is called, before a key, an item or a closing
/// bracket.
class JsonEncoder {
 public:
  static constexpr bool keys_in_order = false;  // but as suits people

  explicit JsonEncoder(const Sink& sink) : out_(sink) {}

  void open_object(std::size_t /*entries*/) { open('{'); }
  void key(std::string_view name) {
    separate();
    quoted(name);
    out_.put(": ");
    after_value_ = false;
  }
  void close_object() { close('}'); }
  void open_array(std::size_t /*items*/) { open('['); }
  void close_array() { close(']'); }
  void line(int indent) { indent_ = indent; }
  void integer(std::integral auto value) {
    char digits[24];
    scalar({digits, std::to_chars(digits, digits + sizeof digits, value).ptr});
  }
  void string(std::string_view text) {
    separate();
    quoted(text);
  }
  void boolean(bool value) { scalar(value ? "true" : "false"); }
  void null() { scalar("null"); }
  void finish() {
    out_.put('\n');
    out_.flush();
  }

 private:
  static constexpr int same_line = -1;

  void separate() {
    if (after_value_) {
      out_.put(indent_ == same_line ? ", " : ",");
    }
    break_line();
    after_value_ = true;
  }
  void break_line() {
    if (indent_ != same_line) {
      out_.put('\n');
      out_.put(std::string_view("    ").substr(0, static_cast<std::size_t>(indent_)));
      indent_ = same_line;
    }
  }
  void open(char bracket) {
    separate();
    out_.put(bracket);
    after_value_ = false;
  }
  void close(char bracket) {
    break_line();
    out_.put(bracket);
    after_value_ = true;
  }
  void scalar(std::string_view text) {
    separate();
    out_.put(text);
  }
  void quoted(std::string_view text) {
    out_.put('"');
    for (std::size_t start = 0; start < text.size();) {
      const auto special = [](char c) {
        return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
      };
      std::size_t end = start;
      while (end < text.size() && !special(text[end])) {
        ++end;
      }
      out_.put(text.substr(start, end - start));
      if (end < text.size()) {
        escaped(text[end]);
      }
      start = end + 1;
    }
    out_.put('"');
  }
  void escaped(char c) {
    constexpr std::string_view with_letter = "\"\\\b\t\n\f\r";
    constexpr std::string_view hexadecimal = "0123456789abcdef";
    out_.put('\\');
    if (const std::size_t i = with_letter.find(c); i != std::string_view::npos) {
      out_.put("\"\\btnfr"[i]);
    } else {
      out_.put("u00");
      out_.put(hexadecimal[static_cast<std::size_t>(c) >> 4]);
      out_.put(hexadecimal[static_cast<std::size_t>(c) & 15]);
    }
  }

  Output out_;
  bool after_value_ = false;
  int indent_ = same_line;
};

}  // namespace exactnorm::state
