#pragma once
/// \file
/// Bytes that come in pieces, read one by one: a document in memory is one piece, a file many.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

namespace exactnorm::state {

class ByteSource {
 public:
  /// The next piece, valid until the next call; empty at the end.
  using Pieces = std::function<std::string_view()>;

  explicit ByteSource(std::string_view bytes) : piece_(bytes), size_(bytes.size()) {}
  /// `size` is the number of bytes to come, or more.
  ByteSource(Pieces more, std::uint64_t size) : more_(std::move(more)), size_(size) {}

  bool at_end() {
    if (at_ < piece_.size()) [[likely]] {
      return false;
    }
    if (more_) {
      before_ += piece_.size();
      at_ = 0;
      piece_ = more_();
    }
    return at_ == piece_.size();
  }
  /// Precondition of these: the last at_end() was false.
  [[nodiscard]] char peek() const { return piece_[at_]; }
  char next() { return piece_[at_++]; }
  /// At least one byte and at most `count`.
  std::string_view next(std::uint64_t count) {
    const std::string_view bytes = piece_.substr(at_, count);
    at_ += bytes.size();
    return bytes;
  }

  /// Bytes read so far.
  [[nodiscard]] std::uint64_t offset() const { return before_ + at_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  std::string_view piece_;
  std::size_t at_ = 0;
  std::uint64_t before_ = 0;
  Pieces more_;
  std::uint64_t size_;
};

}  // namespace exactnorm::state
