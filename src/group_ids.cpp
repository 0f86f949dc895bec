#include "group_ids.hpp"

#include <xxhash.h>

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
      of_code_.push_back(number_of(key));
    }
  }
}

std::size_t GroupIds::size() const noexcept { return integers_.size() + strings_.size(); }

void GroupIds::check_room() const {
  if (size() >= HashIndex::free) {
    throw std::invalid_argument("expected fewer than 2^32 different keys in one update");
  }
}

std::uint32_t GroupIds::number_of(std::string_view key) {
  check_room();
  const auto next = static_cast<std::uint32_t>(strings_.size());
  const std::uint32_t number = index_.find_or_add(
      XXH3_64bits(key.data(), key.size()), next, [&](std::uint32_t other) { return strings_[other] == key; });
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
    for (std::size_t i = 0; i < ids.size(); ++i) {
      ids[i] = number_of((*strings)[first + i]);
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
