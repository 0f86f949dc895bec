#include <array>
#include <cstddef>
#include <cstdint>
#include <exactnorm/state.hpp>
#include <string>
#include <string_view>

#include "state_parsers.hpp"
#include "utf8.hpp"

namespace exactnorm::state {
namespace {

// Written out because nlohmann's parser recurses without a bound on strings of indefinite length, and takes
// encodings that are not canonical.
class CborParser {
 public:
  CborParser(ByteSource& source, RuleReader& reader) : source_(source), reader_(reader) {}

  void run() {
    item();
    while (depth_ > 0) {
      Level& level = levels_[depth_ - 1];
      if (level.left == 0) {
        --depth_;
        level.is_object ? reader_.close_object() : reader_.close_array();
        continue;
      }
      --level.left;
      if (level.is_object) {
        key();
      }
      item();
    }
    if (!source_.at_end()) {
      malformed("expected the end of the document");
    }
    reader_.finish();
  }

 private:
  struct Level {
    bool is_object;
    std::uint64_t left;
  };
  struct Head {
    unsigned major;
    unsigned info;
    std::uint64_t argument;
  };

  [[noreturn]] void malformed(const std::string& why) const { reader_.malformed(source_.offset(), why); }

  unsigned byte() {
    if (source_.at_end()) {
      malformed("the document ends too early");
    }
    return static_cast<unsigned char>(source_.next());
  }

  Head head() {
    const unsigned first = byte();
    const unsigned info = first & 31;
    Head result{first >> 5, info, info};
    if (info >= 28) {
      malformed(info == 31 ? "an item of indefinite length" : "a reserved head");
    }
    if (info >= 24) {
      const unsigned bytes = 1U << (info - 24);
      result.argument = 0;
      for (unsigned i = 0; i < bytes; ++i) {
        result.argument = result.argument << 8 | byte();
      }
      // The smallest argument that needs so many bytes.
      const std::uint64_t least = bytes == 1 ? 24 : std::uint64_t{1} << (4 * bytes);
      if (result.argument < least && result.major != 7) {
        malformed("a number that is not in its shortest form");
      }
    }
    return result;
  }

  void item() {
    const Head h = head();
    switch (h.major) {
      case 0:
        return reader_.number(h.argument);
      case 1:
        if (h.argument > static_cast<std::uint64_t>(INT64_MAX)) {
          return reader_.refuse("a number below -2^63");
        }
        return reader_.negative(-1 - static_cast<std::int64_t>(h.argument));
      case 2:
        bytes(h.argument, [](std::string_view) {});
        return reader_.refuse("a byte string");
      case 3:
        text(h.argument);
        return reader_.string(text_);
      case 4:
        open(false, h.argument);
        return reader_.open_array(h.argument);
      case 5:
        open(true, h.argument);
        return reader_.open_object();
      case 6:
        return malformed("a tag");
      default:
        return simple(h.info);
    }
  }

  void simple(unsigned info) {
    switch (info) {
      case 20:
        return reader_.boolean(false);
      case 21:
        return reader_.boolean(true);
      case 22:
        return reader_.null();
      default:
        return reader_.refuse(info < 25 ? "a simple value other than false, true and null" : "a float");
    }
  }

  void key() {
    const Head h = head();
    if (h.major != 3) {
      malformed("a key that is no text string");
    }
    text(h.argument);
    reader_.key(text_);
  }

  // The next bytes, in pieces.
  template <class Take>
  void bytes(std::uint64_t length, Take&& take) {
    while (length > 0) {
      if (source_.at_end()) {
        malformed("the document ends too early");
      }
      const std::string_view piece = source_.next(length);
      take(piece);
      length -= piece.size();
    }
  }

  // Grows with the bytes that are there, not with the number that is announced.
  void text(std::uint64_t length) {
    text_.clear();
    bytes(length, [&](std::string_view piece) { text_.append(piece); });
    if (!is_utf8(text_)) {
      malformed("a text string that is not UTF-8");
    }
  }

  void open(bool is_object, std::uint64_t items) {
    if (depth_ == levels_.size()) {
      malformed("nested too deeply");
    }
    levels_[depth_++] = {is_object, items};
  }

  ByteSource& source_;
  RuleReader& reader_;
  std::string text_;
  std::array<Level, 16> levels_;  // our documents need 4
  std::size_t depth_ = 0;
};

}  // namespace

void parse_cbor(ByteSource& source, RuleReader& reader) { CborParser(source, reader).run(); }

}  // namespace exactnorm::state
