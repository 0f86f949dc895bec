#include "natural.hpp"

#include <algorithm>
#include <bit>

namespace exactnorm {
namespace {

std::uint64_t low(uint128 x) noexcept { return static_cast<std::uint64_t>(x); }
std::uint64_t high(uint128 x) noexcept { return static_cast<std::uint64_t>(x >> 64); }

Natural divide_by_limb(Natural& n, std::uint64_t divisor) {
  Natural quotient(n.size());
  uint128 remainder = 0;
  for (std::size_t i = n.size(); i-- > 0;) {
    const uint128 part = (remainder << 64) | n[i];
    quotient[i] = low(part / divisor);
    remainder = part % divisor;
  }
  n.assign(1, low(remainder));
  trim(n);
  trim(quotient);
  return quotient;
}

// n[at…] -= digit · divisor; true if that went below zero.
bool subtract_multiple(Natural& n, std::size_t at, const Natural& divisor, std::uint64_t digit) noexcept {
  uint128 carry = 0;
  std::uint64_t borrow = 0;
  for (std::size_t i = 0; i <= divisor.size(); ++i) {
    carry += i < divisor.size() ? static_cast<uint128>(digit) * divisor[i] : 0;
    const uint128 difference = static_cast<uint128>(n[at + i]) - low(carry) - borrow;
    n[at + i] = low(difference);
    borrow = high(difference) != 0;
    carry >>= 64;
  }
  return borrow != 0;
}

void add_back(Natural& n, std::size_t at, const Natural& divisor) noexcept {
  uint128 carry = 0;
  for (std::size_t i = 0; i <= divisor.size(); ++i) {
    carry += static_cast<uint128>(n[at + i]) + (i < divisor.size() ? divisor[i] : 0);
    n[at + i] = low(carry);
    carry >>= 64;
  }
}

}  // namespace

void trim(Natural& n) noexcept {
  while (!n.empty() && n.back() == 0) {
    n.pop_back();
  }
}

std::int64_t bit_length(const Natural& n) noexcept {
  return n.empty() ? 0 : static_cast<std::int64_t>(n.size()) * 64 - std::countl_zero(n.back());
}

int bit_length(uint128 n) noexcept {
  return high(n) != 0 ? 128 - std::countl_zero(high(n)) : 64 - std::countl_zero(low(n));
}

Natural multiply(const Natural& a, const Natural& b) {
  Natural product(a.size() + b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    uint128 carry = 0;
    for (std::size_t j = 0; j < b.size(); ++j) {
      // (2^64-1)² + 2·(2^64-1) < 2^128: never overflows.
      carry += static_cast<uint128>(a[i]) * b[j] + product[i + j];
      product[i + j] = low(carry);
      carry >>= 64;
    }
    product[i + b.size()] = low(carry);
  }
  trim(product);
  return product;
}

Natural shift(const Natural& n, std::int64_t bits, bool& inexact) {
  const bool left = bits >= 0;
  const auto limbs = static_cast<std::size_t>((left ? bits : -bits) / 64);
  const auto rest = static_cast<unsigned>((left ? bits : -bits) % 64);
  Natural result;
  if (left) {
    result.resize(n.size() + limbs + 1);
    for (std::size_t i = 0; i < n.size(); ++i) {
      const uint128 moved = static_cast<uint128>(n[i]) << rest;
      result[limbs + i] |= low(moved);
      result[limbs + i + 1] = high(moved);
    }
  } else {
    inexact |= std::any_of(n.begin(), n.begin() + static_cast<std::ptrdiff_t>(std::min(limbs, n.size())),
                           [](std::uint64_t limb) { return limb != 0; });
    if (limbs < n.size()) {
      inexact |= (n[limbs] & ((std::uint64_t{1} << rest) - 1)) != 0;
      result.resize(n.size() - limbs);
      for (std::size_t i = 0; i < result.size(); ++i) {
        const std::uint64_t above = limbs + i + 1 < n.size() ? n[limbs + i + 1] : 0;
        result[i] = low(((static_cast<uint128>(above) << 64) | n[limbs + i]) >> rest);
      }
    }
  }
  trim(result);
  return result;
}

// Knuth, The Art of Computer Programming 2, 4.3.1, algorithm D.
Natural divide(Natural& n, const Natural& divisor) {
  if (divisor.size() == 1) {
    return divide_by_limb(n, divisor[0]);
  }
  bool inexact = false;
  const int normal = std::countl_zero(divisor.back());
  const Natural v = shift(divisor, normal, inexact);
  Natural u = shift(n, normal, inexact);
  u.resize(std::max(u.size(), v.size()) + 1);
  Natural quotient(u.size() - v.size());
  for (std::size_t i = quotient.size(); i-- > 0;) {
    const uint128 top = (static_cast<uint128>(u[i + v.size()]) << 64) | u[i + v.size() - 1];
    // The estimate from the top limbs is at most 2 too large; subtract_multiple tells when.
    uint128 digit = std::min<uint128>(top / v.back(), ~std::uint64_t{0});
    if (subtract_multiple(u, i, v, low(digit))) {
      do {
        --digit;
        add_back(u, i, v);
      } while (u[i + v.size()] != 0);
    }
    quotient[i] = low(digit);
  }
  n = shift(u, -normal, inexact);
  trim(quotient);
  return quotient;
}

std::uint64_t square_root(uint128 n) noexcept {
  std::uint64_t root = 0;
  for (std::uint64_t bit = std::uint64_t{1} << 63; bit != 0; bit >>= 1) {
    const uint128 larger = root | bit;
    if (larger * larger <= n) {
      root |= bit;
    }
  }
  return root;
}

}  // namespace exactnorm
