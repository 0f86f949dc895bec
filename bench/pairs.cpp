// Adapt and apply on large arrays, each in turns with the fastest plain read or copy of the same memory by as
// many threads. Prints JSON, which bench/report.py makes tables of.

#include <bit>
#include <exactnorm/exactnorm.hpp>
#include <functional>
#include <iostream>
#include <limits>
#include <optional>
#include <string>

#include "arrays.hpp"
#include "half.hpp"
#include "pairing.hpp"
#include "tiers.hpp"

namespace {

using bench::Array;
using exactnorm::Axes;
using exactnorm::Moments;
using exactnorm::TensorView;
using exactnorm::UpdateOptions;

/// Made when first asked for: a filter may leave all of its works out.
template <class Make>
class Lazily {
 public:
  explicit Lazily(Make make) : make_(std::move(make)) {}
  auto& operator()() {
    if (!made_) {
      made_.emplace(make_());
    }
    return *made_;
  }

 private:
  Make make_;
  std::optional<std::invoke_result_t<Make>> made_;
};

const bench::Normal normal;

class Suite {
 public:
  explicit Suite(bench::Session& session) : session_(&session) {}

  void run() {
    float32();
    float64();
    tier_two();
    small_types();
    gaps();
    adversarial();
    converted();
  }

 private:
  template <class T>
  [[nodiscard]] std::size_t count() const {
    return session_->settings().bytes / sizeof(T);
  }
  template <class T, class Value>
  auto lazily(const Value& value) {
    return Lazily([=, this] { return bench::filled<T>(count<T>(), value); });
  }

  /// features 0: all of it is one feature (axis=None).
  template <class Lazy>
  void adapt(const std::string& group, const std::string& name, double goal, Lazy& array,
             std::size_t features, const std::function<UpdateOptions(std::size_t rows)>& options = {}) {
    if (!session_->wants(group, name)) {
      return;
    }
    const std::size_t columns = std::max<std::size_t>(features, 1);
    const std::size_t rows = array().size() / columns;
    adapt_view(group, name, goal, exactnorm::rows(std::as_const(array()).data(), rows, columns),
               features == 0 ? Axes{} : Axes{1}, options ? options(rows) : UpdateOptions{});
  }

  void adapt_view(const std::string& group, const std::string& name, double goal, const TensorView& view,
                  const Axes& axes, UpdateOptions options = {}) {
    const int threads = session_->settings().threads;
    options.threads = threads;
    options.tier_counts = &bench::panels;
    const std::size_t bytes =
        static_cast<std::size_t>(exactnorm::element_count(view.shape)) * exactnorm::size_of(view.dtype);
    const exactnorm::Shape features =
        exactnorm::feature_shape(view.shape, exactnorm::kept_axes(axes, view.shape.size()));
    const auto run = [&] {
      Moments moments(features);
      moments.update(view, axes, options);
    };
    session_->measure({group, name, goal, bytes, run}, bench::reading(view.data, bytes, threads));
  }

  void apply(const std::string& name, double goal, const TensorView& in,
             const exactnorm::MutableTensorView& out, const std::vector<bench::Copier>& copiers) {
    const int threads = session_->settings().threads;
    const std::vector<double> mean(16, 50);
    const std::vector<double> variance(16, 400);
    const auto normalizer = exactnorm::Normalizer::from({16}, mean, variance);
    const std::size_t bytes =
        static_cast<std::size_t>(exactnorm::element_count(in.shape)) * exactnorm::size_of(in.dtype);
    session_->measure({"apply", name, goal, bytes, [&] { normalizer.apply(in, out, threads); }},
                      bench::copying(copiers, in, out, threads));
  }

