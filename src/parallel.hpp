#pragma once
/// \file
/// The only place that knows how threads are made.
///
/// oneTBB makes them, as many as the process has CPUs at most, for all its users together: work inside a
/// caller's own parallel region (oneTBB's, OpenMP's, std::thread's) gets the threads that are free, and its
/// caller's thread in any case. After a call they sleep.
///
/// A process made by fork has none of its parent's threads, and may have inherited a lock that one of them
/// held. So there, until it executes another program, all work is done by the calling thread.

#include <cstdint>
#include <functional>
#include <limits>

namespace exactnorm {

/// requested if it is at least 1; for 0 EXACTNORM_NUM_THREADS if it is set and not empty, else the CPUs this
/// process may use (affinity and cgroup quota, looked up once); but no more than most, the number of threads
/// that have something to do. If that is one, the environment is not looked at: small calls cannot afford it.
/// Throws std::invalid_argument for a negative number or a malformed environment variable.
int resolve_threads(int requested, std::int64_t most = std::numeric_limits<int>::max());

/// Calls body(worker) for worker = 0 … threads-1, one of them on the calling thread, the others as threads
/// become free; returns when all have. An exception of any body is rethrown. With one thread it is a plain
/// call. Bodies share the work between them themselves.
void run_workers(int threads, const std::function<void(int worker)>& body);

}  // namespace exactnorm
