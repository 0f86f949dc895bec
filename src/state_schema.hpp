#pragma once
/// \file
/// The schema of a state document.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "state_format.hpp"
#include "state_rules.hpp"

namespace exactnorm::state {

/// What has been read.
struct Contents {
  std::uint32_t keys = 0;  ///< bit i: Key i came
  [[nodiscard]] bool has(Key key) const { return (keys >> static_cast<unsigned>(key) & 1) != 0; }

  ContentKind kind = ContentKind::moments;
  std::string digest;
  std::string checksum;
  Shape shape;
  std::vector<std::string> names;
  std::uint64_t name_bytes = 0;  ///< of all of them
  std::vector<Feature> features;
  std::vector<ExactSum> weights;
  KeyList group_keys;  ///< features and weights are those of one group after another
  NormalizationOptions config;
  struct {
    bool adapted = false;
    Axes axes;
    std::int64_t rank = 0;
    Shape shape;
  } build;
  Scale<float> narrow;
  Scale<double> wide;

  // What is being read.
  Feature feature;
  ExactSum weight;
  std::optional<std::uint64_t> groups_announced;
  std::size_t group_features = 0;  ///< of the groups before
  std::variant<std::int64_t, std::string> key;
  GivenValues given;
  Axes axis;
};

/// The rules for a whole document of that many bytes. They write to contents, which must outlive them.
Rule document_rule(Contents& contents, std::uint64_t size);

}  // namespace exactnorm::state
