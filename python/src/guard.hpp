#pragma once
/// \file
/// Locks and signals: how work leaves the GIL, waits for its turn, and can be interrupted.

#include <nanobind/nanobind.h>

#include <exactnorm/moments.hpp>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <stop_token>
#include <utility>
#include <vector>

namespace exactnorm::python {

namespace nb = nanobind;

/// A value and the mutex that every access takes. The mutex is only held where no Python code can run.
template <class T>
struct Guarded {
  explicit Guarded(T initial) : value(std::move(initial)) {}

  T value;
  std::timed_mutex mutex;
};

using Mutexes = std::vector<std::timed_mutex*>;
using Locks = std::vector<std::unique_lock<std::timed_mutex>>;

/// Locks all (one mutex may be named twice). While it waits it holds none of them and calls poll, which may
/// throw.
Locks lock_all(Mutexes mutexes, const std::function<void()>& poll);

/// Takes the GIL and lets pending signals run their handlers; throws nb::python_error if one raises.
void check_signals();

/// work() with the GIL released and the mutexes held.
template <class Work>
auto locked(Mutexes mutexes, Work&& work) {
  const nb::gil_scoped_release release;
  const Locks locks = lock_all(std::move(mutexes), check_signals);
  return std::forward<Work>(work)();
}

/// work() with the mutex held, for work of some microseconds. Where nobody else holds the mutex it keeps the
/// GIL, since giving it up and taking it again costs as much as the work; nothing waits for anything then, so
/// nothing can deadlock.
template <class Work>
auto locked_briefly(std::timed_mutex& mutex, Work&& work) {
  if (const std::unique_lock lock(mutex, std::try_to_lock); lock.owns_lock()) {
    return std::forward<Work>(work)();
  }
  return locked({&mutex}, std::forward<Work>(work));
}

/// work(stop) in a thread of its own, the GIL released, while this one looks for signals every 50 ms: a
/// signal that raises (Ctrl-C) requests stop, waits for work to give up, and is thrown as nb::python_error.
void run_watched(const std::function<void(std::stop_token)>& work);

/// Work on so many bytes is watched: at the slowest path's 150 MB/s, less takes under 60 ms.
inline constexpr std::int64_t watched_bytes = 8 << 20;

/// Work on no more bytes is brief: some microseconds on the usual path, 3 ms on the slowest (weights of
/// bytes).
inline constexpr std::int64_t brief_bytes = 16 << 10;

/// work() on so many bytes with the mutex held: briefly, or with the GIL released. False, without work, if
/// they are so many that it has to be watched.
template <class Work>
bool locked_if_small(std::timed_mutex& mutex, std::int64_t bytes, Work&& work) {
  if (bytes < watched_bytes) {
    bytes <= brief_bytes ? locked_briefly(mutex, work) : locked({&mutex}, work);
    return true;
  }
  return false;
}

/// work(stop) with the mutex held, watched if it is large. The thread that works holds the mutex, so a signal
/// handler that asks the same object only waits.
template <class Work>
void locked_watched(std::timed_mutex& mutex, std::int64_t bytes, Work&& work) {
  if (locked_if_small(mutex, bytes, [&] { work(std::stop_token{}); })) {
    return;
  }
  run_watched([&](const std::stop_token& stop) {
    const Locks locks = lock_all({&mutex}, [&] {
      if (stop.stop_requested()) {
        throw Interrupted();
      }
    });
    work(stop);
  });
}

}  // namespace exactnorm::python
