#pragma once
/// \file
/// Arrow arrays, schemas and streams made by hand, of exactly sized buffers, whose releases are counted.

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <exactnorm/arrow.hpp>

namespace arrays {

/// Every node of every array, schema and stream counts.
struct Ledger {
  int made = 0;
  int released = 0;
};

using Bytes = std::vector<std::uint8_t>;

/// A type and an array of it.
struct Node {
  std::string format = {};
  std::string name = {};
  std::string metadata = {};
  std::int64_t length = 0;
  std::int64_t offset = 0;
  std::int64_t null_count = -1;
  std::vector<std::optional<Bytes>> buffers = {};
  std::vector<Node> children = {};
  std::vector<Node> dictionary = {};  // none or one
};

inline Bytes pack_bits(const std::vector<bool>& bits) {
  Bytes bytes((bits.size() + 7) / 8, 0);
  for (std::size_t i = 0; i < bits.size(); ++i) {
    bytes[i / 8] = static_cast<std::uint8_t>(bytes[i / 8] | (bits[i] ? 1U : 0U) << (i % 8));
  }
  return bytes;
}

template <class T>
Bytes bytes_of(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  if (!bytes.empty()) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
  }
  return bytes;
}

template <class T>
using Values = std::vector<std::optional<T>>;

/// The validity bits of values behind `offset` elements that belong to nobody, which are null.
template <class T>
std::optional<Bytes> validity_of(const Values<T>& values, std::int64_t offset) {
  std::vector<bool> bits(static_cast<std::size_t>(offset), false);
  bool all = true;
  for (const auto& value : values) {
    bits.push_back(value.has_value());
    all = all && value.has_value();
  }
  return all ? std::nullopt : std::optional(pack_bits(bits));
}

/// An array of numbers; T = bool is stored as bits. Under nulls, and before the offset, lies `junk`.
template <class T>
Node numbers(std::string format, std::string name, const Values<T>& values, std::int64_t offset = 0,
             T junk = T(1)) {
  Node node{.format = std::move(format), .name = std::move(name)};
  node.length = static_cast<std::int64_t>(values.size());
  node.offset = offset;
  std::vector<T> stored(static_cast<std::size_t>(offset), junk);
  for (const auto& value : values) {
    stored.push_back(value.value_or(junk));
  }
  node.buffers.push_back(validity_of(values, offset));
  if constexpr (std::is_same_v<T, bool>) {
    node.buffers.emplace_back(pack_bits(stored));
  } else {
    node.buffers.emplace_back(bytes_of(stored));
  }
  return node;
}

inline Node doubles(std::string name, const Values<double>& values, std::int64_t offset = 0) {
  return numbers<double>("g", std::move(name), values, offset);
}

/// A struct of rows [offset, offset + length) of the columns; `rows` says which of them are not null.
inline Node table(std::vector<Node> columns, std::int64_t length, std::int64_t offset = 0,
                  const std::optional<std::vector<bool>>& rows = {}) {
  Node node{.format = "+s"};
  node.length = length;
  node.offset = offset;
  std::optional<Bytes> valid;
  if (rows) {
    std::vector<bool> bits(static_cast<std::size_t>(offset), true);
    bits.insert(bits.end(), rows->begin(), rows->end());
    valid = pack_bits(bits);
  }
  node.buffers.push_back(valid);
  node.children = std::move(columns);
  return node;
}

/// A fixed-size list column over `items`, which must hold (offset + lists) * k elements.
inline Node lists(std::string name, std::int64_t k, Node items, const std::vector<bool>& valid,
                  std::int64_t offset = 0) {
  Node node{.format = "+w:" + std::to_string(k), .name = std::move(name)};
  node.length = static_cast<std::int64_t>(valid.size());
  node.offset = offset;
  std::vector<bool> bits(static_cast<std::size_t>(offset), false);
  bits.insert(bits.end(), valid.begin(), valid.end());
  node.buffers.emplace_back(pack_bits(bits));
  node.children.push_back(std::move(items));
  return node;
}

inline Node dictionary(Node indices, Node entries) {
  indices.dictionary.push_back(std::move(entries));
  return indices;
}

