// How fast Moments learn, beside a plain read of the same memory in the same run. bench/report.py runs this
// and writes docs/benchmarks.md.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <exactnorm/exactnorm.hpp>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using exactnorm::Moments;

// Each thread reads its part of the array, as fast as it can.
__attribute__((target_clones("avx512f", "avx2", "default"))) std::uint64_t read_words(
    const std::uint64_t* words, std::size_t count) {
  std::uint64_t sums[64] = {};
  for (std::size_t i = 0; i + 64 <= count; i += 64) {
    for (std::size_t k = 0; k < 64; ++k) {
      sums[k] ^= words[i + k];
    }
  }
  std::uint64_t all = 0;
  for (const std::uint64_t sum : sums) {
    all ^= sum;
  }
  return all;
}

template <class T>
std::vector<T> normal_values(std::size_t count) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(50, 20);
  std::vector<T> pool(1 << 20);
  for (T& value : pool) {
    value = static_cast<T>(normal(random));
  }
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = pool[i * 2654435761U >> 7 & (pool.size() - 1)];
  }
  return values;
}

template <class T>
const std::vector<T>& data() {
  static const std::vector<T> values = normal_values<T>(std::size_t{256} << 20 >> 2);  // 256 MiB of float32
  return values;
}

template <class T>
void count_bytes(benchmark::State& state, std::size_t values) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(values * sizeof(T)));
}

template <class T>
void read(benchmark::State& state, int threads) {
  const std::vector<T>& x = data<T>();
  const auto* words = reinterpret_cast<const std::uint64_t*>(x.data());
  const std::size_t part = x.size() * sizeof(T) / 8 / static_cast<std::size_t>(threads);
  for (auto _ : state) {
    std::vector<std::jthread> readers;
    for (int t = 1; t < threads; ++t) {
      readers.emplace_back(
          [=] { benchmark::DoNotOptimize(read_words(words + static_cast<std::size_t>(t) * part, part)); });
    }
    benchmark::DoNotOptimize(read_words(words, part));
  }
  count_bytes<T>(state, x.size());
}

template <class T>
void adapt(benchmark::State& state, const std::string& target, int threads, std::size_t features,
           std::size_t values) {
  const std::vector<T>& x = data<T>();
  exactnorm::force_target(target);
  for (auto _ : state) {
    Moments moments({static_cast<std::int64_t>(features)});
    moments.update(exactnorm::rows(x.data(), values / features, features), {}, {.threads = threads});
    benchmark::DoNotOptimize(moments);
  }
  exactnorm::force_target("");
  count_bytes<T>(state, values);
}

template <class T>
void apply(benchmark::State& state, int threads) {
  const std::vector<T>& x = data<T>();
  std::vector<float> out(x.size());
  const std::size_t rows = x.size() / 16;
  Moments moments({16});
  moments.update(exactnorm::rows(x.data(), rows, 16));
  const auto normalizer = exactnorm::Normalizer::from(moments);
  for (auto _ : state) {
    normalizer.apply(exactnorm::rows(x.data(), rows, 16), exactnorm::rows(out.data(), rows, 16), threads);
    benchmark::DoNotOptimize(out.data());
  }
  count_bytes<T>(state, x.size());
}

template <class T>
void add(const std::string& dtype) {
  const std::size_t all = data<T>().size();
  const auto named = [&](const std::string& name, const std::function<void(benchmark::State&)>& run) {
    benchmark::RegisterBenchmark((dtype + "/" + name).c_str(), run)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  };
  if constexpr (std::is_floating_point_v<T>) {
    for (const int threads : {1, 2}) {
      const std::string count = "/threads:" + std::to_string(threads);
      named("read" + count, [=](benchmark::State& state) { read<T>(state, threads); });
      named("apply" + count, [=](benchmark::State& state) { apply<T>(state, threads); });
      for (const exactnorm::Target& target : exactnorm::targets()) {
        if (target.supported && target.name != "portable") {
          named("adapt 16 features/" + target.name + count,
                [=](benchmark::State& state) { adapt<T>(state, target.name, threads, 16, all); });
        }
      }
    }
  }
  named("adapt 16 features/portable/threads:1",
        [=](benchmark::State& state) { adapt<T>(state, "portable", 1, 16, std::size_t{4} << 20); });
}

}  // namespace

int main(int argc, char** argv) {
  add<float>("float32");
  add<double>("float64");
  add<std::int64_t>("int64");
  add<std::uint8_t>("uint8");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
