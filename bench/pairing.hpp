#pragma once
/// \file
/// Work timed in turns with a baseline, so that a slow moment of a shared machine falls on both alike.

#include <cstddef>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include <exactnorm/tensor_view.hpp>

#include "memory.hpp"

namespace bench {

struct Settings {
  int threads = 2;
  std::size_t pairs = 15;
  double seconds = 6;  ///< a piece of work, after which 5 pairs must do
  std::size_t bytes = std::size_t{1} << 30;
  std::string only = {};  ///< works whose "group/name" contains this
};

struct Work {
  std::string group;
  std::string name;
  double goal = 0;  ///< speed as a share of the baseline's; 0: none
  std::size_t bytes = 0;
  std::function<void()> run;
};

struct Baseline {
  std::string name;
  std::function<void()> run;
};

/// Every reader on that memory, by that many threads.
std::vector<Baseline> reading(const void* data, std::size_t bytes, int threads);
/// Every copier, from one array into the other, by that many threads.
std::vector<Baseline> copying(const std::vector<Copier>& copiers, const exactnorm::TensorView& in,
                              const exactnorm::MutableTensorView& out, int threads);

/// Measures and prints one JSON object for each work, as elements of a list.
class Session {
 public:
  Session(Settings settings, std::ostream& out) : settings_(std::move(settings)), out_(&out) {}

  [[nodiscard]] const Settings& settings() const noexcept { return settings_; }
  [[nodiscard]] bool wants(std::string_view group, std::string_view name) const;
  /// Finds the fastest baseline, then runs it and the work in turns.
  void measure(const Work& work, const std::vector<Baseline>& baselines);

 private:
  Settings settings_;
  std::ostream* out_;
  bool first_ = true;
};

}  // namespace bench
