// Applies a saved state to a table of numbers: the same state and rows give the same bytes as exactnorm in
// Python.
//
//     apply_state STATE ROWS OUT
//
// STATE: a document of Moments or of a Normalization for tables, JSON or CBOR. ROWS: float64, little-endian,
// row after row. OUT: what comes of them, float32, little-endian. Exit status: 0, or 1 if a file or the state
// will not do, or 2 for other arguments.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <exactnorm/exactnorm.hpp>

namespace {

constexpr std::size_t chunk_bytes = std::size_t{1} << 23;

/// What a document says, as a table needs it.
struct State {
  std::size_t features;
  std::string digest;
  std::function<void(const exactnorm::TensorView&, const exactnorm::MutableTensorView&)> apply;
};

State state_of(const exactnorm::GroupedMoments& /*groups*/) {
  throw std::invalid_argument("the state has a mean and variance for every key, and rows have no keys here");
}

State state_of(const exactnorm::Moments& moments) {
  const auto normalizer = exactnorm::Normalizer::from(moments, {.axis = exactnorm::Axes{1}});
  return {moments.size(), exactnorm::digest(moments),
          [normalizer](const auto& in, const auto& out) { normalizer.apply(in, out); }};
}

State state_of(exactnorm::Normalization layer) {
  if (!layer.built() || layer.rank() != 2 || layer.axes() != exactnorm::Axes{1}) {
    throw std::invalid_argument("the layer was not built for tables of (rows, features)");
  }
  const bool given = layer.options().mean.has_value();
  const auto features = static_cast<std::size_t>(layer.feature_shape()[0]);
  std::string digest = given ? "none: mean and variance were given" : exactnorm::digest(layer.moments());
  return {features, std::move(digest),
          [layer = std::move(layer)](const auto& in, const auto& out) mutable { layer(in, out); }};
}

/// Gives the number of rows.
std::uintmax_t apply(State& state, const std::filesystem::path& from, const std::filesystem::path& to) {
  const std::size_t row_bytes = state.features * sizeof(double);
  const std::uintmax_t bytes = std::filesystem::file_size(from);
  if (row_bytes == 0 || bytes % row_bytes != 0) {
    throw std::invalid_argument(from.string() + ": " + std::to_string(bytes) + " bytes are no rows of " +
                                std::to_string(state.features) + " float64 features");
  }
  if (std::filesystem::exists(to) && std::filesystem::equivalent(from, to)) {
    throw std::invalid_argument(to.string() + ": OUT is ROWS");
  }
  std::ifstream in(from, std::ios::binary);
  std::ofstream out(to, std::ios::binary | std::ios::trunc);
  const std::uintmax_t n_rows = bytes / row_bytes;
  const std::uintmax_t chunk_rows = std::max<std::uintmax_t>(chunk_bytes / row_bytes, 1);
  std::vector<double> rows;
  std::vector<float> applied;
  for (std::uintmax_t row = 0; out && row < n_rows; row += chunk_rows) {
    const auto count = static_cast<std::size_t>(std::min(chunk_rows, n_rows - row));
    rows.resize(count * state.features);
    applied.resize(rows.size());
    if (!in.read(reinterpret_cast<char*>(rows.data()), static_cast<std::streamsize>(count * row_bytes))) {
      throw std::runtime_error(from.string() + ": cannot be read");
    }
    state.apply(exactnorm::rows(rows.data(), count, state.features),
                exactnorm::rows(applied.data(), count, state.features));
    out.write(reinterpret_cast<const char*>(applied.data()),
              static_cast<std::streamsize>(applied.size() * sizeof(float)));
  }
  if (!out.flush()) {
    throw std::runtime_error(to.string() + ": cannot be written");
  }
  return n_rows;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: apply_state STATE ROWS OUT\n"
                 "  STATE  a saved Moments or Normalization\n"
                 "  ROWS   float64, little-endian, row after row\n"
                 "  OUT    to be written: float32, little-endian\n";
    return 2;
  }
  try {
    State state = std::visit([](auto&& loaded) { return state_of(std::forward<decltype(loaded)>(loaded)); },
                             exactnorm::load(argv[1]));
    const std::uintmax_t rows = apply(state, argv[2], argv[3]);
    std::cout << "rows " << rows << ", features " << state.features << "\n" << state.digest << "\n";
  } catch (const std::exception& error) {
    std::cerr << "apply_state: " << error.what() << "\n";
    return 1;
  }
}
