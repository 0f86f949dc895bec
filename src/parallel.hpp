#pragma once
/// \file
/// The only place that knows how threads are made.

#include <cstddef>
#include <functional>

namespace exactnorm {

/// requested if it is at least 1; for 0 EXACTNORM_NUM_THREADS, else the CPUs this process may use (affinity
/// and cgroup quota). Throws std::invalid_argument for a negative number or a malformed environment variable.
int resolve_threads(int requested);

/// Calls body(worker) for worker = 0 … threads-1, one of them on the calling thread, the others as threads
/// become free; returns when all have. An exception of any body is rethrown. With one thread it is a plain
/// call. Bodies share the work between them themselves.
void run_workers(int threads, const std::function<void(int worker)>& body);

}  // namespace exactnorm
