#include "panel_sums.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "column_range.hpp"
#include "power_of_two.hpp"

namespace exactnorm {
namespace {

// When a group changes its mode. Summing a panel again costs about as much as the higher tier does, so that
// one pays if every third panel needs it.
constexpr int failed = 3;      // what such a panel adds to the pressure …
constexpr int passed = -1;     // … and any other
constexpr int too_much = 8;    // then the mode rises
constexpr int long_ease = 12;  // panels on balance that would have done with less

constexpr int most_refusals = 5;  // 2^5 - 1 panels of rest at the most

}  // namespace

template <class Format>
PanelSums<Format>::PanelSums(const kernels::PanelKernels& kernels, Feature* into, std::size_t period,
                             std::ptrdiff_t step, std::size_t columns)
    : kernels_(kernels),
      into_(into),
      period_(period),
      step_(step),
      columns_(columns),
      doubles_((scheme.window_count + 1) * columns),
      integers_((scheme.window_count + 5) * columns),
      exponent_(columns),
      trouble_(columns),
      groups_(columns / scheme.group) {
  std::int64_t* integers = integers_.data();
  const auto next = [&] { return std::exchange(integers, integers + columns); };
  for (std::size_t i = 0; i < scheme.window_count; ++i) {
    state_.start[i] = start_[i] = doubles_.data() + i * columns;
    state_.window[i] = next();
  }
  state_.limit = limit_ = doubles_.data() + scheme.window_count * columns;
  state_.from = from_ = next();
  state_.wanted = wanted_ = next();
  state_.smallest = next();
  state_.good = next();
  state_.nan = next();
  std::fill_n(wanted_, columns, -1);
}

// Precondition: the column's windows are empty.
template <class Format>
void PanelSums<Format>::anchor(std::size_t column, int exponent) {
  exponent_[column] = exponent;
  for (std::size_t i = 0; i < scheme.window_count; ++i) {
    const kernels::Window& w = scheme.windows[i];
    start_[i][column] = w.mantissa * power_of_two(w.slope * exponent + w.offset + 52);
  }
  limit_[column] = start_[scheme.square][column] * kernels::end_of_squares;
}

// Precondition: the group's exponents are set.
template <class Format>
void PanelSums<Format>::set_mode(std::size_t group, Mode mode) {
  groups_[group].mode = mode;
  for (std::size_t column = group * scheme.group; column < (group + 1) * scheme.group; ++column) {
    from_[column] = kernels::smallest_allowed(scheme, exponent_[column], mode.tier);
  }
}

template <class Format>
void PanelSums<Format>::spill(std::size_t column) {
  Feature& to = feature(column);
  for (std::size_t i = 0; i < scheme.window_count; ++i) {
    const kernels::Window& w = scheme.windows[i];
    (w.sum == kernels::Sum::x ? to.sum : to.sumsq)
        .add(std::exchange(state_.window[i][column], 0), w.slope * exponent_[column] + w.offset);
  }
}

// Columns of one feature that have one exponent are added up first: adding to an ExactSum costs more.
template <class Format>
void PanelSums<Format>::spill_all() {
  for (std::size_t f = 0; f < period_; ++f) {
    Feature& to = feature(f);
    for (std::size_t i = 0; i < scheme.window_count; ++i) {
      const kernels::Window& w = scheme.windows[i];
      ExactSum& sum = w.sum == kernels::Sum::x ? to.sum : to.sumsq;
      for (std::size_t column = f; column < columns_;) {
        const int exponent = exponent_[column];
        int128 units = 0;
        for (; column < columns_ && exponent_[column] == exponent; column += period_) {
          units += std::exchange(state_.window[i][column], 0);
        }
        const bool negative = units < 0;
        const auto magnitude = static_cast<uint128>(negative ? -units : units);
        sum.add_wide(static_cast<std::uint64_t>(magnitude >> 64), static_cast<std::uint64_t>(magnitude),
                     w.slope * exponent + w.offset, negative);
      }
    }
  }
}

// Runs a kernel over the groups first … last-1; true if no wanted column failed.
template <class Format>
bool PanelSums<Format>::run(std::size_t first, std::size_t last, const Mode& mode, const Panel& panel,
                            std::ptrdiff_t ahead) {
  const auto offset = static_cast<std::ptrdiff_t>(first * scheme.group);
  kernels::PanelColumns state = state_;
  for (std::size_t i = 0; i < scheme.window_count; ++i) {
    state.start[i] += offset;
    state.window[i] += offset;
  }
  state.limit += offset;
  for (const std::int64_t** each : {&state.from, &state.wanted}) {
    *each += offset;
  }
  for (std::int64_t** each : {&state.smallest, &state.good, &state.nan}) {
    *each += offset;
  }
  const kernels::PanelKernel kernel = (mode.guarded ? kernels_.guarded : kernels_.plain)[mode.tier];
  return kernel(panel.x + offset, panel.rows, panel.row_stride, (last - first) * scheme.group, state, ahead);
}

// The NaN that a guarded kernel has counted go to the feature; true if there were any.
template <class Format>
bool PanelSums<Format>::move_nan(std::size_t column) {
  const std::int64_t nan = std::exchange(state_.nan[column], 0);
  if (nan != 0) {
    Counts& counts = feature(column).counts;
    counts.nan += nan;
    counts.finite -= nan;
  }
  return nan != 0;
}

// Chooses exponents by a few values of each feature; whatever they miss is corrected as soon as it fails.
template <class Format>
void PanelSums<Format>::start(const Panel& panel) {
  constexpr std::size_t sample = 16;
  const std::size_t rows = std::min(std::max<std::size_t>(sample * period_ / columns_, 1), panel.rows);
  const auto apart = panel.row_stride * static_cast<std::ptrdiff_t>(panel.rows / rows);
  std::vector<Mode> modes(groups_.size());
  for (std::size_t f = 0; f < period_; ++f) {
    ColumnRange range;
    std::optional<Fit> fit = Fit{scheme.min_exponent, scheme.first_tier()};
    if constexpr (!scheme.always_right()) {
      for (std::size_t column = f; column < columns_; column += period_) {
        range.include(range_of<Format>(panel.x + column, rows, apart));
      }
      fit = fit_of(scheme, range);
    }
    for (std::size_t column = f; column < columns_; column += period_) {
      anchor(column, fit ? fit->exponent : std::clamp(range.above, scheme.min_exponent, scheme.max_exponent));
      Mode& mode = modes[column / scheme.group];
      mode.tier = std::max(mode.tier, fit ? fit->tier : 0);
      mode.guarded |= range.nan;
    }
  }
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    set_mode(group, modes[group]);
  }
  started_ = true;
}

