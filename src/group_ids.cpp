#include "group_ids.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <utility>

namespace exactnorm {
namespace {

constexpr std::size_t ahead = 16;  // rows between asking for a slot and using it

// Reversible, so that equal hash values are equal keys.
std::uint64_t hash_of(std::int64_t key) noexcept {
  auto h = static_cast<std::uint64_t>(key);
  h = (h ^ (h >> 32)) * 0x9fb21c651e98df25;
  h = (h ^ (h >> 29)) * 0xd6e8feb86659fd93;
  return h ^ (h >> 32);
}
std::uint64_t hash_of(std::string_view key) noexcept { return XXH3_64bits(key.data(), key.size()); }

}  // namespace

void HashIndex::grow() {
  std::vector<Slot> larger(slots_.size() * 4);
  for (const Slot& slot : slots_) {
    if (slot.number != free) {
      std::size_t at = slot.hash & (larger.size() - 1);
      while (larger[at].number != free) {
        at = (at + 1) & (larger.size() - 1);
      }
      larger[at] = slot;
    }
  }
  slots_ = std::move(larger);
}

GroupIds::GroupIds(const RowKeys& keys) : keys_(keys) {
  if (const auto* encoded = std::get_if<DictionaryKeys>(&keys)) {
    of_code_.reserve(encoded->dictionary.size());
    for (const std::string_view key : encoded->dictionary) {
      of_code_.push_back(number_of(key, hash_of(key)));
    }
  }
}

std::size_t GroupIds::size() const noexcept { return integers_.size() + strings_.size(); }

void GroupIds::check_room() const {
  if (size() >= HashIndex::free) {
    throw std::invalid_argument("expected fewer than 2^32 different keys in one update");
  }
}

std::uint32_t GroupIds::number_of(std::string_view key, std::uint64_t hash) {
  check_room();
  const auto next = static_cast<std::uint32_t>(strings_.size());
  const std::uint32_t number =
      index_.find_or_add(hash, next, [&](std::uint32_t other) { return strings_[other] == key; });
  if (number == next) {
    strings_.push_back(key);
  }
  return number;
}

void GroupIds::number(std::size_t first, std::span<std::uint32_t> ids) {
  if (const auto* keys = std::get_if<std::span<const std::int64_t>>(&keys_)) {
    const auto mine = keys->subspan(first, ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (i + ahead < ids.size()) {
        index_.prefetch(hash_of(mine[i + ahead]));
      }
      check_room();
      const auto next = static_cast<std::uint32_t>(integers_.size());
      ids[i] = index_.find_or_add(hash_of(mine[i]), next, [](std::uint32_t) { return true; });
      if (ids[i] == next) {
        integers_.push_back(mine[i]);
      }
    }
  } else if (const auto* strings = std::get_if<std::span<const std::string_view>>(&keys_)) {
    const auto mine = strings->subspan(first, ids.size());
    std::array<std::uint64_t, ahead> hashes{};
    for (std::size_t i = 0; i < ids.size(); i += ahead) {
      const std::size_t count = std::min(ahead, ids.size() - i);
      for (std::size_t j = 0; j < count; ++j) {
        hashes[j] = hash_of(mine[i + j]);
        index_.prefetch(hashes[j]);
      }
      for (std::size_t j = 0; j < count; ++j) {
        ids[i + j] = number_of(mine[i + j], hashes[j]);
      }
    }
  } else {
    const auto codes = std::get<DictionaryKeys>(keys_).codes.subspan(first, ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto code = static_cast<std::uint32_t>(codes[i]);  // a negative one becomes too large
      if (code >= of_code_.size()) {
        throw std::invalid_argument("row " + std::to_string(first + i) + " has the key " +
                                    std::to_string(codes[i]) + " of a dictionary of " +
                                    std::to_string(of_code_.size()));
      }
      ids[i] = of_code_[code];
    }
  }
}

std::size_t row_count(const RowKeys& keys) noexcept {
  if (const auto* encoded = std::get_if<DictionaryKeys>(&keys)) {
    return encoded->codes.size();
  }
  const auto* integers = std::get_if<std::span<const std::int64_t>>(&keys);
  return integers != nullptr ? integers->size()
                             : std::get_if<std::span<const std::string_view>>(&keys)->size();
}

void RowOrder::sort(std::span<const std::uint32_t> ids, std::size_t groups) {
  next_.assign(groups, 0);
  for (const std::uint32_t id : ids) {
    ++next_[id];
  }
  runs_.clear();
  std::uint32_t begin = 0;
  for (std::size_t group = 0; group < groups; ++group) {
    const std::uint32_t count = std::exchange(next_[group], begin);
    if (count > 0) {
      runs_.push_back({static_cast<std::uint32_t>(group), begin});
      begin += count;
    }
  }
  rows_.resize(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    rows_[next_[ids[i]]++] = static_cast<std::uint32_t>(i);
  }
}

}  // namespace exactnorm