  void float32() {
    auto x = lazily<float>(
        [](std::size_t, std::uint64_t bits) { return static_cast<float>(50 + 20 * normal(bits)); });
    for (const std::size_t features : {16U, 32U, 64U}) {
      adapt("adapt", "float32, " + std::to_string(features) + " features", 0.92, x, features);
    }
    for (const std::size_t features : {256U, 4096U, 1U, 3U, 7U, 13U, 100U}) {
      adapt("adapt", "float32, " + std::to_string(features) + " features", 0.85, x, features);
    }
    adapt("adapt", "float32, one run", 0.85, x, 0);
    if (session_->wants("adapt", "float32, channels first")) {
      const auto images = static_cast<std::int64_t>(x().size() / (3 * 224 * 224));
      adapt_view("adapt", "float32, channels first", 0,
                 exactnorm::contiguous(x().data(), {images, 3, 224, 224}), {1});
    }
    if (session_->wants("adapt", "float32, 1000 rows of 100000")) {
      const std::size_t rows = std::min<std::size_t>(1000, x().size() / 100000);
      adapt_view("adapt", "float32, 1000 rows of 100000", 0.6, exactnorm::rows(x().data(), rows, 100000),
                 {1});
    }
    auto mask = Lazily([&] {
      return bench::filled<bool>(x().size() / 16,
                                 [](std::size_t, std::uint64_t bits) { return bits % 2 == 0; });
    });
    adapt("adapt", "float32, 16 features, half the rows masked", 0.5, x, 16, [&](std::size_t rows) {
      return UpdateOptions{.where = exactnorm::contiguous(mask().data(), {static_cast<std::int64_t>(rows)})};
    });
    auto weights = Lazily([&] {
      return bench::filled<float>(x().size() / 16, [](std::size_t, std::uint64_t bits) {
        return static_cast<float>(bits >> 40) * 0x1p-24F;
      });
    });
    adapt("adapt", "float32, 16 features, float32 weights", 0.2, x, 16, [&](std::size_t rows) {
      return UpdateOptions{.weights =
                               exactnorm::contiguous(weights().data(), {static_cast<std::int64_t>(rows)})};
    });

    if (session_->wants("apply", "float32")) {
      Array<float> out = bench::filled<float>(x().size(), [](std::size_t, std::uint64_t) { return 0.0F; });
      const std::size_t rows = x().size() / 16;
      apply("float32, out of place", 0.95, exactnorm::rows(x().data(), rows, 16),
            exactnorm::rows(out.data(), rows, 16), bench::float_copiers());
      const std::vector<bench::Copier> copiers = bench::float_copiers();
      apply("float32, in place", 0.95, exactnorm::rows(x().data(), rows, 16),
            exactnorm::rows(x().data(), rows, 16), {copiers.begin() + 1, copiers.end()});
    }
  }

  void float64() {
    auto x = lazily<double>([](std::size_t, std::uint64_t bits) { return 50 + 20 * normal(bits); });
    adapt("adapt", "float64, 16 features", 0.85, x, 16);
    adapt("adapt", "float64, one run", 0.85, x, 0);
  }

  void tier_two() {
    auto lognormal = lazily<float>(
        [](std::size_t, std::uint64_t bits) { return static_cast<float>(std::exp(3 * normal(bits))); });
    adapt("adapt", "float32, 16 features, lognormal", 0.5, lognormal, 16);
    auto zeros = lazily<float>([](std::size_t, std::uint64_t bits) {
      return bits >> 60 < 12 ? 0.0F : static_cast<float>(std::exp(normal(bits)));
    });
    adapt("adapt", "float32, 16 features, zero-inflated", 0.5, zeros, 16);
    auto mixed = lazily<float>([](std::size_t i, std::uint64_t bits) {
      return static_cast<float>(std::ldexp(normal(bits), static_cast<int>(i % 16 * 8 + (bits >> 60)) - 60));
    });
    adapt("adapt", "float32, 16 features, mixed scales", 0.5, mixed, 16);
  }

  void small_types() {
    if (session_->wants("adapt", "uint8 images, 3 channels")) {
      constexpr std::size_t image = 224 * 224 * 3;
      const std::size_t images = session_->settings().bytes / image;
      const auto x = bench::filled<std::uint8_t>(
          images * image, [](std::size_t, std::uint64_t bits) { return static_cast<std::uint8_t>(bits); });
      adapt_view("adapt", "uint8 images, 3 channels", 0.6,
                 exactnorm::contiguous(x.data(), {static_cast<std::int64_t>(images), 224, 224, 3}), {3});
    }
    auto int32 =
        lazily<std::int32_t>([](std::size_t, std::uint64_t bits) { return static_cast<std::int32_t>(bits); });
    adapt("adapt", "int32 of every size, 16 features", 0.75, int32, 16);
    auto ids = lazily<std::int64_t>(
        [](std::size_t, std::uint64_t bits) { return static_cast<std::int64_t>(bits >> 32); });
    adapt("adapt", "int64 below 2^32, 16 features", 0.5, ids, 16);
    auto int64 =
        lazily<std::int64_t>([](std::size_t, std::uint64_t bits) { return static_cast<std::int64_t>(bits); });
    adapt("adapt", "int64 of every size, 16 features", 0.5, int64, 16);
    auto float16 = lazily<exactnorm::float16_bits>([](std::size_t, std::uint64_t bits) {
      return exactnorm::to_half<exactnorm::float16_bits>(50 + 20 * normal(bits));
    });
    adapt("adapt", "float16, 16 features", 0.4, float16, 16);
    auto bfloat16 = lazily<exactnorm::bfloat16_bits>([](std::size_t, std::uint64_t bits) {
      return exactnorm::to_half<exactnorm::bfloat16_bits>(50 + 20 * normal(bits));
    });
    adapt("adapt", "bfloat16, 16 features", 0.4, bfloat16, 16);
  }

