#pragma once
/// \file
/// Feeds panels to the kernels: chooses each column's exponent and tier, keeps its windows, and sums in
/// integers what no kernel takes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <exactnorm/moments.hpp>

#include "decode.hpp"
#include "kernels/buckets.hpp"
#include "kernels/kernels.hpp"

namespace exactnorm {

/// Sums panels of one dtype into features. Columns come in groups (Scheme::group of them), and each group has
/// a tier of its own: it goes up when the data ask for it again and again, and down when they no longer do. A
/// panel that asks for more only now and then is summed twice.
template <class Format>
class PanelSums {
 public:
  using Bits = typename Format::Bits;

  /// Column j of `columns` (a multiple of the scheme's group) belongs to feature into[(j % period) · step].
  PanelSums(const kernels::PanelKernels& kernels, Feature* into, std::size_t period, std::ptrdiff_t step,
            std::size_t columns);

  /// Adds at most kernels::panel_rows rows of `columns` contiguous elements; row_stride in elements; ahead as
  /// in kernels::PanelKernel. The features' counts.finite are the caller's business, as if all values were
  /// finite: here NaN and infinities are moved from there to their own counts. Precondition: FpEnvironment.
  void add(const Bits* x, std::size_t rows, std::ptrdiff_t row_stride, std::ptrdiff_t ahead);

  /// Moves everything to the features. Must be called last; a destructor could not report that memory is
  /// short.
  void flush();

  /// How many panels of a column each tier has summed.
  [[nodiscard]] const TierCounts& tier_counts() const noexcept { return tier_counts_; }

 private:
  static constexpr kernels::Scheme scheme = kernels::scheme_of<Format>();

  // Which kernel sums a group.
  struct Mode {
    std::size_t tier = scheme.first_tier();
    bool guarded = false;

    friend bool operator==(const Mode&, const Mode&) = default;
  };
  struct Group {
    Mode mode;
    int pressure = 0;       // grows with panels that need more, falls with others
    int ease = 0;           // grows with panels that need less, falls with others
    bool troubled = false;  // some column has been refused lately
  };
  // A column that no kernel takes is not offered to them for a while, each time for longer.
  struct Trouble {
    std::uint8_t refusals = 0;  // one after another
    std::uint8_t rest = 0;      // panels until the next try
  };
  struct Panel {
    const Bits* x;
    std::size_t rows;
    std::ptrdiff_t row_stride;
  };

  [[nodiscard]] Feature& feature(std::size_t column) const {
    return into_[static_cast<std::ptrdiff_t>(column % period_) * step_];
  }
  void anchor(std::size_t column, int exponent);
  void set_mode(std::size_t group, Mode mode);
  void spill(std::size_t column);
  void spill_all();
  bool run(std::size_t first, std::size_t last, const Mode& mode, const Panel& panel, std::ptrdiff_t ahead);
  bool move_nan(std::size_t column);
  void start(const Panel& panel);
  bool wake(std::size_t group, const Panel& panel);
  void settle(std::size_t group, const Panel& panel);
  void repair(std::size_t group, const Panel& panel);
  void relax(std::size_t group, bool nan);
  void refuse(std::size_t column, const Panel& panel);
  void add_integers(std::size_t column, const Panel& panel);

  const kernels::PanelKernels& kernels_;
  Feature* into_;
  std::size_t period_;
  std::ptrdiff_t step_;
  std::size_t columns_;
  std::size_t panels_ = 0;  // in the open windows
  bool started_ = false;
  TierCounts tier_counts_{};

  // What a kernel reads and writes, one array after another.
  std::vector<double> doubles_;
  std::vector<std::int64_t> integers_;
  std::array<double*, kernels::max_windows> start_{};
  double* limit_;
  std::int64_t* from_;
  std::int64_t* wanted_;
  kernels::PanelColumns state_{};

  std::vector<int> exponent_;
  std::vector<Trouble> trouble_;
  std::vector<Group> groups_;

  // Features whose values no kernel takes, in buckets that stay open between panels: emptying one costs
  // hundreds of additions. As many as 32 MiB hold; then the next takes the place of another.
  struct Open {
    std::size_t feature;
    kernels::Buckets<Format> buckets;
  };
  static constexpr std::size_t most_open = (std::size_t{32} << 20) / sizeof(Open);
  std::vector<std::unique_ptr<Open>> open_;
  std::vector<std::uint32_t> open_of_;  // by feature: its place in open_, plus one; none until it is needed
  std::size_t next_open_ = 0;
};

extern template class PanelSums<Float16>;
extern template class PanelSums<BFloat16>;
extern template class PanelSums<Float32>;
extern template class PanelSums<Float64>;
extern template class PanelSums<IntegerFormat<std::int8_t>>;
extern template class PanelSums<IntegerFormat<std::int16_t>>;
extern template class PanelSums<IntegerFormat<std::int32_t>>;
extern template class PanelSums<IntegerFormat<std::int64_t>>;
extern template class PanelSums<IntegerFormat<std::uint8_t>>;
extern template class PanelSums<IntegerFormat<std::uint16_t>>;
extern template class PanelSums<IntegerFormat<std::uint32_t>>;
extern template class PanelSums<IntegerFormat<std::uint64_t>>;
extern template class PanelSums<BooleanFormat>;

}  // namespace exactnorm
