#include <exactnorm/targets.hpp>

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "kernels.hpp"

namespace exactnorm {
namespace kernels {
namespace {

constexpr Table portable{"portable"};

// Null until somebody forces one, or asks for the first time.
std::atomic<const Table*> in_use{nullptr};

std::string known_targets() {
  std::string text;
  for (const Compiled& each : compiled()) {
    text.append(each.table.name).append(each.supported ? ", " : " (which this CPU lacks), ");
  }
  return text + portable.name;
}

const Table& named(std::string_view name, std::string_view what) {
  if (name == portable.name) {
    return portable;
  }
  for (const Compiled& each : compiled()) {
    if (name == each.table.name && each.supported) {
      return each.table;
    }
  }
  throw std::invalid_argument(std::string(what) + " must be one of " + known_targets() + "; got '" +
                              std::string(name) + "'");
}

const Table& best() {
  const char* forced = std::getenv("EXACTNORM_TARGET");
  if (forced != nullptr && *forced != '\0') {
    return named(forced, "EXACTNORM_TARGET");
  }
  for (const Compiled& each : compiled()) {
    if (each.supported) {
      return each.table;
    }
  }
  return portable;
}

}  // namespace

const Table& chosen() {
  const Table* table = in_use.load(std::memory_order_acquire);
  if (table == nullptr) {
    table = &best();
    in_use.store(table, std::memory_order_release);
  }
  return *table;
}

}  // namespace kernels

std::vector<Target> targets() {
  const std::string_view now = kernels::chosen().name;
  std::vector<Target> all;
  for (const kernels::Compiled& each : kernels::compiled()) {
    all.push_back({each.table.name, each.supported, now == each.table.name});
  }
  all.push_back({kernels::portable.name, true, now == kernels::portable.name});
  return all;
}

void force_target(std::string_view name) {
  kernels::in_use.store(name.empty() ? &kernels::best() : &kernels::named(name, "target"),
                        std::memory_order_release);
}

}  // namespace exactnorm
