#include "small_update.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "decode.hpp"
#include "fp_environment.hpp"
#include "kernels/kernels.hpp"
#include "natural.hpp"
#include "power_of_two.hpp"

namespace exactnorm {
namespace {

constexpr std::size_t most_columns = 128;
constexpr std::size_t most_elements = 4096;
constexpr std::size_t run_columns = 64;  // what one feature alone is folded to

// The panel and what a kernel wants to know of it, all in place.
template <class Format>
class SmallPanel {
 public:
  using Bits = typename Format::Bits;
  static constexpr kernels::Scheme scheme = kernels::scheme_of<Format>();
  static constexpr std::size_t windows = scheme.windows_of(scheme.first_tier());

  // rows of `columns`, one after another; columns == 1: one run.
  SmallPanel(const Bits* x, std::size_t rows, std::size_t columns) {
    const std::size_t group = scheme.group;
    if (columns % group == 0) {
      x_ = x;
      rows_ = rows;
      columns_ = columns;
      return;
    }
    const bool run = columns == 1;
    one_feature_ = run;
    columns_ = run ? run_columns : (columns + group - 1) / group * group;
    rows_ = run ? (rows + run_columns - 1) / run_columns : rows;
    if (run) {
      std::memcpy(padded_.data(), x, rows * sizeof(Bits));
      std::fill_n(padded_.begin() + static_cast<std::ptrdiff_t>(rows), rows_ * columns_ - rows, Bits{0});
    } else {
      std::fill_n(padded_.begin(), rows_ * columns_, Bits{0});
      for (std::size_t r = 0; r < rows; ++r) {
        std::memcpy(padded_.data() + r * columns_, x + r * columns, columns * sizeof(Bits));
      }
    }
    x_ = padded_.data();
  }

  // Sums into the windows; false if the first tier does not take it.
  bool sum(kernels::PanelKernel kernel) {
    if (!choose_exponents()) {
      return false;
    }
    each_window([&]<std::size_t i>() {
      constexpr kernels::Window w = scheme.windows[i];
      for (std::size_t c = 0; c < columns_; ++c) {
        start_[i][c] = w.mantissa * power_of_two(w.slope * exponent_[c] + w.offset + 52);
        window_[i][c] = 0;
      }
      state_.start[i] = start_[i].data();
      state_.window[i] = window_[i].data();
    });
    for (std::size_t c = 0; c < columns_; ++c) {
      limit_[c] = start_[scheme.square][c] * kernels::end_of_squares;
      from_[c] = kernels::smallest_allowed(scheme, exponent_[c], scheme.first_tier());
      wanted_[c] = -1;
    }
    state_.limit = limit_.data();
    state_.from = from_.data();
    state_.wanted = wanted_.data();
    state_.smallest = smallest_.data();
    state_.good = good_.data();
    return kernel(x_, rows_, static_cast<std::ptrdiff_t>(columns_), columns_, state_, 0);
  }

  // Calls f<sum>(feature, units, exponent of a unit) for what the windows hold; two neighbours are taken
  // together if they count units of 2^44 to one. A window has at most 2^58 units, of 64 columns.
  template <class F>
  void each_sum(F&& f) const {
    each_window([&]<std::size_t i>() {
      constexpr kernels::Window w = scheme.windows[i];
      constexpr auto follows = [](std::size_t a, std::size_t b) {
        return b < windows && scheme.windows[a].sum == scheme.windows[b].sum &&
               scheme.windows[a].slope == scheme.windows[b].slope &&
               scheme.windows[a].offset - 44 == scheme.windows[b].offset;
      };
      if constexpr (i == 0 || !follows(i - 1, i)) {
        constexpr std::size_t last = follows(i, i + 1) ? i + 1 : i;
        int128 units = 0;
        for (std::size_t c = 0; c < columns_; ++c) {
          units += window_[last][c];
          if constexpr (last != i) {
            units += static_cast<int128>(window_[i][c]) * (int128{1} << 44);
          }
          if (!one_feature_ || c + 1 == columns_) {
            f.template operator()<w.sum>(one_feature_ ? 0 : c, std::exchange(units, 0),
                                         w.slope * exponent_[c] + scheme.windows[last].offset);
          }
        }
      }
    });
  }

 private:
  // Calls f<i>() for each window, so that all about it is a constant.
  template <class F>
  static void each_window(F&& f) {
    [&]<std::size_t... i>(std::index_sequence<i...>) { (f.template operator()<i>(), ...); }
    (std::make_index_sequence<windows>());
  }

