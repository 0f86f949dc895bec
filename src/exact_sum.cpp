#include <exactnorm/exact_sum.hpp>

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>
#include <stdexcept>
#include <utility>

#include "exact_magnitude.hpp"

namespace exactnorm {
namespace {

constexpr std::int32_t limb_of(int exponent) noexcept { return exponent >> 6; }
constexpr unsigned bit_of(int exponent) noexcept { return static_cast<unsigned>(exponent) & 63U; }
constexpr std::uint64_t sign_extension(std::uint64_t limb) noexcept {
  return limb >> 63 != 0 ? ~std::uint64_t{0} : 0;
}
// Two numbers whose top limbs have equal bits 63 and 62 add up without overflow.
constexpr bool has_headroom(std::uint64_t top) noexcept { return (top >> 63) == ((top >> 62) & 1); }

}  // namespace

// The value without limbs that say nothing: zeros at the bottom, copies of the sign at the top.
struct ExactSum::Trimmed {
  const std::uint64_t* limbs;
  std::uint32_t count;
  std::int32_t exponent;
};

ExactSum::Trimmed ExactSum::trimmed() const noexcept {
  const std::uint64_t* first = limbs();
  const std::uint64_t* last = first + size_;
  while (first != last && *first == 0) {
    ++first;
  }
  while (last - first > 1 && last[-1] == sign_extension(last[-2])) {
    --last;
  }
  return {first, static_cast<std::uint32_t>(last - first),
          first == last ? 0 : exponent_ + static_cast<std::int32_t>(first - limbs())};
}

ExactSum::ExactSum(const ExactSum& other) {
  const Trimmed from = other.trimmed();
  if (from.count > 0) {
    cover(from.exponent, from.exponent + static_cast<std::int32_t>(from.count));
    std::copy_n(from.limbs, from.count, limbs());
  }
}

ExactSum::ExactSum(ExactSum&& other) noexcept
    : heap_(std::move(other.heap_)),
      inline_(other.inline_),
      exponent_(std::exchange(other.exponent_, 0)),
      size_(std::exchange(other.size_, std::uint16_t{0})),
      capacity_(std::exchange(other.capacity_, static_cast<std::uint16_t>(inline_limbs))) {}

ExactSum& ExactSum::operator=(const ExactSum& other) { return *this = ExactSum(other); }

ExactSum& ExactSum::operator=(ExactSum&& other) noexcept {
  heap_ = std::move(other.heap_);
  inline_ = other.inline_;
  exponent_ = std::exchange(other.exponent_, 0);
  size_ = std::exchange(other.size_, std::uint16_t{0});
  capacity_ = std::exchange(other.capacity_, static_cast<std::uint16_t>(inline_limbs));
  return *this;
}

ExactSum ExactSum::from_integer(std::int64_t integer, int exponent) {
  ExactSum sum;
  sum.add(integer, exponent);
  return sum;
}

ExactSum ExactSum::from_unsigned(std::uint64_t integer, int exponent) {
  ExactSum sum;
  sum.add_wide(0, integer, exponent);
  return sum;
}

ExactSum ExactSum::from_double(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const auto biased = static_cast<int>((bits >> 52) & 0x7ff);
  const auto fraction = static_cast<std::int64_t>(bits & ((std::uint64_t{1} << 52) - 1));
  const std::int64_t mantissa = biased == 0 ? fraction : fraction | (std::int64_t{1} << 52);
  return from_integer(bits >> 63 != 0 ? -mantissa : mantissa, std::max(biased, 1) - 1075);
}

// Makes the limbs low … high-1 exist, and leaves headroom for one addition.
void ExactSum::cover(std::int32_t low, std::int32_t high) {
  if (size_ == 0) {
    exponent_ = low;
  }
  const std::int32_t old_high = exponent_ + size_;
  const bool full = size_ > 0 && !has_headroom(limbs()[size_ - 1]);
  low = std::min(low, exponent_);
  high = std::max(high, old_high + (full ? 1 : 0));
  const auto below = static_cast<std::uint32_t>(exponent_ - low);
  const auto size = static_cast<std::uint32_t>(high - low);
  if (size == size_) {
    return;
  }
  if (size > std::numeric_limits<std::uint16_t>::max()) {
    throw std::length_error("an exact sum spans more than 4 million bits");
  }
  const std::uint64_t extension = size_ == 0 ? 0 : sign_extension(limbs()[size_ - 1]);
  if (size > capacity_) {
    auto grown = std::make_unique<std::uint64_t[]>(size);
    std::copy_n(limbs(), size_, grown.get() + below);
    heap_ = std::move(grown);
    capacity_ = static_cast<std::uint16_t>(size);
  } else {
    std::copy_backward(limbs(), limbs() + size_, limbs() + below + size_);
  }
  std::fill_n(limbs(), below, 0);
  std::fill(limbs() + below + size_, limbs() + size, extension);
  exponent_ = low;
  size_ = static_cast<std::uint16_t>(size);
}

// Precondition: cover() of the digits' range, one limb more if the top digit lacks headroom.
void ExactSum::add_limbs(const std::uint64_t* digits, std::uint32_t count, std::int32_t at,
                         std::uint64_t extension) noexcept {
  std::uint64_t* limb = limbs() + (at - exponent_);
  const std::uint64_t* end = limbs() + size_;
  unsigned long long carry = 0;
  for (std::uint32_t i = 0; i < count; ++i, ++limb) {
    unsigned long long next = 0;
    unsigned long long sum = 0;
    next |= static_cast<unsigned long long>(__builtin_uaddll_overflow(*limb, digits[i], &sum));
    next |= static_cast<unsigned long long>(__builtin_uaddll_overflow(sum, carry, &sum));
    *limb = sum;
    carry = next;
  }
  // Above the digits there are only copies of their sign, 0 or -1: nothing changes once that and the carry
  // cancel.
  if (extension == 0) {
    for (; carry != 0 && limb != end; ++limb) {
      carry = ++*limb == 0 ? 1 : 0;
    }
  } else {
    for (; carry == 0 && limb != end; ++limb) {
      carry = (*limb)-- != 0 ? 1 : 0;
    }
  }
}

// Three digits hold |integer| · 2^63 <= 2^185, the third being at most 2^57: 16 of them fit into the
// headroom, a quarter of the limb.
void ExactSum::reserve(int exponent) {
  const std::int32_t at = limb_of(exponent);
  if (at < exponent_ || at + 3 > exponent_ + size_ || !has_headroom(limbs()[size_ - 1])) {
    cover(at, at + 3);
  }
}

void ExactSum::add_reserved(std::int64_t high, std::uint64_t low, int exponent) noexcept {
  const std::int32_t at = limb_of(exponent);
  const unsigned bit = bit_of(exponent);
  const uint128 first = static_cast<uint128>(low) << bit;
  const int128 rest =
      static_cast<int128>(high) * (static_cast<int128>(1) << bit) + static_cast<int128>(first >> 64);
  const std::uint64_t digits[3] = {static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(rest),
                                   static_cast<std::uint64_t>(rest >> 64)};
  add_limbs(digits, 3, at, sign_extension(digits[2]));
}

void ExactSum::add(std::int64_t integer, int exponent) {
  if (integer == 0) {
    return;
  }
  const std::int32_t at = limb_of(exponent);
  const int128 shifted = static_cast<int128>(integer) * (static_cast<int128>(1) << bit_of(exponent));
  const std::uint64_t digits[2] = {static_cast<std::uint64_t>(shifted),
                                   static_cast<std::uint64_t>(shifted >> 64)};
  cover(at, at + 2);  // |integer| · 2^63 <= 2^126: the second digit has headroom
  add_limbs(digits, 2, at, sign_extension(digits[1]));
}

void ExactSum::add_wide(std::uint64_t high, std::uint64_t low, int exponent, bool negative) {
  if ((high | low) == 0) {
    return;
  }
  const std::int32_t at = limb_of(exponent);
  const unsigned bit = bit_of(exponent);
  const uint128 first = static_cast<uint128>(low) << bit;
  const uint128 second = (static_cast<uint128>(high) << bit) + (first >> 64);
  std::uint64_t digits[3] = {static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(second),
                             static_cast<std::uint64_t>(second >> 64)};
  // Of two or three digits the last has headroom: it is below 2^62, or it is the third and below 2^63, and a
  // fourth is covered.
  const std::uint32_t count = digits[2] != 0 || digits[1] >> 62 != 0 ? 3 : 2;
  cover(at, at + static_cast<std::int32_t>(count) + (digits[2] >> 62 != 0 ? 1 : 0));
  if (negative) {
    unsigned long long carry = 1;
    for (std::uint64_t& digit : digits) {
      digit = ~digit + carry;
      carry = carry != 0 && digit == 0 ? 1 : 0;
    }
  }
  add_limbs(digits, count, at, negative ? ~std::uint64_t{0} : 0);
}

void ExactSum::reserve_for(const ExactSum& other) {
  const Trimmed from = other.trimmed();
  if (from.count > 0) {
    const std::int32_t spare = has_headroom(from.limbs[from.count - 1]) ? 0 : 1;
    cover(from.exponent, from.exponent + static_cast<std::int32_t>(from.count) + spare);
  }
}

ExactSum& ExactSum::operator+=(const ExactSum& other) {
  if (&other == this) {
    return *this += ExactSum(other);
  }
  reserve_for(other);
  const Trimmed from = other.trimmed();
  if (from.count > 0) {
    add_limbs(from.limbs, from.count, from.exponent, sign_extension(from.limbs[from.count - 1]));
  }
  return *this;
}

ExactSum& ExactSum::operator-=(const ExactSum& other) {
  // a - b = ~(~a + b) in two's complement, and ~ needs no room: with ~a = -a - ulp, ~(-a - ulp + b) = a - b.
  if (&other == this) {
    return *this -= ExactSum(other);
  }
  reserve_for(other);
  const auto complement = [&] {
    std::transform(limbs(), limbs() + size_, limbs(), [](std::uint64_t x) { return ~x; });
  };
  complement();
  const Trimmed from = other.trimmed();
  if (from.count > 0) {
    add_limbs(from.limbs, from.count, from.exponent, sign_extension(from.limbs[from.count - 1]));
  }
  complement();
  return *this;
}

ExactSum::Magnitude ExactSum::magnitude() const {
  const Trimmed from = trimmed();
  Magnitude result;
  result.exponent = from.exponent;
  result.limbs.assign(from.limbs, from.limbs + from.count);
  result.negative = from.count > 0 && result.limbs.back() >> 63 != 0;
  if (result.negative) {
    // The lowest limb is not zero, so -x is the complement of all the others and no carry passes it.
    std::transform(result.limbs.begin(), result.limbs.end(), result.limbs.begin(),
                   [](std::uint64_t x) { return ~x; });
    ++result.limbs.front();
  }
  trim(result.limbs);
  return result;
}

ExactSum ExactSum::from_magnitude(const Magnitude& magnitude) {
  ExactSum sum;
  if (!magnitude.limbs.empty()) {
    const auto count = static_cast<std::uint32_t>(magnitude.limbs.size());
    sum.cover(magnitude.exponent, magnitude.exponent + static_cast<std::int32_t>(count) + 1);
    sum.add_limbs(magnitude.limbs.data(), count, magnitude.exponent, 0);
    if (magnitude.negative) {
      sum = ExactSum() -= sum;
    }
  }
  return sum;
}

ExactSum operator*(const ExactSum& a, const ExactSum& b) {
  const ExactSum::Magnitude x = a.magnitude();
  const ExactSum::Magnitude y = b.magnitude();
  return ExactSum::from_magnitude(
      {multiply(x.limbs, y.limbs), x.exponent + y.exponent, x.negative != y.negative});
}

int ExactSum::sign() const noexcept {
  const Trimmed value = trimmed();
  return value.count == 0 ? 0 : value.limbs[value.count - 1] >> 63 != 0 ? -1 : 1;
}

bool operator==(const ExactSum& a, const ExactSum& b) noexcept {
  const ExactSum::Trimmed x = a.trimmed();
  const ExactSum::Trimmed y = b.trimmed();
  return x.exponent == y.exponent && std::equal(x.limbs, x.limbs + x.count, y.limbs, y.limbs + y.count);
}

std::strong_ordering operator<=>(const ExactSum& a, const ExactSum& b) {
  ExactSum difference = a;
  difference -= b;
  return difference.sign() <=> 0;
}

std::string ExactSum::to_string() const {
  const Magnitude value = magnitude();
  if (value.limbs.empty()) {
    return "0x0p+0";
  }
  const int zeros = std::countr_zero(value.limbs.front());
  bool inexact = false;
  const Natural odd = shift(value.limbs, -zeros, inexact);
  std::string text = value.negative ? "-0x" : "0x";
  char digits[24];
  for (std::size_t i = odd.size(); i-- > 0;) {
    const auto length =
        static_cast<std::size_t>(std::to_chars(digits, digits + sizeof digits, odd[i], 16).ptr - digits);
    text.append(i + 1 < odd.size() ? 16 - length : 0, '0').append(digits, length);
  }
  const std::int64_t exponent = std::int64_t{value.exponent} * 64 + zeros;
  return text.append(exponent < 0 ? "p" : "p+").append(std::to_string(exponent));
}

ExactSum ExactSum::from_string(std::string_view text) {
  const auto refuse = [](const char* why) -> void {
    throw std::invalid_argument(std::string("not a canonical exact number: ") + why);
  };
  if (text.size() > max_text_length) {
    refuse("longer than any sum can be");
  }
  if (text == "0x0p+0") {
    return {};
  }
  Magnitude value;
  value.negative = text.starts_with('-');
  text.remove_prefix(value.negative ? 1 : 0);
  if (!text.starts_with("0x")) {
    refuse("expected [-]0x<hexadecimal digits>p<sign><exponent>");
  }
  text.remove_prefix(2);
  const std::size_t length = text.find_first_not_of("0123456789abcdef");
  const std::string_view digits = text.substr(0, length);
  if (length == std::string_view::npos || digits.empty() || text[length] != 'p') {
    refuse("expected lower-case hexadecimal digits and then 'p'");
  }
  if (digits.front() == '0') {
    refuse("leading zero");
  }
  text.remove_prefix(length + 1);
  const bool negative_exponent = text.starts_with('-');
  const bool has_sign = negative_exponent || text.starts_with('+');
  text.remove_prefix(has_sign ? 1 : 0);
  std::uint32_t distance = 0;  // unsigned, so that from_chars takes no second sign
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), distance);
  if (!has_sign || error != std::errc() || end != text.data() + text.size() ||
      (text.size() > 1 && text.front() == '0') || (negative_exponent && distance == 0)) {
    refuse("expected a sign and a decimal exponent after 'p'");
  }
  if (distance > max_exponent) {
    refuse("exponent out of range");
  }
  const auto exponent = negative_exponent ? -static_cast<int>(distance) : static_cast<int>(distance);
  for (std::size_t stop = digits.size(); stop > 0; stop -= std::min<std::size_t>(stop, 16)) {
    const std::size_t start = stop - std::min<std::size_t>(stop, 16);
    std::uint64_t limb = 0;
    std::from_chars(digits.data() + start, digits.data() + stop, limb, 16);
    value.limbs.push_back(limb);
  }
  if ((value.limbs.front() & 1) == 0) {
    refuse("the integer is even");
  }
  bool inexact = false;
  value.exponent = limb_of(exponent);
  value.limbs = shift(value.limbs, bit_of(exponent), inexact);
  return from_magnitude(value);
}

}  // namespace exactnorm