// Sums the columns of a troubled group that rest; true if there are others.
template <class Format>
bool PanelSums<Format>::wake(std::size_t group, const Panel& panel) {
  bool any = false;
  for (std::size_t column = group * scheme.group; column < (group + 1) * scheme.group; ++column) {
    Trouble& trouble = trouble_[column];
    wanted_[column] = trouble.rest == 0 ? -1 : 0;
    any |= trouble.rest == 0;
    if (trouble.rest > 0) {
      --trouble.rest;
      add_integers(column, panel);
    }
  }
  return any;
}

// After a kernel has run over a group.
template <class Format>
void PanelSums<Format>::settle(std::size_t group, const Panel& panel) {
  const std::size_t first = group * scheme.group;
  Group& state = groups_[group];
  bool nan = false;
  bool failure = false;
  std::int64_t summed = 0;
  for (std::size_t column = first; column < first + scheme.group; ++column) {
    nan |= state.mode.guarded && move_nan(column);
    failure |= wanted_[column] != state_.good[column];
    summed -= state_.good[column];
  }
  tier_counts_[state.mode.tier] += summed;
  if (state.troubled) {
    state.troubled = false;
    for (std::size_t column = first; column < first + scheme.group; ++column) {
      Trouble& trouble = trouble_[column];
      trouble.refusals = state_.good[column] != 0 ? std::uint8_t{0} : trouble.refusals;
      state.troubled |= trouble.refusals > 0;
    }
  }
  if (failure) {
    repair(group, panel);
  } else {
    relax(group, nan);
  }
  if (state.troubled) {
    std::fill_n(wanted_ + first, scheme.group, -1);
  }
}

// Sums the columns of a group that have failed: with exponents and a kernel that suit them, else in integers.
template <class Format>
void PanelSums<Format>::repair(std::size_t group, const Panel& panel) {
  if constexpr (Format::is_float) {
    const std::size_t first = group * scheme.group;
    const std::size_t last = first + scheme.group;
    Group& state = groups_[group];
    const Mode before = state.mode;
    Mode needed = before;
    bool again = false;
    for (std::size_t column = first; column < last; ++column) {
      if (wanted_[column] == state_.good[column]) {
        wanted_[column] = 0;
        continue;
      }
      const ColumnRange range = range_of<Format>(panel.x + column, panel.rows, panel.row_stride);
      const std::optional<Fit> fit = fit_of(scheme, range);
      wanted_[column] = fit ? -1 : 0;
      if (!fit) {
        refuse(column, panel);
        continue;
      }
      again = true;
      needed.tier = std::max(needed.tier, fit->tier);
      needed.guarded |= range.nan;
      if (range.above != INT_MIN) {
        spill(column);
        anchor(column, fit->exponent);
      }
    }
    set_mode(group, needed);
    if (again) {
      const bool all = run(group, group + 1, needed, panel, 0);
      for (std::size_t column = first; column < last; ++column) {
        if (!all && wanted_[column] != state_.good[column]) {
          refuse(column, panel);
          wanted_[column] = 0;
        }
        tier_counts_[needed.tier] += wanted_[column] != 0 ? 1 : 0;
        move_nan(column);
      }
    }
    std::fill_n(wanted_ + first, scheme.group, -1);
    if (!(needed == before)) {
      state.pressure += failed;
      if (state.pressure < too_much) {
        set_mode(group, before);
      } else {
        state.pressure = state.ease = 0;
      }
    }
  }
}

