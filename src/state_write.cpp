#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <exactnorm/state.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <variant>

#include "state_format.hpp"
#include "state_numbers.hpp"
#include "utf8.hpp"

namespace exactnorm::state {
namespace {

constexpr std::array sorted = {Key::build,    Key::checksum, Key::config, Key::digest,
                               Key::features, Key::format,   Key::groups, Key::kind,
                               Key::names,    Key::readings, Key::shape,  Key::version};
constexpr std::array digested = {Key::features, Key::groups, Key::shape};
constexpr std::array for_people = {Key::format,   Key::version,  Key::kind,   Key::config,
                                   Key::build,    Key::readings, Key::shape,  Key::names,
                                   Key::features, Key::groups,   Key::digest, Key::checksum};

// Of what was learned. Precondition: document.learned().
const Shape& shape_of(const Document& document) {
  return document.groups() != nullptr ? document.groups()->shape() : document.moments()->shape();
}
const std::vector<std::string>& names_of(const Document& document) {
  return document.groups() != nullptr ? document.groups()->names() : document.moments()->names();
}

bool has(const Document& document, Key key) {
  const Normalization* layer = document.layer();
  switch (key) {
    case Key::kind:
      return layer != nullptr || document.groups() != nullptr;
    case Key::config:
      return layer != nullptr;
    case Key::build:
    case Key::readings:
      return layer != nullptr && layer->built();
    case Key::features:
      return document.moments() != nullptr;
    case Key::groups:
      return document.groups() != nullptr;
    case Key::digest:
    case Key::shape:
      return document.learned();
    case Key::names:
      return document.learned() && !names_of(document).empty();
    default:
      return true;
  }
}

template <class Encoder>
void encode_integers(Encoder& out, const auto& values) {
  out.open_array(values.size());
  for (const auto value : values) {
    out.integer(value);
  }
  out.close_array();
}

template <class Encoder>
void encode_strings(Encoder& out, const std::vector<std::string>& values) {
  out.open_array(values.size());
  for (const std::string& value : values) {
    out.string(value);
  }
  out.close_array();
}

template <class Encoder, class T>
void encode_reals(Encoder& out, const std::vector<T>& values) {
  out.open_array(values.size());
  for (const T value : values) {
    out.string(real_to_text(value));
  }
  out.close_array();
}

template <class Encoder>
void encode_feature(Encoder& out, const Feature& feature, const ExactSum* weight) {
  out.open_object(weight != nullptr ? 8 : 7);
  const auto count = [&](std::string_view key, std::int64_t value) { out.key(key), out.integer(value); };
  count("count", feature.counts.finite);
  count("nan", feature.counts.nan);
  count("neginf", feature.counts.neginf);
  count("null", feature.counts.null);
  count("posinf", feature.counts.posinf);
  const auto sum = [&](std::string_view key, const ExactSum& value) {
    out.key(key), out.string(value.to_string());
  };
  sum("sum", feature.sum);
  sum("sumsq", feature.sumsq);
  if (weight != nullptr) {
    sum("weight", *weight);
  }
  out.close_object();
}

// An array that opens on a line of this indentation, with an item on each of the next.
template <class Encoder>
void encode_features(Encoder& out, std::span<const Feature> features, std::span<const ExactSum> weights,
                     int indent) {
  out.open_array(features.size());
  for (std::size_t i = 0; i < features.size(); ++i) {
    out.line(indent + 1);
    encode_feature(out, features[i], weights.empty() ? nullptr : &weights[i]);
  }
  if (!features.empty()) {
    out.line(indent);
  }
  out.close_array();
}

template <class Encoder>
void encode_groups(Encoder& out, const GroupedMoments& groups) {
  out.open_array(groups.size());
  std::visit(
      [&](const auto& keys) {
        for (std::size_t i = 0; i < groups.size(); ++i) {
          const auto features = [&] {
            out.key("features"), encode_features(out, groups.features(i), groups.weights(i), 2);
          };
          out.line(2);
          out.open_object(2);
          if (Encoder::keys_in_order) {
            features();
          }
          out.key("key");
          if constexpr (std::is_same_v<std::decay_t<decltype(keys[i])>, std::int64_t>) {
            out.integer(keys[i]);
          } else {
            out.string(keys[i]);
          }
          if (!Encoder::keys_in_order) {
            features();
          }
          out.close_object();
        }
      },
      groups.keys());
  if (!groups.empty()) {
    out.line(1);
  }
  out.close_array();
}

template <class Encoder>
void encode_given(Encoder& out, const std::optional<GivenValues>& given) {
  if (!given) {
    return out.null();
  }
  out.open_object(2);
  out.key("shape"), encode_integers(out, std::span(given->shape.begin(), given->shape.size()));
  out.key("values"), encode_reals(out, given->values);
  out.close_object();
}

template <class Encoder>
void encode_axis(Encoder& out, const NormalizationOptions& options) {
  if (!options.axis) {
    out.null();
  } else if (options.axis->size() == 1 && !options.axis_is_list) {
    out.integer(options.axis->front());
  } else {
    encode_integers(out, *options.axis);
  }
}

template <class Encoder>
void encode_config(Encoder& out, const NormalizationOptions& options) {
  out.open_object(10);
  const auto key = [&](std::string_view name) { out.line(2), out.key(name); };
  key("axis"), encode_axis(out, options);
  key("constant_policy"), out.string(name_of(options.constant_policy));
  key("dtype"), out.string(name_of(options.dtype));
  key("epsilon"), out.string(real_to_text(options.epsilon));
  key("inf_policy"), out.string(name_of(options.inf_policy));
  key("invert"), out.boolean(options.invert);
  key("mean"), encode_given(out, options.mean);
  key("name"), options.name.empty() ? out.null() : out.string(options.name);
  key("nan_policy"), out.string(name_of(options.nan_policy));
  key("variance"), encode_given(out, options.variance);
  out.line(1);
  out.close_object();
}

template <class Encoder>
void encode_build(Encoder& out, const Normalization& layer) {
  out.open_object(4);
  out.key("adapted"), out.boolean(layer.is_adapted());
  out.key("axes"), encode_integers(out, layer.axes());
  out.key("rank"), out.integer(layer.rank());
  out.key("shape"),
      encode_integers(out, std::span(layer.feature_shape().begin(), layer.feature_shape().size()));
  out.close_object();
}

template <class Encoder>
void encode_readings(Encoder& out, const Normalizer& normalizer) {
  const Scale<float>& narrow = normalizer.scale<float>();
  const Scale<double>& wide = normalizer.scale<double>();
  out.open_object(6);
  const auto key = [&](std::string_view name) { out.line(2), out.key(name); };
  key("divisor"), encode_reals(out, wide.divisor);
  key("divisor32"), encode_reals(out, narrow.divisor);
  key("mean"), encode_reals(out, wide.mean);
  key("mean32"), encode_reals(out, narrow.mean);
  key("variance"), encode_reals(out, wide.variance);
  key("variance32"), encode_reals(out, narrow.variance);
  out.line(1);
  out.close_object();
}

// The entries of these keys. The caller has computed digest and checksum; without a checksum there is no such
// entry.
template <class Encoder>
void encode(const Document& document, std::span<const Key> keys, std::string_view digest,
            std::string_view checksum, const Sink& sink) {
  Encoder out(sink);
  const auto present = [&](Key key) { return key == Key::checksum ? !checksum.empty() : has(document, key); };
  out.open_object(static_cast<std::size_t>(std::count_if(keys.begin(), keys.end(), present)));
  for (const Key key : keys) {
    if (!present(key)) {
      continue;
    }
    if (key != Key::format && key != Key::version && key != Key::kind && key != Key::names) {
      out.line(1);
    }
    out.key(name_of(key));
    switch (key) {
      case Key::build:
        encode_build(out, *document.layer());
        break;
      case Key::checksum:
        out.string(checksum);
        break;
      case Key::config:
        encode_config(out, document.layer()->options());
        break;
      case Key::digest:
        out.string(digest);
        break;
      case Key::features:
        encode_features(out, document.moments()->features(), document.moments()->weights(), 1);
        break;
      case Key::format:
        out.string(format_name);
        break;
      case Key::groups:
        encode_groups(out, *document.groups());
        break;
      case Key::kind:
        out.string(document.groups() != nullptr ? groups_kind : layer_kind);
        break;
      case Key::names:
        encode_strings(out, names_of(document));
        break;
      case Key::readings:
        encode_readings(out, document.layer()->normalizer());
        break;
      case Key::shape:
        encode_integers(out, std::span(shape_of(document).begin(), shape_of(document).size()));
        break;
      case Key::version:
        out.integer(format_version);
        break;
    }
  }
  out.close_object();
  out.finish();
}

std::string hash(const Document& document, std::span<const Key> keys, std::string_view digest) {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  encode<CborEncoder>(document, keys, digest, {}, [&](std::string_view bytes) {
    XXH3_128bits_update(&state, bytes.data(), bytes.size());
  });
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
  std::string text = "xxh3-128:";
  for (const unsigned char byte : canonical.digest) {
    constexpr std::string_view hexadecimal = "0123456789abcdef";
    text += hexadecimal[byte >> 4];
    text += hexadecimal[byte & 15];
  }
  return text;
}

template <class Encoder>
void write(const Document& document, std::span<const Key> keys, const Sink& sink) {
  const std::string digest = document.learned() ? digest_of(document) : std::string();
  encode<Encoder>(document, keys, digest, checksum_of(document, digest), sink);
}

template <void (*write)(const Document&, const Sink&)>
std::string to_string(const Document& document) {
  std::string text;
  write(document, [&](std::string_view bytes) { text.append(bytes); });
  return text;
}

}  // namespace

Document::Document(const Normalization& layer) : layer_(&layer) {
  if (!is_utf8(layer.options().name)) {
    throw std::invalid_argument("the layer's name is not UTF-8");
  }
  if (layer.built() && !layer.options().mean) {
    moments_ = &layer.moments();
  }
}

std::string digest_of(const Document& document) { return hash(document, digested, {}); }
std::string checksum_of(const Document& document, std::string_view digest) {
  return hash(document, sorted, digest);
}

void write_json(const Document& document, const Sink& sink) {
  write<JsonEncoder>(document, for_people, sink);
}
void write_cbor(const Document& document, const Sink& sink) { write<CborEncoder>(document, sorted, sink); }

}  // namespace exactnorm::state

namespace exactnorm {

using state::Document;

std::string digest(const Moments& moments) { return digest_of(Document(moments)); }
std::string digest(const GroupedMoments& groups) { return digest_of(Document(groups)); }
std::string to_json(const GroupedMoments& groups) {
  return state::to_string<state::write_json>(Document(groups));
}
std::string to_cbor(const GroupedMoments& groups) {
  return state::to_string<state::write_cbor>(Document(groups));
}
std::string to_json(const Moments& moments) { return state::to_string<state::write_json>(Document(moments)); }
std::string to_json(const Normalization& layer) {
  return state::to_string<state::write_json>(Document(layer));
}
std::string to_cbor(const Moments& moments) { return state::to_string<state::write_cbor>(Document(moments)); }
std::string to_cbor(const Normalization& layer) {
  return state::to_string<state::write_cbor>(Document(layer));
}

}  // namespace exactnorm
