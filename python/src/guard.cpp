#include "guard.hpp"

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>
#include <thread>

namespace exactnorm::python {

using namespace std::chrono_literals;

Locks lock_all(Mutexes mutexes, const std::function<void()>& poll) {
  std::ranges::sort(mutexes, std::less{});
  mutexes.erase(std::ranges::unique(mutexes).begin(), mutexes.end());
  while (true) {
    Locks locks;
    locks.reserve(mutexes.size());
    for (std::timed_mutex* mutex : mutexes) {
      if (!locks.emplace_back(*mutex, 50ms)) {
        break;
      }
    }
    if (std::ranges::all_of(locks, [](const auto& lock) { return lock.owns_lock(); })) {
      return locks;
    }
    locks.clear();
    poll();
  }
}

void check_signals() {
  const nb::gil_scoped_acquire acquire;
  if (PyErr_CheckSignals() != 0) {
    throw nb::python_error();
  }
}

void run_watched(const std::function<void(std::stop_token)>& work) {
  std::packaged_task<void(std::stop_token)> task(work);
  std::future<void> result = task.get_future();
  const nb::gil_scoped_release release;
  const std::jthread worker(
      std::move(task));  // its destructor requests stop and joins, before the GIL is taken again
  while (result.wait_for(50ms) != std::future_status::ready) {
    check_signals();
  }
  result.get();
}

}  // namespace exactnorm::python
