// Calls from wherever users have threads of their own, and after a fork.

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>
#include <vector>

#include <tbb/parallel_for.h>

#include "parallel.hpp"
#include "support/shared_work.hpp"

namespace exactnorm {
namespace {

TEST(Parallel, RegionsOfOneTbbMayCall) {
  const SharedWork work;
  std::atomic<int> same{0};
  tbb::parallel_for(0, 8, [&](int i) { same += work.comes_out_the_same(i % 4 + 1) ? 1 : 0; });
  EXPECT_EQ(same, 8);
}

TEST(Parallel, ThreadsMayCallAtOnce) {
  const SharedWork work;
  std::atomic<int> same{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] { same += work.comes_out_the_same(i % 3 + 1) ? 1 : 0; });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(same, 6);
}

// How a forked process ends that does this work: SIGALRM if it hangs.
template <class Work>
int status_of_child(Work&& work) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    work();
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(Fork, ChildAndParentGoOn) {
  const SharedWork work;
  ASSERT_TRUE(work.comes_out_the_same(2));  // oneTBB has its threads now
  for (const bool by_exit : {false, true}) {
    EXPECT_EQ(status_of_child([&] {
                const int status = work.comes_out_the_same(2) && work.comes_out_the_same(0) ? 0 : 1;
                by_exit ? std::exit(status) : _exit(status);  // as Python's do
              }),
              0);
    EXPECT_TRUE(work.comes_out_the_same(2));
  }
}

// Of a hundred children one or another inherits a lock of oneTBB's that a thread of the parent held.
TEST(Fork, InTheMidstOfAnothersWork) {
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) {
      run_workers(2, [](int) {});
    }
  });
  for (int i = 0; i < 100 && !HasFailure(); ++i) {
    EXPECT_EQ(status_of_child([] {
                std::atomic<int> here{0};
                const std::thread::id caller = std::this_thread::get_id();
                run_workers(5, [&](int) { here += std::this_thread::get_id() == caller ? 1 : 0; });
                _exit(here == 5 ? 0 : 1);
              }),
              0);
  }
  stop = true;
  other.join();
}

}  // namespace
}  // namespace exactnorm
