#pragma once
/// \file
/// Large arrays of reproducible values.

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace bench {

/// Memory in huge pages where the system gives them, as numpy asks for it too. Not initialised.
template <class T>
class Array {
 public:
  explicit Array(std::size_t size)
      : size_(size),
        data_(static_cast<T*>(std::aligned_alloc(page, (size * sizeof(T) + page - 1) / page * page))) {
    if (data_ == nullptr) {
      throw std::bad_alloc();
    }
    madvise(data_.get(), size * sizeof(T), MADV_HUGEPAGE);
  }
  [[nodiscard]] T* data() noexcept { return data_.get(); }
  [[nodiscard]] const T* data() const noexcept { return data_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return size_ * sizeof(T); }

 private:
  struct Free {
    void operator()(T* data) const noexcept { std::free(data); }
  };
  static constexpr std::size_t page = std::size_t{2} << 20;

  std::size_t size_;
  std::unique_ptr<T, Free> data_;
};

/// Random bits of an index: the finalizer of MurmurHash3.
inline std::uint64_t hash(std::uint64_t i) noexcept {
  i = (i ^ i >> 33) * 0xff51afd7ed558ccdU;
  i = (i ^ i >> 33) * 0xc4ceb9fe1a85ec53U;
  return i ^ i >> 33;
}

/// value(i, random bits of i) for every i, computed by all CPUs.
template <class T, class Value>
Array<T> filled(std::size_t size, const Value& value) {
  Array<T> array(size);
  const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::jthread> workers;
  for (std::size_t t = 0; t < threads; ++t) {
    workers.emplace_back([&, t, threads, data = array.data()] {
      for (std::size_t i = size * t / threads; i < size * (t + 1) / threads; ++i) {
        data[i] = value(i, hash(i));
      }
    });
  }
  workers.clear();
  return array;
}

/// Normal deviates, for random bits to choose from.
class Normal {
 public:
  Normal() : pool_(1 << 16) {
    std::mt19937_64 random(1);
    std::normal_distribution<double> normal;
    std::generate(pool_.begin(), pool_.end(), [&] { return normal(random); });
  }
  double operator()(std::uint64_t bits) const noexcept { return pool_[bits % pool_.size()]; }

 private:
  std::vector<double> pool_;
};

}  // namespace bench
