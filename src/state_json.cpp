#include <cstddef>
#include <exactnorm/state.hpp>
#include <iterator>
#include <nlohmann/json.hpp>

#include "state_parsers.hpp"

namespace exactnorm::state {
namespace {

// The source as nlohmann's parser wants it.
class Iterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  Iterator() = default;
  Iterator(ByteSource& source, const RuleReader& reader) : source_(&source), reader_(&reader) {}

  char operator*() const {
    const char c = source_->peek();
    // The parser takes a NUL for the end of the text, whatever follows.
    if (c == '\0') {
      reader_->malformed(source_->offset(), "a NUL character");
    }
    return c;
  }
  Iterator& operator++() {
    source_->next();
    return *this;
  }
  // Only ever compared with the end.
  friend bool operator!=(const Iterator& a, const Iterator& /*end*/) { return !a.source_->at_end(); }

 private:
  ByteSource* source_ = nullptr;
  const RuleReader* reader_ = nullptr;
};

struct Handler {
  using json = nlohmann::json;

  bool null() { return reader.null(), true; }
  bool boolean(bool value) { return reader.boolean(value), true; }
  // The parser calls this for what begins with '-', so for "-0" too.
  bool number_integer(std::int64_t value) { return reader.negative(value), true; }
  bool number_unsigned(std::uint64_t value) { return reader.number(value), true; }
  bool number_float(double /*value*/, const std::string& text) {
    return reader.refuse("the number " + excerpt(text)), true;
  }
  bool string(std::string& value) { return reader.string(value), true; }
  static bool binary(json::binary_t& /*value*/) { return false; }  // not in JSON
  bool start_object(std::size_t /*size*/) { return reader.open_object(), true; }
  bool key(std::string& name) { return reader.key(name), true; }
  bool end_object() { return reader.close_object(), true; }
  bool start_array(std::size_t /*size*/) { return reader.open_array(Rule::unannounced), true; }
  bool end_array() { return reader.close_array(), true; }
  [[nodiscard]] bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                                 const json::exception& error) const {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while parsing …; last
    // read: '…'": the last part may be long and no UTF-8.
    const std::string why = error.what();
    const std::size_t start = why.find("syntax error");
    reader.malformed(source.offset(),
                     why.substr(start == std::string::npos ? 0 : start, why.find("; last read") - start));
    return false;
  }

  ByteSource& source;
  RuleReader& reader;
};

}  // namespace

void parse_json(ByteSource& source, RuleReader& reader) {
  Handler handler{source, reader};
  nlohmann::json::sax_parse(Iterator(source, reader), Iterator(), &handler);
  reader.finish();
}

}  // namespace exactnorm::state
