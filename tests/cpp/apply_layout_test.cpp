// Where the elements lie: any strides, in place, any number of threads, and what is refused. What one element
// becomes is normalizer_test's matter.

#include <exactnorm/normalizer.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <string>

#include "overlap.hpp"
#include "strided_array.hpp"

namespace exactnorm {
namespace {

using arrays::equal_bits;
using arrays::Layout;
using arrays::StridedArray;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

rc::Gen<Layout> layouts(std::size_t rank) {
  return rc::gen::exec([rank] {
    Layout layout;
    layout.offset = *rc::gen::inRange<std::size_t>(0, 9);
    if (*rc::gen::arbitrary<bool>()) {
      return layout;  // contiguous, so that often one of the two arrays is and the other is not
    }
    layout.order.resize(rank);
    std::iota(layout.order.begin(), layout.order.end(), std::size_t{0});
    for (std::size_t i = rank; i > 1; --i) {
      std::swap(layout.order[i - 1], layout.order[*rc::gen::inRange<std::size_t>(0, i)]);
    }
    layout.steps = *rc::gen::container<std::vector<int>>(rank, rc::gen::element(1, 1, 1, -1, 2, -3));
    return layout;
  });
}

// Now and then long enough for several blocks, in each of the ways in which a block is cut.
rc::Gen<Shape> shapes() {
  return rc::gen::exec([] {
    Shape shape;
    const std::size_t rank = *rc::gen::inRange<std::size_t>(0, 5);
    const std::size_t long_axis = *rc::gen::inRange<std::size_t>(0, 8);
    for (std::size_t i = 0; i < rank; ++i) {
      shape.push_back(
          i == long_axis ? *rc::gen::element<std::int64_t>(511, 512, 513, 700, 1025)
                         : *rc::gen::weightedElement<std::int64_t>({{1, 0}, {4, 1}, {8, 2}, {8, 3}, {4, 5}}));
    }
    return shape;
  });
}

Axes some_axes(std::size_t rank) {
  Axes axes;
  for (std::size_t i = 0; i < rank; ++i) {
    if (*rc::gen::arbitrary<bool>()) {
      axes.push_back(*rc::gen::arbitrary<bool>() ? static_cast<int>(i)
                                                 : static_cast<int>(i) - static_cast<int>(rank));
    }
  }
  if (axes.size() > 1 && *rc::gen::arbitrary<bool>()) {
    std::swap(axes.front(), axes.back());
  }
  return axes;
}

Normalizer some_normalizer(const Shape& features, const std::optional<Axes>& axis) {
  const auto count = static_cast<std::size_t>(element_count(features));
  std::vector<double> mean(count);
  std::vector<double> variance(count);
  for (std::size_t i = 0; i < count; ++i) {  // all different
    mean[i] = static_cast<double>(i) / 3;
    variance[i] = 1 + static_cast<double>(i * i) / 7;
  }
  return Normalizer::from(features, mean, variance, {.axis = axis});
}

// Cheap, and different from element to element.
std::vector<std::uint64_t> some_bits(DType dtype, std::size_t count, std::uint64_t seed) {
  std::vector<std::uint64_t> bits(count);
  for (std::uint64_t& b : bits) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    b = seed >> (64 - 8 * size_of(dtype));
  }
  return bits;
}

// Every element for itself, as a contiguous array of one, by a normalizer of its feature alone.
std::vector<std::uint64_t> one_by_one(const Normalizer& normalizer, const Axes& kept, const StridedArray& x,
                                      DType out_dtype, bool invert) {
  const std::vector<std::uint64_t> bits = x.bits();
  std::vector<std::uint64_t> result;
  std::size_t next = 0;
  arrays::for_each_index(x.shape(), [&](const Shape& index) {
    std::size_t feature = 0;
    for (const int axis : kept) {
      const auto i = static_cast<std::size_t>(axis);
      feature = feature * static_cast<std::size_t>(x.shape()[i]) + static_cast<std::size_t>(index[i]);
    }
    StridedArray one(x.dtype(), {});
    one.set_bits({bits[next++]});
    StridedArray out(out_dtype, {});
    const Normalizer alone = normalizer.select(feature);
    invert ? alone.inverse(one.view(), out.mutable_view()) : alone.apply(one.view(), out.mutable_view());
    result.push_back(out.bits()[0]);
  });
  return result;
}

RC_GTEST_PROP(ApplyLayout, DoesNotMatter, ()) {
  const Shape shape = *shapes();
  const Axes axis = some_axes(shape.size());
  const Axes kept = kept_axes(axis, shape.size());
  const DType in_dtype =
      *rc::gen::elementOf(std::vector(std::begin(arrays::all_dtypes), std::end(arrays::all_dtypes)));
  const DType out_dtype = *rc::gen::elementOf(
      std::vector(std::begin(arrays::floating_dtypes), std::end(arrays::floating_dtypes)));
  const bool invert = *rc::gen::arbitrary<bool>();
  const Normalizer normalizer = some_normalizer(feature_shape(shape, kept), axis);

  StridedArray x(in_dtype, shape, *layouts(shape.size()));
  x.set_bits(some_bits(in_dtype, static_cast<std::size_t>(element_count(shape)),
                       *rc::gen::arbitrary<std::uint64_t>()));
  const Layout layout = *layouts(shape.size());
  StridedArray out(out_dtype, shape, layout);
  invert ? normalizer.inverse(x.view(), out.mutable_view()) : normalizer.apply(x.view(), out.mutable_view());

  const std::vector<std::uint64_t> expected = one_by_one(normalizer, kept, x, out_dtype, invert);
  RC_ASSERT(equal_bits(out_dtype, out.bits(), expected));
  // Gaps stay as they were.
  StridedArray fresh(out_dtype, shape, layout);
  fresh.set_bits(out.bits());
  RC_ASSERT(out.memory() == fresh.memory());

  if (size_of(in_dtype) == size_of(out_dtype)) {
    StridedArray in_place = x;
    invert ? normalizer.inverse(in_place.view(), in_place.view_as(out_dtype))
           : normalizer.apply(in_place.view(), in_place.view_as(out_dtype));
    RC_ASSERT(equal_bits(out_dtype, in_place.bits(), expected));
  }
}

TEST(ApplyLayout, EveryPairOfDtypesWorksInPlaceAndOutOfPlace) {
  const Shape shape{3, 700};
  const Normalizer normalizer = some_normalizer({700}, {});
  for (const DType in_dtype : arrays::all_dtypes) {
    for (const DType out_dtype : arrays::floating_dtypes) {
      SCOPED_TRACE(std::string(name_of(in_dtype)) + " to " + std::string(name_of(out_dtype)));
      StridedArray x(in_dtype, shape);
      x.set_bits(some_bits(in_dtype, 2100, 7));
      StridedArray out(out_dtype, shape);
      normalizer.apply(x.view(), out.mutable_view());
      EXPECT_TRUE(equal_bits(out_dtype, out.bits(), one_by_one(normalizer, {1}, x, out_dtype, false)));
      if (size_of(in_dtype) == size_of(out_dtype)) {
        normalizer.apply(x.view(), x.view_as(out_dtype));
        EXPECT_TRUE(equal_bits(out_dtype, x.bits(), out.bits()));
      }
    }
  }
}

TEST(ApplyLayout, WithoutAxisKeepsTheLast) {
  const Normalizer normalizer = some_normalizer({2, 3}, {});
  StridedArray x(DType::float32, {4, 2, 3});
  x.set_bits(some_bits(DType::float32, 24, 1));
  StridedArray out(DType::float32, {4, 2, 3});
  normalizer.apply(x.view(), out.mutable_view());
  EXPECT_TRUE(
      equal_bits(DType::float32, out.bits(), one_by_one(normalizer, {1, 2}, x, DType::float32, false)));
}

TEST(ApplyLayout, ZeroStridesOfTheInputRepeatIt) {
  const Normalizer normalizer = some_normalizer({2}, Axes{1});
  const std::vector<float> x{5, 6};
  std::vector<float> out(8);
  std::vector<float> expected(8);
  normalizer.apply({x.data(), DType::float32, {4, 2}, {0, 4}}, rows(out.data(), 4, 2));
  const std::vector<float> repeated{5, 6, 5, 6, 5, 6, 5, 6};
  normalizer.apply(rows(repeated.data(), 4, 2), rows(expected.data(), 4, 2));
  EXPECT_EQ(out, expected);
}

TEST(ApplyLayout, OneArrayMayHaveGapsWhereTheOtherHasNone) {
  const Shape shape{5, 4, 3};
  const Layout gaps[] = {{{}, {2, 1, 1}, 0}, {{}, {1, 2, 1}, 0}, {{}, {1, 1, 2}, 0}, {{}, {1, -1, 1}, 0}};
  for (const Axes& axis : {Axes{}, Axes{0}, Axes{1}, Axes{2}, Axes{0, 1}, Axes{1, 2}}) {
    const Normalizer normalizer = some_normalizer(feature_shape(shape, axis), axis);
    for (const Layout& layout : gaps) {
      for (const auto& [of_in, of_out] : {std::pair{layout, Layout{}}, {Layout{}, layout}}) {
        StridedArray x(DType::float32, shape, of_in);
        x.set_bits(some_bits(DType::float32, 60, 3));
        StridedArray out(DType::float32, shape, of_out);
        normalizer.apply(x.view(), out.mutable_view());
        EXPECT_TRUE(
            equal_bits(DType::float32, out.bits(), one_by_one(normalizer, axis, x, DType::float32, false)));
      }
    }
  }
}

TEST(ApplyLayout, SharesMayBeginWithAShortBlock) {
  // 65 blocks of 170 rows, the last of 5 alone, in each of four planes that do not continue one another: a
  // share of 64 blocks begins with a short one, and the full one after it has the same first feature.
  const Shape shape{4, 64 * 170 + 5, 3};
  const auto count = static_cast<std::size_t>(element_count(shape));
  const Normalizer normalizer = some_normalizer({3}, {});
  StridedArray x(DType::float32, shape);
  x.set_bits(some_bits(DType::float32, count, 11));
  StridedArray contiguous_out(DType::float32, shape);
  normalizer.apply(x.view(), contiguous_out.mutable_view());
  StridedArray out(DType::float32, shape, {{}, {2, 1, 1}, 0});
  normalizer.apply(x.view(), out.mutable_view(), 1);
  EXPECT_TRUE(equal_bits(DType::float32, out.bits(), contiguous_out.bits()));
}

TEST(ApplyLayout, ThreadsDoNotMatter) {
  // Large enough to be shared, with a last share that is not full.
  for (const auto& [shape, axis] : {std::pair{Shape{40001, 7}, Axes{1}},
                                    {Shape{3, 100003}, Axes{1}},
                                    {Shape{280007}, Axes{}},
                                    {Shape{11, 3, 9001}, Axes{1}}}) {
    const Normalizer normalizer = some_normalizer(feature_shape(shape, axis), axis);
    const auto count = static_cast<std::size_t>(element_count(shape));
    std::vector<float> x(count);
    for (std::size_t i = 0; i < count; ++i) {
      x[i] = static_cast<float>(i) * 0.37F;
    }
    std::vector<float> expected(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t inner = shape.size() == 3 ? 9001 : 1;
      const std::size_t feature = axis.empty() ? 0 : i / inner % static_cast<std::size_t>(shape[1]);
      const Scale<float>& scale = normalizer.scale<float>();
      expected[i] = (x[i] - scale.mean[feature]) / scale.divisor[feature];
    }
    for (const int threads : {0, 1, 2, 3, 8}) {
      std::vector<float> out(count, -1);
      normalizer.apply(contiguous(x.data(), shape), contiguous(out.data(), shape), threads);
      ASSERT_EQ(out, expected) << threads << " threads, shape " << to_string(shape);
    }
    normalizer.apply(contiguous(x.data(), shape), contiguous(x.data(), shape), 3);
    ASSERT_EQ(x, expected) << "in place, shape " << to_string(shape);
  }
}

TEST(ApplyLayout, TakesMaximalRankAndNoElements) {
  Shape shape;
  for (std::size_t i = 0; i < max_rank; ++i) {
    shape.push_back(i % 8 == 3 ? 2 : 1);
  }
  Axes axis{3, 30, -5};
  const Normalizer normalizer = some_normalizer(feature_shape(shape, kept_axes(axis, max_rank)), axis);
  StridedArray x(DType::int32, shape);
  x.set_bits(some_bits(DType::int32, 16, 5));
  StridedArray out(DType::float32, shape);
  normalizer.apply(x.view(), out.mutable_view());
  EXPECT_TRUE(equal_bits(DType::float32, out.bits(),
                         one_by_one(normalizer, kept_axes(axis, max_rank), x, DType::float32, false)));

  const Normalizer three = some_normalizer({3}, {});
  EXPECT_NO_THROW(
      three.apply({nullptr, DType::float32, {0, 3}, {12, 4}}, {nullptr, DType::float32, {0, 3}, {12, 4}}));
  const Normalizer none = some_normalizer({0}, {});
  EXPECT_NO_THROW(
      none.apply({nullptr, DType::float32, {5, 0}, {0, 4}}, {nullptr, DType::float64, {5, 0}, {0, 8}}));
}

// ---- what is refused

class ApplyErrors : public ::testing::Test {
 protected:
  // Applies, expects that message, and that nothing was written.
  void expect(const TensorView& in, const MutableTensorView& out, const std::string& message,
              int threads = 0) {
    const std::vector<float> before = memory;
    EXPECT_THAT([&] { normalizer.apply(in, out, threads); },
                ThrowsMessage<std::invalid_argument>(HasSubstr(message)));
    EXPECT_THAT([&] { normalizer.inverse(in, out, threads); },
                ThrowsMessage<std::invalid_argument>(HasSubstr(message)));
    EXPECT_EQ(memory, before);
  }