inline std::string metadata_of(const std::string& key, const std::string& value) {
  std::string text;
  const auto append = [&text](std::size_t number) {
    const auto length = static_cast<std::int32_t>(number);
    text.append(reinterpret_cast<const char*>(&length), sizeof length);
  };
  append(2);
  for (const auto& part : {std::string("unit"), std::string("m"), key, value}) {
    append(part.size());
    text += part;
  }
  return text;
}

// What an exported struct owns: its children, and the memory it points to.
template <class T>
struct Owner {
  Node node;
  std::shared_ptr<Ledger> ledger;
  std::vector<const void*> buffers;
  std::vector<T> children;
  std::vector<T*> child_pointers;
  T dictionary{};
};

template <class T>
void release(T* exported) {
  std::unique_ptr<Owner<T>> owner(static_cast<Owner<T>*>(exported->private_data));
  for (T& child : owner->children) {
    if (child.release != nullptr) {
      child.release(&child);
    }
  }
  if (owner->dictionary.release != nullptr) {
    owner->dictionary.release(&owner->dictionary);
  }
  ++owner->ledger->released;
  exported->release = nullptr;
}

template <class T>
T exported(const Node& node, const std::shared_ptr<Ledger>& ledger) {
  auto owner = std::make_unique<Owner<T>>();
  owner->node = node;
  owner->ledger = ledger;
  for (const Node& child : node.children) {
    owner->children.push_back(exported<T>(child, ledger));
  }
  for (T& child : owner->children) {
    owner->child_pointers.push_back(&child);
  }
  T out{};
  if (!node.dictionary.empty()) {
    owner->dictionary = exported<T>(node.dictionary.front(), ledger);
    out.dictionary = &owner->dictionary;
  }
  out.n_children = static_cast<std::int64_t>(owner->children.size());
  out.children = owner->child_pointers.data();
  if constexpr (std::is_same_v<T, ArrowArray>) {
    for (const auto& buffer : owner->node.buffers) {
      owner->buffers.push_back(buffer ? buffer->data() : nullptr);
    }
    out.length = node.length;
    out.offset = node.offset;
    out.null_count = node.null_count;
    out.n_buffers = static_cast<std::int64_t>(owner->buffers.size());
    out.buffers = owner->buffers.data();
  } else {
    out.format = owner->node.format.c_str();
    out.name = owner->node.name.c_str();
    out.metadata = owner->node.metadata.empty() ? nullptr : owner->node.metadata.data();
  }
  out.release = release<T>;
  out.private_data = owner.release();
  ++ledger->made;
  return out;
}

/// A stream of batches, all of the first one's type. It fails at batch `fails_at`, if that is given.
class Stream {
 public:
  explicit Stream(std::vector<Node> batches, std::optional<std::size_t> fails_at = {})
      : state_(new State{std::move(batches), fails_at, 0, std::make_shared<Ledger>()}),
        ledger_(state_->ledger) {
    stream_.get_schema = [](ArrowArrayStream* self, ArrowSchema* out) {
      *out = exported<ArrowSchema>(state_of(self).batches.front(), state_of(self).ledger);
      return 0;
    };
    stream_.get_next = [](ArrowArrayStream* self, ArrowArray* out) {
      State& state = state_of(self);
      if (state.at == state.fails_at) {
        return 5;
      }
      *out = state.at == state.batches.size() ? ArrowArray{}
                                              : exported<ArrowArray>(state.batches[state.at++], state.ledger);
      return 0;
    };
    stream_.get_last_error = [](ArrowArrayStream*) { return "the disk is on fire"; };
    stream_.release = [](ArrowArrayStream* self) {
      ++state_of(self).ledger->released;
      delete &state_of(self);
      self->release = nullptr;
    };
    stream_.private_data = state_;
    ++ledger_->made;
  }
  ~Stream() {
    if (stream_.release != nullptr) {
      stream_.release(&stream_);
    }
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  ArrowArrayStream* get() { return &stream_; }
  [[nodiscard]] const Ledger& ledger() const { return *ledger_; }

 private:
  struct State {
    std::vector<Node> batches;
    std::optional<std::size_t> fails_at;
    std::size_t at;
    std::shared_ptr<Ledger> ledger;
  };
  static State& state_of(ArrowArrayStream* self) { return *static_cast<State*>(self->private_data); }

  State* state_;
  std::shared_ptr<Ledger> ledger_;
  ArrowArrayStream stream_{};
};

}  // namespace arrays
