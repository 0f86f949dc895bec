#include "pairing.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ostream>
#include <thread>

#include "tiers.hpp"

namespace bench {
namespace {

constexpr std::size_t trials = 3;     // of each baseline, to find the fastest
constexpr std::size_t few_pairs = 5;  // of slow work

/// body(first byte, bytes) for pieces of all of them, taken by the threads as they become free.
template <class Body>
void in_pieces(std::size_t bytes, int threads, const Body& body) {
  constexpr std::size_t piece = std::size_t{2} << 20;
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t begin = next.fetch_add(piece); begin < bytes; begin = next.fetch_add(piece)) {
      body(begin, std::min(piece, bytes - begin));
    }
  };
  std::vector<std::jthread> others;
  for (int t = 1; t < threads; ++t) {
    others.emplace_back(work);
  }
  work();
}

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::vector<Baseline> reading(const void* data, std::size_t bytes, int threads) {
  std::vector<Baseline> all;
  for (const Reader& reader : readers()) {
    all.push_back({reader.name, [=, read = reader.read] {
                     std::atomic<std::uint64_t> sum{0};
                     in_pieces(bytes, threads, [&](std::size_t begin, std::size_t size) {
                       sum ^= read(static_cast<const std::byte*>(data) + begin, size);
                     });
                   }});
  }
  return all;
}

std::vector<Baseline> copying(const std::vector<Copier>& copiers, const exactnorm::TensorView& in,
                              const exactnorm::MutableTensorView& out, int threads) {
  const std::size_t in_size = exactnorm::size_of(in.dtype);
  const std::size_t out_size = exactnorm::size_of(out.dtype);
  const std::size_t bytes = static_cast<std::size_t>(exactnorm::element_count(in.shape)) * in_size;
  const auto* from = static_cast<const std::byte*>(in.data);
  auto* to = static_cast<std::byte*>(out.data);
  std::vector<Baseline> all;
  for (const Copier& copier : copiers) {
    all.push_back({copier.name, [=, copy = copier.copy] {
                     in_pieces(bytes, threads, [&](std::size_t begin, std::size_t size) {
                       copy(from + begin, to + begin / in_size * out_size, size / in_size / 64 * 64);
                     });
                   }});
  }
  return all;
}

bool Session::wants(std::string_view group, std::string_view name) const {
  return (std::string(group) + "/").append(name).find(settings_.only) != std::string::npos;
}

void Session::measure(const Work& work, const std::vector<Baseline>& baselines) {
  work.run();  // touches what it allocates, and starts its threads
  std::vector<std::vector<double>> tried(baselines.size());
  for (std::size_t trial = 0; trial < trials; ++trial) {
    for (std::size_t b = 0; b < baselines.size(); ++b) {
      tried[b].push_back(seconds_of(baselines[b].run));
    }
  }
  std::size_t best = 0;
  for (std::size_t b = 1; b < baselines.size(); ++b) {
    best = median(tried[b]) < median(tried[best]) ? b : best;
  }

  *out_ << (first_ ? "\n" : ",\n") << R"({"group": ")" << work.group << R"(", "name": ")" << work.name
        << R"(", "goal": )" << work.goal << R"(, "bytes": )" << work.bytes << R"(, "baseline": ")"
        << baselines[best].name << R"(", "baselines": {)";
  first_ = false;
  for (std::size_t b = 0; b < baselines.size(); ++b) {
    *out_ << (b == 0 ? "" : ", ") << '"' << baselines[b].name << "\": " << median(tried[b]);
  }
  *out_ << R"(}, "pairs": [)";
  double spent = 0;
  for (std::size_t pair = 0; pair < settings_.pairs && (pair < few_pairs || spent < settings_.seconds);
       ++pair) {
    double theirs = 0;
    double ours = 0;
    if (pair % 2 == 0) {  // in turns, as the first run may leave something behind for the second
      theirs = seconds_of(baselines[best].run);
      ours = seconds_of(work.run);
    } else {
      ours = seconds_of(work.run);
      theirs = seconds_of(baselines[best].run);
    }
    spent += theirs + ours;
    *out_ << (pair == 0 ? "" : ", ") << '[' << theirs << ", " << ours << ']';
  }
  *out_ << R"(], "tiers": )" << tier_shares(work.run) << "}" << std::flush;
}

}  // namespace bench
