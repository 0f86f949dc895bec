#include "parallel.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include <tbb/global_control.h>
#include <tbb/info.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

namespace exactnorm {
namespace {

const pid_t first_process = getpid();  // that loaded this library; another one was forked from it

int affinity_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) {
    return 1;
  }
  return CPU_COUNT(&set);
}

// A container's quota: cgroup v2 says "<quota> <period>" or "max <period>", v1 has a file for each.
int quota_cpus() {
  double quota = -1;
  double period = 0;
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  if (std::string first; v2 >> first >> period) {
    quota = first == "max" ? -1 : std::strtod(first.c_str(), nullptr);
  } else {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  if (quota <= 0 || period <= 0) {
    return INT32_MAX;
  }
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

int default_threads() {
  if (const char* text = std::getenv("EXACTNORM_NUM_THREADS"); text != nullptr && *text != '\0') {
    const std::string_view view = text;
    int threads = 0;
    const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), threads);
    if (error != std::errc() || end != view.data() + view.size() || threads < 1) {
      throw std::invalid_argument("EXACTNORM_NUM_THREADS must be a whole number of at least 1, got '" +
                                  std::string(view) + "'");
    }
    return threads;
  }
  static const int cpus = std::min(affinity_cpus(), quota_cpus());
  return cpus;
}

}  // namespace

int resolve_threads(int requested, std::int64_t most) {
  if (requested < 0) {
    throw std::invalid_argument("threads must be at least 1 (or 0 for the default), got " +
                                std::to_string(requested));
  }
  if (most <= 1) {
    return 1;
  }
  return static_cast<int>(std::min<std::int64_t>(requested > 0 ? requested : default_threads(), most));
}

void run_workers(int threads, const std::function<void(int worker)>& body) {
  if (threads <= 1) {
    body(0);
    return;
  }
  if (getpid() != first_process) {
    for (int worker = 0; worker < threads; ++worker) {
      body(worker);
    }
    return;
  }
  // An arena of our own, so that we neither wait for the caller's tasks nor hold them up. It asks for no more
  // threads than oneTBB may use: it would warn on stderr.
  const auto allowed = tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism);
  tbb::task_arena arena(std::min({threads, tbb::info::default_concurrency(), static_cast<int>(allowed)}));
  arena.execute([&] { tbb::parallel_for(0, threads, body, tbb::simple_partitioner()); });
}

}  // namespace exactnorm
