// Adding and taking away: both sides have their keys in order.

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include <exactnorm/grouped_moments.hpp>

#include "feature_checks.hpp"
#include "group_keys.hpp"

namespace exactnorm {
namespace {

// For each of theirs, which ascend as mine do: where it is among mine, or would be.
template <class Key>
std::vector<std::size_t> positions(const std::vector<Key>& mine, const std::vector<Key>& theirs) {
  std::vector<std::size_t> result(theirs.size());
  auto from = mine.begin();
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    // Near the last one, if theirs are many.
    std::ptrdiff_t step = 1;
    while (step < mine.end() - from && from[step - 1] < theirs[i]) {
      from += step;
      step *= 2;
    }
    from = std::lower_bound(from, from + std::min(step, mine.end() - from), theirs[i]);
    result[i] = static_cast<std::size_t>(from - mine.begin());
  }
  return result;
}

// Merges blocks of `width` items: theirs that are not among mine go before mine[at[i]]. Cannot fail: the
// target has been reserved.
template <class Item>
void interleave(std::vector<Item>& mine, std::vector<Item>& theirs, std::size_t width,
                const std::vector<std::size_t>& at, const std::vector<bool>& is_new,
                std::vector<Item>& target) noexcept {
  std::size_t next = 0;
  const auto move_mine = [&](std::size_t end) {
    for (; next < end * width; ++next) {
      target.push_back(std::move(mine[next]));
    }
  };
  for (std::size_t i = 0; i < at.size(); ++i) {
    if (is_new[i]) {
      move_mine(at[i]);
      for (std::size_t j = i * width; j < (i + 1) * width; ++j) {
        target.push_back(std::move(theirs[j]));
      }
    }
  }
  move_mine(mine.size() / std::max<std::size_t>(width, 1));
  mine = std::move(target);
}

}  // namespace

void GroupedMoments::check_same_kind(const GroupedMoments& other, const char* verb) const {
  exactnorm::check_same_kind(nothing_, other.nothing_, verb);
  if (empty() || other.empty()) {
    return;
  }
  if (weighted() != other.weighted()) {
    throw std::invalid_argument(std::string("cannot ") + verb + " weighted and unweighted data");
  }
  if (keys_.index() != other.keys_.index()) {
    refuse_mix(kind_of(keys_), kind_of(other.keys_));
  }
}

void GroupedMoments::merge(GroupedMoments other) { absorb(std::move(other)); }

void GroupedMoments::absorb(GroupedMoments other) {
  check_same_kind(other, "merge");
  if (empty() || other.empty()) {
    if (empty()) {
      size_ = std::exchange(other.size_, 0);
      keys_ = size_ > 0 ? std::move(other.keys_) : KeyList();
      features_ = std::move(other.features_);
      weights_ = std::move(other.weights_);
    }
    if (names().empty()) {
      std::swap(nothing_, other.nothing_);
    }
    return;
  }
  std::visit(
      [&]<class Mine>(Mine& mine) {
        Mine& theirs = std::get<Mine>(other.keys_);
        const std::vector<std::size_t> at = positions(mine, theirs);
        std::vector<bool> is_new(at.size());
        std::size_t added = 0;
        // All memory first: after that nothing can fail half-way.
        for (std::size_t i = 0; i < at.size(); ++i) {
          is_new[i] = at[i] == mine.size() || mine[at[i]] != theirs[i];
          added += is_new[i] ? std::size_t{1} : std::size_t{0};
          for (std::size_t j = 0; j < width() && !is_new[i]; ++j) {
            Feature& to = features_[at[i] * width() + j];
            const Feature& from = other.features_[i * width() + j];
            if (counts_overflow(to.counts, from.counts)) {
              throw std::invalid_argument("more than 2^63-1 values in " + nothing_.describe(j) + " of key " +
                                          describe(theirs[i]));
            }
            reserve_for(to, from);
            if (weighted()) {
              weights_[at[i] * width() + j].reserve_for(other.weights_[i * width() + j]);
            }
          }
        }
        Mine keys;
        std::vector<Feature> features;
        std::vector<ExactSum> weights;
        if (added > 0) {
          keys.reserve(mine.size() + added);
          features.reserve((mine.size() + added) * width());
          weights.reserve(weighted() ? (mine.size() + added) * width() : 0);
        }
        for (std::size_t i = 0; i < at.size(); ++i) {
          for (std::size_t j = 0; j < width() && !is_new[i]; ++j) {
            add(features_[at[i] * width() + j], other.features_[i * width() + j]);
            if (weighted()) {
              weights_[at[i] * width() + j] += other.weights_[i * width() + j];
            }
          }
        }
        if (added > 0) {
          interleave(mine, theirs, 1, at, is_new, keys);
          interleave(features_, other.features_, width(), at, is_new, features);
          if (weighted()) {
            interleave(weights_, other.weights_, width(), at, is_new, weights);
          }
          size_ += added;
        }
      },
      keys_);
  if (names().empty()) {
    std::swap(nothing_, other.nothing_);
  }
}