  void gaps() {
    auto nans = lazily<float>([](std::size_t, std::uint64_t bits) {
      return bits >> 32 < (std::uint64_t{1} << 32) / 100 ? std::numeric_limits<float>::quiet_NaN()
                                                         : static_cast<float>(50 + 20 * normal(bits));
    });
    adapt("adapt", "float32, 16 features, 1 % NaN", 0.6, nans, 16);
  }

  void adversarial() {
    constexpr double goal = 0.05;
    auto exponents = lazily<float>([](std::size_t, std::uint64_t bits) {
      const auto all = static_cast<std::uint32_t>(bits);
      return std::bit_cast<float>((~all & 0x7f800000) != 0 ? all : all & 0x807fffff);  // no NaN or infinity
    });
    adapt("adversarial", "float32, every exponent in each column", goal, exponents, 16);
    adapt("adversarial", "float32, every exponent, 256 columns", goal, exponents, 256);
    auto alternating =
        lazily<double>([](std::size_t i, std::uint64_t) { return i / 16 % 2 == 0 ? 1e300 : 1e-300; });
    adapt("adversarial", "float64, 1e300 and 1e-300 in turns", goal, alternating, 16);
    auto subnormals = lazily<float>([](std::size_t, std::uint64_t bits) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(bits) & 0x807fffff);
    });
    adapt("adversarial", "float32, subnormals", goal, subnormals, 16);
    auto nans = lazily<float>([](std::size_t, std::uint64_t bits) {
      return bits >> 63 != 0 ? std::numeric_limits<float>::quiet_NaN()
                             : static_cast<float>(50 + 20 * normal(bits));
    });
    adapt("adversarial", "float32, 50 % NaN", goal, nans, 16);
    for (const float first : {1e30F, std::numeric_limits<float>::infinity()}) {
      auto then_small = lazily<float>([first](std::size_t i, std::uint64_t bits) {
        return i < 16 ? first : static_cast<float>(1e-3 * normal(bits));
      });
      adapt("adversarial",
            std::string("float32, one ") + (first == 1e30F ? "1e30" : "infinity") + ", then small", goal,
            then_small, 16);
    }
  }

  /// Applications whose output has another type.
  void converted() {
    if (session_->wants("apply", "float64 to float32")) {
      const auto x = bench::filled<double>(
          count<double>(), [](std::size_t, std::uint64_t bits) { return 50 + 20 * normal(bits); });
      apply_to_float("float64 to float32", x, bench::double_to_float_copiers());
    }
    if (session_->wants("apply", "uint8 to float32")) {
      const auto x = bench::filled<std::uint8_t>(
          count<float>(), [](std::size_t, std::uint64_t bits) { return static_cast<std::uint8_t>(bits); });
      apply_to_float("uint8 to float32", x, bench::byte_to_float_copiers());
    }
  }

  template <class T>
  void apply_to_float(const std::string& name, const Array<T>& x, const std::vector<bench::Copier>& copiers) {
    Array<float> out = bench::filled<float>(x.size(), [](std::size_t, std::uint64_t) { return 0.0F; });
    apply(name, 0.9, exactnorm::rows(x.data(), x.size() / 16, 16),
          exactnorm::rows(out.data(), x.size() / 16, 16), copiers);
  }

  bench::Session* session_;
};

#if defined(__clang__)
constexpr const char* compiler = "clang " __clang_version__;
#else
constexpr const char* compiler = "GCC " __VERSION__;
#endif

bench::Settings settings_of(int argc, char** argv) {
  bench::Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::size_t equals = argument.find('=');
    const std::string key = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (key == "--threads") {
      settings.threads = std::stoi(value);
    } else if (key == "--pairs") {
      settings.pairs = std::stoul(value);
    } else if (key == "--seconds") {
      settings.seconds = std::stod(value);
    } else if (key == "--mebibytes") {
      settings.bytes = std::stoul(value) << 20;
    } else if (key == "--only") {
      settings.only = value;
    } else {
      throw std::invalid_argument(
          "expected --threads=, --pairs=, --seconds= (of each work), --mebibytes= (of each array) or "
          "--only= (part of \"group/name\"), got " +
          argument);
    }
  }
  return settings;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const bench::Settings settings = settings_of(argc, argv);
    std::string target;
    for (const exactnorm::Target& each : exactnorm::targets()) {
      target = each.chosen ? each.name : target;
    }
    std::cout << R"({"compiler": ")" << compiler << R"(", "target": ")" << target << R"(", "threads": )"
              << settings.threads << R"(, "mebibytes": )" << (settings.bytes >> 20) << R"(, "works": [)";
    bench::Session session(settings, std::cout);
    Suite(session).run();
    std::cout << "\n]}\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