  bool choose_exponents() {
    if constexpr (scheme.always_right()) {
      std::fill_n(exponent_.begin(), columns_, scheme.min_exponent);
      return true;
    } else {
      using Signed = std::make_signed_t<Bits>;  // magnitudes compare as signed numbers, which vectors can
      std::array<Signed, most_columns> largest;
      for (std::size_t first = 0; first < columns_; first += scheme.group) {
        std::array<Signed, scheme.group> in_group{};
        for (const Bits* row = x_ + first; row < x_ + rows_ * columns_; row += columns_) {
          for (std::size_t c = 0; c < scheme.group; ++c) {
            in_group[c] = std::max(in_group[c], static_cast<Signed>(row[c] & Format::magnitude_mask));
          }
        }
        std::copy(in_group.begin(), in_group.end(), largest.begin() + static_cast<std::ptrdiff_t>(first));
      }
      if (one_feature_) {
        std::fill_n(largest.begin(), columns_,
                    *std::max_element(largest.begin(), largest.begin() + columns_));
      }
      bool finite = true;
      for (std::size_t c = 0; c < columns_; ++c) {
        const int field = static_cast<int>(largest[c] >> Format::fraction_bits);
        finite &= field != Format::special;
        exponent_[c] = std::clamp(field - Format::special / 2 + 1, scheme.min_exponent, scheme.max_exponent);
      }
      return finite;
    }
  }

  template <class T>
  using Columns = std::array<T, most_columns>;

  const Bits* x_;
  std::size_t rows_;
  std::size_t columns_;
  bool one_feature_ = false;
  kernels::PanelColumns state_{};
  Columns<int> exponent_;
  std::array<Columns<double>, kernels::max_windows> start_;
  std::array<Columns<std::int64_t>, kernels::max_windows> window_;
  Columns<double> limit_;
  Columns<std::int64_t> from_;
  Columns<std::int64_t> wanted_;
  Columns<std::int64_t> smallest_;
  Columns<std::int64_t> good_;
  std::array<Bits, most_elements> padded_;
};

template <class Format>
bool add(const TensorView& x, std::size_t rows, std::size_t columns, std::span<Feature> features) {
  using Bits = typename Format::Bits;
  constexpr kernels::Scheme scheme = kernels::scheme_of<Format>();
  const kernels::PanelKernel kernel = kernels::chosen().of(x.dtype).plain[scheme.first_tier()];
  if (kernel == nullptr || reinterpret_cast<std::uintptr_t>(x.data) % alignof(Bits) != 0) {
    return false;
  }
  SmallPanel<Format> panel(static_cast<const Bits*>(x.data), rows, columns);
  {
    const FpEnvironment environment;
    if (!panel.sum(kernel)) {
      return false;
    }
  }
  const auto each = [&](auto&& f) {
    panel.each_sum([&]<kernels::Sum sum>(std::size_t feature, int128 units, int exponent) {
      if (feature < features.size() && units != 0) {  // columns beyond are padding
        f(sum == kernels::Sum::x ? features[feature].sum : features[feature].sumsq, units, exponent);
      }
    });
  };
  // All memory first: after that nothing can fail half-way.
  each([](ExactSum& sum, int128, int exponent) { sum.reserve(exponent); });
  each([](ExactSum& sum, int128 units, int exponent) {
    sum.add_reserved(static_cast<std::int64_t>(units >> 64), static_cast<std::uint64_t>(units), exponent);
  });
  for (Feature& feature : features) {
    feature.counts.finite += static_cast<std::int64_t>(rows);
  }
  return true;
}

}  // namespace

bool add_small(const TensorView& x, const Axes& kept, const UpdateOptions& options,
               std::span<Feature> features) {
  const std::size_t rank = x.shape.size();
  const auto item = static_cast<std::int64_t>(size_of(x.dtype));
  const bool table = rank == 2 && kept.size() == 1 && kept[0] == 1;
  if (options.where || options.weights || options.valid || options.tier_counts != nullptr ||
      options.threads < 0 || options.stop.stop_requested() || !(table || (rank == 1 && kept.empty()))) {
    return false;
  }
  const std::int64_t rows = x.shape[0];
  const std::int64_t columns = table ? x.shape[1] : 1;
  constexpr auto most = static_cast<std::int64_t>(most_elements);
  const bool contiguous =
      x.strides[rank - 1] == item && (!table || rows == 1 || x.strides[0] == columns * item);
  if (!contiguous || rows < 1 || columns < 1 || columns > static_cast<std::int64_t>(most_columns) ||
      (columns > 1 && rows > static_cast<std::int64_t>(kernels::panel_rows)) ||
      rows * ((columns + 63) / 64 * 64) > most * (columns == 1 ? 64 : 1)) {
    return false;
  }
  for (const Feature& feature : features) {
    if (feature.counts.finite > std::numeric_limits<std::int64_t>::max() - rows) {
      return false;
    }
  }
  return with_format(x.dtype, [&]<class Format>(Format) {
    return add<Format>(x, static_cast<std::size_t>(rows), static_cast<std::size_t>(columns), features);
  });
}

}  // namespace exactnorm