void GroupedMoments::subtract(const GroupedMoments& other) {
  check_same_kind(other, "subtract");
  constexpr const char* never_added = "cannot subtract data that were never added: ";
  std::vector<std::size_t> at;
  std::vector<Feature> features;
  std::vector<ExactSum> weights;
  if (!other.empty()) {
    if (empty()) {
      throw std::invalid_argument(never_added + ("there is no key " + describe_key(other.keys_, 0)));
    }
    std::visit(
        [&]<class Mine>(const Mine& mine) {
          const Mine& theirs = std::get<Mine>(other.keys_);
          at = positions(mine, theirs);
          for (std::size_t i = 0; i < at.size(); ++i) {
            if (at[i] == mine.size() || mine[at[i]] != theirs[i]) {
              throw std::invalid_argument(never_added + ("there is no key " + describe(theirs[i])));
            }
          }
        },
        keys_);
  }
  features.reserve(other.features_.size());
  weights.reserve(other.weights_.size());
  for (std::size_t i = 0; i < at.size(); ++i) {
    for (std::size_t j = 0; j < width(); ++j) {
      const std::size_t from = i * width() + j;
      exactnorm::subtract(features.emplace_back(features_[at[i] * width() + j]), other.features_[from]);
      if (weighted()) {
        weights.emplace_back(weights_[at[i] * width() + j]) -= other.weights_[from];
      }
      const std::string why = impossible(features.back(), weighted() ? &weights.back() : nullptr);
      if (!why.empty()) {
        throw std::invalid_argument(never_added + ("in " + nothing_.describe(j) + " of key " +
                                                   describe_key(other.keys_, i) + " " + why));
      }
    }
  }
  Moments names_of_both = names().empty() ? other.nothing_ : nothing_;
  for (std::size_t i = 0; i < at.size(); ++i) {
    const auto to = static_cast<std::ptrdiff_t>(at[i] * width());
    const auto from = static_cast<std::ptrdiff_t>(i * width());
    const auto count = static_cast<std::ptrdiff_t>(width());
    std::move(features.begin() + from, features.begin() + from + count, features_.begin() + to);
    if (weighted()) {
      std::move(weights.begin() + from, weights.begin() + from + count, weights_.begin() + to);
    }
  }
  std::swap(nothing_, names_of_both);
  drop_empty();
}

// Groups that have nothing counted go. Cannot fail.
void GroupedMoments::drop_empty() {
  std::size_t left = 0;
  std::visit(
      [&](auto& keys) {
        for (std::size_t group = 0; group < size_; ++group) {
          if (!any_counted(features(group))) {
            continue;
          }
          if (left != group) {
            keys[left] = std::move(keys[group]);
            for (std::size_t j = 0; j < width(); ++j) {
              features_[left * width() + j] = std::move(features_[group * width() + j]);
              if (weighted()) {
                weights_[left * width() + j] = std::move(weights_[group * width() + j]);
              }
            }
          }
          ++left;
        }
        keys.erase(keys.begin() + static_cast<std::ptrdiff_t>(left), keys.end());
      },
      keys_);
  features_.erase(features_.begin() + static_cast<std::ptrdiff_t>(left * width()), features_.end());
  if (weighted()) {
    weights_.erase(weights_.begin() + static_cast<std::ptrdiff_t>(left * width()), weights_.end());
  }
  size_ = left;
  if (left == 0) {
    keys_ = KeyList();
  }
}

}  // namespace exactnorm
