// What fits in caches: small calls, cycles a value, and each target by itself. bench/report.py runs this.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <exactnorm/exactnorm.hpp>
#include <string>

#include "arrays.hpp"

namespace {

using bench::Array;
using exactnorm::Moments;

template <class T>
Array<T> normal_values(std::size_t count) {
  const bench::Normal normal;
  return bench::filled<T>(
      count, [&](std::size_t, std::uint64_t bits) { return static_cast<T>(50 + 20 * normal(bits)); });
}

/// Of this thread alone: what else runs on the machine does not count.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// Cycles a second, from additions that wait for each other: one a cycle.
double clock_rate() {
  constexpr std::uint64_t additions = 1 << 20;
  double best = 0;
  for (int trial = 0; trial < 3; ++trial) {
    std::uint64_t sum = 0;
    const double start = cpu_seconds();
    for (std::uint64_t i = 0; i < additions; i += 8) {
#if defined(__x86_64__)
      asm volatile(
          "add $1, %0\n add $1, %0\n add $1, %0\n add $1, %0\n add $1, %0\n add $1, %0\n add $1, %0\n add "
          "$1, %0"
          : "+r"(sum));
#else
      asm volatile(
          "add %0, %0, 1\n add %0, %0, 1\n add %0, %0, 1\n add %0, %0, 1\n"
          "add %0, %0, 1\n add %0, %0, 1\n add %0, %0, 1\n add %0, %0, 1"
          : "+r"(sum));
#endif
    }
    best = std::max(best, static_cast<double>(additions) / (cpu_seconds() - start));
  }
  return best;
}

template <class T>
void adapt_in_cache(benchmark::State& state, std::size_t features) {
  const Array<T> x = normal_values<T>((std::size_t{256} << 10) / sizeof(T));
  const std::size_t rows = x.size() / features;
  Moments moments({static_cast<std::int64_t>(features)});
  double rate = clock_rate();
  const double start = cpu_seconds();
  for (auto _ : state) {
    moments.update(exactnorm::rows(x.data(), rows, features), {}, {.threads = 1});
  }
  const double seconds = cpu_seconds() - start;
  rate = std::max(rate, clock_rate());
  state.counters["cycles_per_value"] =
      seconds * rate / static_cast<double>(state.iterations()) / static_cast<double>(rows * features);
  state.counters["gigahertz"] = rate / 1e9;
}

void update_batch(benchmark::State& state) {
  const Array<float> x = normal_values<float>(32 * 16);
  Moments moments({16});
  for (auto _ : state) {
    moments.update(exactnorm::rows(x.data(), 32, 16));
  }
}

void apply_row(benchmark::State& state) {
  const Array<float> x = normal_values<float>(16);
  Array<float> out(16);
  Moments moments({16});
  const Array<float> learned = normal_values<float>(1024);
  moments.update(exactnorm::rows(learned.data(), 64, 16));
  const auto normalizer = exactnorm::Normalizer::from(moments);
  for (auto _ : state) {
    normalizer.apply(exactnorm::rows(x.data(), 1, 16), exactnorm::rows(out.data(), 1, 16));
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
}

template <class T>
void adapt_on(benchmark::State& state, const std::string& target) {
  static const Array<T> x = normal_values<T>((std::size_t{128} << 20) / sizeof(T));
  const std::size_t rows = (target == "portable" ? x.size() / 16 : x.size()) / 16;
  exactnorm::force_target(target);
  for (auto _ : state) {
    Moments moments({16});
    moments.update(exactnorm::rows(x.data(), rows, 16), {}, {.threads = 1});
  }
  exactnorm::force_target("");
  state.SetBytesProcessed(static_cast<std::int64_t>(rows * 16 * sizeof(T)) *
                          static_cast<std::int64_t>(state.iterations()));
}

template <class T>
void add_targets(const std::string& dtype) {
  for (const exactnorm::Target& target : exactnorm::targets()) {
    if (target.supported) {
      benchmark::RegisterBenchmark(
          ("targets/" + dtype + "/" + target.name).c_str(),
          [name = target.name](benchmark::State& state) { adapt_on<T>(state, name); });
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::RegisterBenchmark("calls/update of (32, 16) float32", update_batch);
  benchmark::RegisterBenchmark("calls/apply to (1, 16) float32", apply_row);
  for (const std::size_t features : {16U, 64U}) {
    const std::string of = std::to_string(features) + " features";
    benchmark::RegisterBenchmark(("cache/float32, " + of).c_str(),
                                 [=](benchmark::State& state) { adapt_in_cache<float>(state, features); });
    benchmark::RegisterBenchmark(("cache/float64, " + of).c_str(),
                                 [=](benchmark::State& state) { adapt_in_cache<double>(state, features); });
  }
  add_targets<float>("float32");
  add_targets<double>("float64");
  add_targets<std::int64_t>("int64");
  add_targets<std::uint8_t>("uint8");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