// After a panel that went well: a group whose data have become simpler goes a step down.
template <class Format>
void PanelSums<Format>::relax(std::size_t group, bool nan) {
  Group& state = groups_[group];
  state.pressure = std::max(state.pressure + passed, 0);
  Mode lower = state.mode;
  if (state.mode.tier > scheme.first_tier()) {
    bool fits = true;
    for (std::size_t column = group * scheme.group; column < (group + 1) * scheme.group; ++column) {
      fits &= state_.smallest[column] >=
              kernels::smallest_allowed(scheme, exponent_[column], state.mode.tier - 1);
    }
    lower.tier -= fits ? 1 : 0;
  }
  lower.guarded &= nan;
  state.ease = lower == state.mode ? std::max(state.ease - 1, 0) : state.ease + 1;
  if (state.ease >= long_ease) {
    state.ease = 0;
    set_mode(group, lower);
  }
}

template <class Format>
void PanelSums<Format>::refuse(std::size_t column, const Panel& panel) {
  add_integers(column, panel);
  Trouble& trouble = trouble_[column];
  trouble.refusals = static_cast<std::uint8_t>(std::min(trouble.refusals + 1, most_refusals));
  trouble.rest = static_cast<std::uint8_t>((1 << trouble.refusals) - 1);
  groups_[column / scheme.group].troubled = true;
}

template <class Format>
void PanelSums<Format>::add_integers(std::size_t column, const Panel& panel) {
  const std::size_t f = column % period_;
  Feature& to = feature(f);
  open_of_.resize(period_);
  if (open_of_[f] == 0) {
    if (open_.size() < most_open) {
      open_.push_back(std::make_unique<Open>(Open{f, {}}));
      open_of_[f] = static_cast<std::uint32_t>(open_.size());
    } else {
      const std::size_t place = next_open_++ % most_open;
      Open& other = *open_[place];
      other.buckets.spill(feature(other.feature));
      open_of_[other.feature] = 0;
      other.feature = f;
      open_of_[f] = static_cast<std::uint32_t>(place + 1);
    }
  }
  kernels::Buckets<Format>& buckets = open_[open_of_[f] - 1]->buckets;
  if (buckets.count() + panel.rows > kernels::Buckets<Format>::max_run) {
    buckets.spill(to);
  }
  buckets.add(reinterpret_cast<const std::byte*>(panel.x + column), panel.rows,
              panel.row_stride * static_cast<std::ptrdiff_t>(sizeof(Bits)));
  to.counts.finite -= static_cast<std::int64_t>(panel.rows);  // the buckets count them themselves
  ++tier_counts_[kernels::tiers];
}

template <class Format>
void PanelSums<Format>::add(const Bits* x, std::size_t rows, std::ptrdiff_t row_stride,
                            std::ptrdiff_t ahead) {
  const Panel panel{x, rows, row_stride};
  if (!started_) {
    start(panel);
  }
  for (std::size_t first = 0; first < groups_.size();) {
    const Mode mode = groups_[first].mode;
    std::size_t last = first + 1;
    if (groups_[first].troubled) {
      if (!wake(first, panel)) {
        std::fill_n(wanted_ + first * scheme.group, scheme.group, -1);
        first = last;
        continue;
      }
    } else {
      while (last < groups_.size() && groups_[last].mode == mode && !groups_[last].troubled) {
        ++last;
      }
    }
    const bool good = run(first, last, mode, panel, ahead);
    for (std::size_t group = first; group < last; ++group) {
      Group& state = groups_[group];
      if (good && mode == Mode{} && !state.troubled) {  // nothing to look at
        tier_counts_[mode.tier] += static_cast<std::int64_t>(scheme.group);
        state.pressure = std::max(state.pressure + passed, 0);
      } else {
        settle(group, panel);
      }
    }
    first = last;
  }
  if (++panels_ == kernels::panels_per_window) {
    spill_all();
    panels_ = 0;
  }
}

template <class Format>
void PanelSums<Format>::flush() {
  spill_all();
  for (const auto& open : open_) {
    open->buckets.spill(feature(open->feature));
  }
  panels_ = 0;
}

template class PanelSums<Float16>;
template class PanelSums<BFloat16>;
template class PanelSums<Float32>;
template class PanelSums<Float64>;
template class PanelSums<IntegerFormat<std::int8_t>>;
template class PanelSums<IntegerFormat<std::int16_t>>;
template class PanelSums<IntegerFormat<std::int32_t>>;
template class PanelSums<IntegerFormat<std::int64_t>>;
template class PanelSums<IntegerFormat<std::uint8_t>>;
template class PanelSums<IntegerFormat<std::uint16_t>>;
template class PanelSums<IntegerFormat<std::uint32_t>>;
template class PanelSums<IntegerFormat<std::uint64_t>>;
template class PanelSums<BooleanFormat>;

}  // namespace exactnorm