  Normalizer normalizer = Normalizer::from({3}, std::vector{1.0, 2.0, 3.0}, std::vector{1.0, 2.0, 3.0});
  std::vector<float> x = std::vector<float>(24, 1);
  std::vector<float> memory = std::vector<float>(48, 7);
};

TEST_F(ApplyErrors, Shapes) {
  expect(rows(x.data(), 2, 3), rows(memory.data(), 3, 3),
         "out must have the shape of the input, (2, 3), got (3, 3)");
  expect(rows(x.data(), 3, 2), rows(memory.data(), 3, 2),
         "the input has shape (3, 2), whose kept axes do not have the feature shape (3,)");
  expect(contiguous(x.data(), {}), contiguous(memory.data(), {}),
         "the input has shape (), whose kept axes do not have the feature shape (3,)");
  expect({x.data(), DType::float32, {2, 3}, {4}}, rows(memory.data(), 2, 3), "needs as many strides");
  expect({x.data(), DType::float32, {-2, 3}, {12, 4}}, {memory.data(), DType::float32, {-2, 3}, {12, 4}},
         "-2");
  expect({nullptr, DType::float32, {2, 3}, {12, 4}}, rows(memory.data(), 2, 3), "null pointer");
  normalizer =
      Normalizer::from({3}, std::vector{1.0, 2.0, 3.0}, std::vector{1.0, 2.0, 3.0}, {.axis = Axes{2}});
  expect(rows(x.data(), 2, 3), rows(memory.data(), 2, 3), "axis 2 is out of range");
}

TEST_F(ApplyErrors, OutputDtype) {
  MutableTensorView out = rows(memory.data(), 2, 3);
  for (const DType dtype : arrays::all_dtypes) {
    if (!is_floating(dtype)) {
      out.dtype = dtype;
      expect(rows(x.data(), 2, 3), out,
             "out must be float16, bfloat16, float32 or float64, got " + std::string(name_of(dtype)));
    }
  }
}

TEST_F(ApplyErrors, RepeatedOutput) {
  expect(rows(x.data(), 2, 3), {memory.data(), DType::float32, {2, 3}, {0, 4}},
         "out must not repeat elements: its stride on axis 0 is 0");
}

TEST_F(ApplyErrors, Threads) { expect(rows(x.data(), 2, 3), rows(memory.data(), 2, 3), "threads", -1); }

TEST_F(ApplyErrors, Overlap) {
  const std::string message = "out overlaps the input";
  expect(rows(memory.data(), 4, 3), rows(memory.data() + 3, 4, 3), message);
  expect(rows(memory.data() + 3, 4, 3), rows(memory.data(), 4, 3), message);
  // The same memory backwards, transposed, of another size, or a byte off.
  expect(rows(memory.data(), 4, 3), {memory.data() + 9, DType::float32, {4, 3}, {-12, 4}}, message);
  expect(rows(memory.data(), 3, 3), {memory.data(), DType::float32, {3, 3}, {4, 12}}, message);
  expect(rows(memory.data(), 4, 3), {memory.data(), DType::float64, {4, 3}, {24, 8}}, message);
  expect(rows(memory.data(), 4, 3), {memory.data(), DType::float16, {4, 3}, {6, 2}}, message);
  expect(rows(memory.data(), 4, 3), {memory.data(), DType::float16, {4, 3}, {12, 4}}, message);
  expect(rows(memory.data(), 4, 3),
         {reinterpret_cast<char*>(memory.data()) + 1, DType::float32, {4, 3}, {12, 4}}, message);
}

TEST_F(ApplyErrors, NeighboursInOneTableAreNoOverlap) {
  // Columns 0-2 in, columns 3-5 out of rows of six.
  const TensorView left{memory.data(), DType::float32, {8, 3}, {24, 4}};
  const MutableTensorView right{memory.data() + 3, DType::float32, {8, 3}, {24, 4}};
  normalizer.apply(left, right);
  EXPECT_EQ(memory[2], 7);
  EXPECT_EQ(memory[3], 6);
  EXPECT_EQ(memory[45], 6);
  // Even columns in, odd ones out.
  EXPECT_NO_THROW(normalizer.apply({memory.data(), DType::float32, {8, 3}, {24, 8}},
                                   {memory.data() + 1, DType::float32, {8, 3}, {24, 8}}));
}

// All bytes that a view's elements have.
std::set<const std::byte*> bytes_of(const TensorView& view) {
  std::set<const std::byte*> bytes;
  arrays::for_each_index(view.shape, [&](const Shape& index) {
    const auto* at = static_cast<const std::byte*>(view.data);
    for (std::size_t i = 0; i < index.size(); ++i) {
      at += index[i] * view.strides[i];
    }
    for (std::size_t i = 0; i < size_of(view.dtype); ++i) {
      bytes.insert(at + i);
    }
  });
  return bytes;
}

RC_GTEST_PROP(Overlap, IsFoundExactly, ()) {
  static const std::vector<std::byte> memory(4096);
  const std::size_t rank = *rc::gen::inRange<std::size_t>(0, 4);
  const auto view = [rank] {
    TensorView result{memory.data() + 2048 + *rc::gen::inRange(-60, 60),
                      *rc::gen::elementOf(std::vector{DType::int8, DType::float16, DType::float32}),
                      {},
                      {}};
    for (std::size_t i = 0; i < rank; ++i) {
      result.shape.push_back(
          *rc::gen::weightedElement<std::int64_t>({{1, 0}, {4, 1}, {8, 2}, {8, 3}, {8, 5}}));
      result.strides.push_back(*rc::gen::inRange(-40, 40));
    }
    return result;
  };
  const TensorView a = view();
  TensorView b = view();
  b.shape = a.shape;
  const std::set<const std::byte*> mine = bytes_of(a);
  const std::set<const std::byte*> theirs = bytes_of(b);
  const bool shared =
      std::any_of(mine.begin(), mine.end(), [&](const std::byte* byte) { return theirs.contains(byte); });
  RC_CLASSIFY(shared);
  RC_ASSERT(may_overlap(a, b) == shared);
}

TEST(Overlap, OfHopelesslyTangledStridesIsAssumedWithoutLongSearch) {
  // Even strides, odd distance: never the same byte. But the search looks at ranges of one byte and sums of
  // eight strides.
  const std::vector<std::byte> memory(1);
  const Shape shape{1000, 1000, 1000, 1000};
  const TensorView a{memory.data(), DType::int8, shape, {9998, 9996, 9994, 9992}};
  const TensorView b{memory.data() + 10000001, DType::int8, shape, {9990, 9988, 9986, 9984}};
  EXPECT_TRUE(may_overlap(a, b));
}

}  // namespace
}  // namespace exactnorm
