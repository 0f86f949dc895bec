#include "state_schema.hpp"

#include <algorithm>
#include <cstddef>
#include <exactnorm/state.hpp>
#include <optional>
#include <utility>

#include "state_numbers.hpp"

namespace exactnorm::state {
namespace {

// ---- rules for single values

constexpr std::string_view integer_from_0 = "an integer from 0 to 9223372036854775807";

std::int64_t non_negative(std::uint64_t value) {
  if (value > static_cast<std::uint64_t>(INT64_MAX)) {
    throw StateError("expected " + std::string(integer_from_0) + ", got " + std::to_string(value));
  }
  return static_cast<std::int64_t>(value);
}

Rule count(std::int64_t& target) {
  return {.expected = integer_from_0,
          .number = [&target](std::uint64_t value) { target = non_negative(value); }};
}

Rule text(std::string_view expected, std::function<void(std::string&)> take) {
  return {.expected = expected, .string = std::move(take)};
}

// Whatever else is off, it explains.
Rule exactly(std::string_view expected) {
  return text("a string", [expected](const std::string& value) {
    if (value != expected) {
      throw DecisiveError("expected " + excerpt(expected) + ", got " + excerpt(value));
    }
  });
}

Rule copied(std::string& target) {
  return text("a string", [&target](std::string& value) { target = std::move(value); });
}

Rule exact_number(ExactSum& target) {
  return text("an exact number, as a string",
              [&target](const std::string& value) { target = ExactSum::from_string(value); });
}

template <class T>
Rule real(T& target) {
  return text("a number, as a string",
              [&target](const std::string& value) { target = real_from_text<T>(value); });
}

template <class Enum, class... Arguments>
Rule named(Enum& target, Enum (*parse)(std::string_view, Arguments...), Arguments... arguments) {
  return text("a string", [=, &target](const std::string& value) {
    constexpr std::size_t longest = 64;
    if (value.size() > longest) {  // the functions' own messages repeat what they got
      throw StateError("expected a known name, got " + excerpt(value));
    }
    target = parse(value, arguments...);
  });
}

Rule boolean(bool& target) {
  return {.expected = "true or false", .boolean = [&target](bool value) { target = value; }};
}

// ---- rules for arrays

Rule extents(Shape& target) {
  auto extent = [&target](std::uint64_t value) { target.push_back(non_negative(value)); };
  return {.expected = "an array of integers",
          .item = {{.expected = integer_from_0, .number = extent}},
          .close = [&target](auto) { element_count(target); }};
}

template <class T>
Rule reals(std::vector<T>& target) {
  return {.expected = "an array of numbers, as strings",
          .item = {text("a number, as a string", [&target](const std::string& value) {
            target.push_back(real_from_text<T>(value));
          })}};
}

// Takes an axis of an array, which may count from the end. No array has more than max_rank of them.
Rule axis(std::string_view expected, std::function<void(int)> take) {
  const auto checked = [take = std::move(take)](auto value) {
    constexpr auto most = static_cast<int>(max_rank);
    if (std::cmp_less(value, -most) || std::cmp_greater_equal(value, most)) {
      throw StateError("expected an axis from " + std::to_string(-most) + " to " + std::to_string(most - 1) +
                       ", got " + std::to_string(value));
    }
    take(static_cast<int>(value));
  };
  return {.expected = expected, .number = checked, .negative = checked};
}

Rule axes(Axes& target) {
  return {.expected = "an array of integers",
          .item = {axis("an integer", [&target](int value) { target.push_back(value); })}};
}

// ---- rules for the parts of a document

// A feature is never smaller: in CBOR, with counts below 24 and sums of 0x0p+0.
constexpr std::uint64_t smallest_feature = 59;

Rule features(Contents& c, std::uint64_t document_size) {
  const std::uint64_t most = document_size / smallest_feature;
  Rule feature = {.expected = "an object",
                  .fields = {{"count", count(c.feature.counts.finite)},
                             {"nan", count(c.feature.counts.nan)},
                             {"neginf", count(c.feature.counts.neginf)},
                             {"null", count(c.feature.counts.null)},
                             {"posinf", count(c.feature.counts.posinf)},
                             {"sum", exact_number(c.feature.sum)},
                             {"sumsq", exact_number(c.feature.sumsq)},
                             {"weight", exact_number(c.weight), false}},
                  .close = [&c](std::uint32_t seen) {
                    const bool weighted = (seen >> 7 & 1) != 0;
                    if (!c.features.empty() && weighted == c.weights.empty()) {
                      throw StateError(weighted ? "a weight, and none in the features before"
                                                : "no weight, and one in the features before");
                    }
                    c.features.push_back(std::move(c.feature));
                    if (weighted) {
                      if (c.weights.empty()) {
                        c.weights.reserve(c.features.capacity());
                      }
                      c.weights.push_back(std::move(c.weight));
                    }
                  }};
  return {.expected = "an array of objects",
          .item = {std::move(feature)},
          .open = [&c, most](std::uint64_t announced) {
            // How many may be known from the head (CBOR) or from the shape (JSON), but nothing is allocated
            // for more than can follow.
            const std::uint64_t expected = announced != Rule::unannounced
                                               ? announced
                                               : static_cast<std::uint64_t>(element_count(c.shape));
            c.features.reserve(static_cast<std::size_t>(std::min(expected, most)));
          }};
}

// The key of a group, which must follow that of the group before.
template <class Key>
void append(KeyList& list, Key key) {
  auto* keys = std::get_if<std::vector<Key>>(&list);
  if (keys == nullptr) {
    if (std::visit([](const auto& others) { return !others.empty(); }, list)) {
      throw StateError("keys must be all integers or all strings");
    }
    keys = &list.emplace<std::vector<Key>>();
  }
  if (!keys->empty() && keys->back() >= key) {
    throw StateError(keys->back() == key ? "the key of the group before comes again"
                                         : "the key is out of order");
  }
  keys->push_back(std::move(key));
}

Rule groups(Contents& c, std::uint64_t document_size) {
  const std::uint64_t most = document_size / smallest_feature;
  Rule key = {.expected = "a string or an integer from -9223372036854775808 to 9223372036854775807",
              .number = [&c](std::uint64_t value) { c.key = non_negative(value); },
              .negative = [&c](std::int64_t value) { c.key = value; },
              .string = [&c](std::string& value) { c.key = std::move(value); }};
  Rule group = {.expected = "an object",
                .fields = {{"features", features(c, document_size)}, {"key", std::move(key)}},
                .close = [&c, most](std::uint32_t) {
                  std::visit([&](auto& own) { append(c.group_keys, std::move(own)); }, c.key);
                  const std::size_t before = c.group_features;
                  const std::size_t groups =
                      std::visit([](const auto& keys) { return keys.size(); }, c.group_keys);
                  c.group_features = c.features.size();
                  if (groups == 1) {
                    // An encoding may say how many groups there are, but nothing is allocated for more than
                    // can follow.
                    const std::uint64_t width = std::max<std::uint64_t>(c.group_features, 1);
                    const auto all = std::min(c.groups_announced.value_or(0), most / width) * width;
                    c.features.reserve(static_cast<std::size_t>(all));
                    c.weights.reserve(c.weights.empty() ? 0 : static_cast<std::size_t>(all));
                  } else if (c.features.size() - before != before / (groups - 1)) {
                    throw StateError("expected as many features as in the group before");
                  }
                }};
  return {
      .expected = "an array of objects", .item = {std::move(group)}, .open = [&c](std::uint64_t announced) {
        if (announced != Rule::unannounced) {
          c.groups_announced = announced;
        }
      }};
}

Rule kind(ContentKind& target) {
  return text("a string", [&target](const std::string& value) {
    if (value != layer_kind && value != groups_kind) {
      throw StateError("expected " + excerpt(layer_kind) + " or " + excerpt(groups_kind) + ", got " +
                       excerpt(value));
    }
    target = value == layer_kind ? ContentKind::layer : ContentKind::groups;
  });
}

// So many distinct names have at least so many bytes: one has none, 128 have one, 128² + 1920 have two in
// UTF-8. Groups may have names without any feature, so it is by this that a document cannot cost much more
// than its size.
std::uint64_t least_bytes(std::uint64_t names) {
  constexpr std::uint64_t one = 128;
  constexpr std::uint64_t two = 128 * 128 + 1920;
  if (names <= 1 + one) {
    return names == 0 ? 0 : names - 1;
  }
  const std::uint64_t longer = names - 1 - one;
  return one + 2 * std::min(longer, two) + 3 * (longer - std::min(longer, two));
}

Rule names(std::vector<std::string>& target, std::uint64_t& bytes) {
  Rule name = text("a string", [&target, &bytes](std::string& value) {
    bytes += value.size();
    if (bytes < least_bytes(target.size() + 1)) {
      throw StateError("expected distinct names");
    }
    target.push_back(std::move(value));
  });
  return {.expected = "an array of strings", .item = {std::move(name)}, .close = [&target](auto) {
            if (target.empty()) {
              throw StateError("expected a name for each feature, or no names at all");
            }
          }};
}

Rule given(std::optional<GivenValues>& target, GivenValues& buffer) {
  return {.expected = "null or an object",
          .null = [&target] { target.reset(); },
          .fields = {{"shape", extents(buffer.shape)}, {"values", reals(buffer.values)}},
          .close =
              [&target, &buffer](auto) {
                const auto expected = static_cast<std::uint64_t>(element_count(buffer.shape));
                if (buffer.values.size() != expected) {
                  throw StateError("expected " + std::to_string(expected) + " values for shape " +
                                   to_string(buffer.shape) + ", got " + std::to_string(buffer.values.size()));
                }
                target = std::exchange(buffer, {});
              }};
}

Rule config(Contents& c) {
  NormalizationOptions& options = c.config;
  Rule kept =
      axis("null, an integer or an array of integers", [&options](int value) { options.axis = Axes{value}; });
  kept.null = [&options] { options.axis.reset(); };
  kept.item = axes(c.axis).item;
  kept.close = [&c](auto) {
    c.config.axis = std::move(c.axis);
    c.config.axis_is_list = true;
  };
  Rule name = copied(options.name);
  name.null = [] {};
  return {.expected = "an object",
          .fields = {{"axis", std::move(kept)},
                     {"constant_policy", named(options.constant_policy, constant_policy_named)},
                     {"dtype", named(options.dtype, dtype_named)},
                     {"epsilon", real(options.epsilon)},
                     {"inf_policy", named(options.inf_policy, policy_named, std::string_view("inf_policy"))},
                     {"invert", boolean(options.invert)},
                     {"mean", given(options.mean, c.given)},
                     {"name", std::move(name)},
                     {"nan_policy", named(options.nan_policy, policy_named, std::string_view("nan_policy"))},
                     {"variance", given(options.variance, c.given)}}};
}

Rule build(Contents& c) {
  return {.expected = "an object",
          .fields = {{"adapted", boolean(c.build.adapted)},
                     {"axes", axes(c.build.axes)},
                     {"rank", count(c.build.rank)},
                     {"shape", extents(c.build.shape)}}};
}

Rule readings(Contents& c) {
  return {.expected = "an object",
          .fields = {{"divisor", reals(c.wide.divisor)},
                     {"divisor32", reals(c.narrow.divisor)},
                     {"mean", reals(c.wide.mean)},
                     {"mean32", reals(c.narrow.mean)},
                     {"variance", reals(c.wide.variance)},
                     {"variance32", reals(c.narrow.variance)}}};
}

Rule version() {
  return {.expected = "an integer", .number = [](std::uint64_t value) {
            if (value != format_version) {
              throw StateError("the document has version " + std::to_string(value) +
                               ", which needs another release of exactnorm; this one reads version " +
                               std::to_string(format_version));
            }
          }};
}

// Which keys there must be depends on others.
void check_keys(const Contents& c) {
  const bool layer = c.kind == ContentKind::layer;
  const bool groups = c.kind == ContentKind::groups;
  const bool built = layer && c.has(Key::build);
  const bool learned = layer ? built && !c.config.mean : true;
  const auto expect = [&](Key key, bool wanted) {
    if (c.has(key) != wanted) {
      throw StateError("the key " + excerpt(name_of(key)) +
                       (wanted ? " is missing" : " does not belong into this document"));
    }
  };
  expect(Key::config, layer);
  expect(Key::build, built);
  expect(Key::readings, built);
  expect(Key::shape, learned);
  expect(Key::features, learned && !groups);
  expect(Key::groups, groups);
  expect(Key::digest, learned);
  if (!learned) {
    expect(Key::names, false);
  }
}

}  // namespace

Rule document_rule(Contents& c, std::uint64_t size) {
  return {.expected = "an object",
          .fields = {{name_of(Key::build), build(c), false},
                     {name_of(Key::checksum), copied(c.checksum)},
                     {name_of(Key::config), config(c), false},
                     {name_of(Key::digest), copied(c.digest), false},
                     {name_of(Key::features), features(c, size), false},
                     {name_of(Key::format), exactly(format_name)},
                     {name_of(Key::groups), groups(c, size), false},
                     {name_of(Key::kind), kind(c.kind), false},
                     {name_of(Key::names), names(c.names, c.name_bytes), false},
                     {name_of(Key::readings), readings(c), false},
                     {name_of(Key::shape), extents(c.shape), false},
                     {name_of(Key::version), version()}},
          .close = [&c](std::uint32_t seen) {
            c.keys = seen;
            check_keys(c);
          }};
}

}  // namespace exactnorm::state
