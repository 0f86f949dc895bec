// Shapes, dtypes and views.

#include <exactnorm/tensor_view.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <span>
#include <string>
#include <vector>

#include "strided_array.hpp"

namespace exactnorm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();

TEST(DType, HasNumpysNamesAndSizes) {
  for (const DType dtype : arrays::all_dtypes) {
    EXPECT_EQ(dtype_named(name_of(dtype)), dtype);
  }
  EXPECT_EQ(name_of(DType::boolean), "bool");
  EXPECT_EQ(name_of(DType::bfloat16), "bfloat16");
  EXPECT_EQ(size_of(DType::float16), 2U);
  EXPECT_EQ(size_of(DType::uint64), 8U);
  EXPECT_EQ(size_of(DType::boolean), 1U);
  EXPECT_TRUE(is_floating(DType::float64));
  EXPECT_FALSE(is_floating(DType::int8));
  EXPECT_FALSE(is_floating(DType::boolean));
  EXPECT_THAT([] { (void)dtype_named("float8"); },
              ThrowsMessage<std::invalid_argument>(
                  AllOf(HasSubstr("'float8'"), HasSubstr("float16, bfloat16"), HasSubstr("bool"))));
}

TEST(DType, OfCxxTypes) {
  static_assert(dtype_of<float>() == DType::float32 && dtype_of<const double>() == DType::float64);
  static_assert(dtype_of<bool>() == DType::boolean &&
                dtype_of<char>() == (std::is_signed_v<char> ? DType::int8 : DType::uint8));
  static_assert(dtype_of<long>() == DType::int64 && dtype_of<unsigned long long>() == DType::uint64);
  static_assert(dtype_of<short>() == DType::int16 && dtype_of<unsigned>() == DType::uint32);
  static_assert(dtype_of<float16_bits>() == DType::float16 && dtype_of<bfloat16_bits>() == DType::bfloat16);
}

TEST(Shape, HoldsAtMost32Axes) {
  Shape shape;
  for (std::size_t i = 0; i < max_rank; ++i) {
    shape.push_back(1);
  }
  const Shape before = shape;
  EXPECT_THAT([&] { shape.push_back(1); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("at most 32 axes")));
  EXPECT_EQ(shape, before);
  const std::vector<std::int64_t> many(33, 1);
  EXPECT_THROW(Shape{std::span(many)}, std::invalid_argument);
  EXPECT_EQ(element_count(shape), 1);
}

TEST(Shape, ComparesOnlyWhatItHolds) {
  Shape a{1, 2, 3};
  a = Shape{1, 2};
  EXPECT_EQ(a, (Shape{1, 2}));
  EXPECT_NE(a, (Shape{1, 2, 3}));
  EXPECT_NE(a, (Shape{1, 3}));
  EXPECT_NE(a, Shape{1});
  EXPECT_EQ(Shape(), Shape{});
  EXPECT_EQ(Shape(a), a);
}

TEST(Shape, PrintsAsPythonDoes) {
  EXPECT_EQ(to_string(Shape{}), "()");
  EXPECT_EQ(to_string(Shape{3}), "(3,)");
  EXPECT_EQ(to_string(Shape{32, 16}), "(32, 16)");
}

TEST(Shape, CountsElementsOrRefuses) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({2, 3, 4}), 24);
  EXPECT_EQ(element_count({largest}), largest);
  EXPECT_EQ(element_count({largest, 1, largest, 0}), 0);
  EXPECT_EQ(element_count({0, largest, largest}), 0);
  EXPECT_THAT(
      [] {
        (void)element_count({largest, 2});
      },
      ThrowsMessage<std::invalid_argument>(HasSubstr("2^63-1")));
  EXPECT_THROW((void)element_count({std::int64_t{1} << 32, std::int64_t{1} << 31}), std::invalid_argument);
  EXPECT_EQ(element_count({std::int64_t{1} << 31, std::int64_t{1} << 31}), std::int64_t{1} << 62);
  // The product wraps to something small, and to zero.
  EXPECT_THROW((void)element_count({std::int64_t{1} << 32, std::int64_t{1} << 32, 5}), std::invalid_argument);
  EXPECT_THAT(
      [] {
        (void)element_count({3, -1});
      },
      ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr("negative"), HasSubstr("(3, -1)"))));
  EXPECT_THROW((void)element_count({0, -1}), std::invalid_argument);
  EXPECT_THROW((void)element_count({-1, 0}), std::invalid_argument);
}

TEST(Views, AreContiguousInCOrder) {
  std::vector<double> data(6);
  const auto table = rows(data.data(), 2, 3);
  static_assert(std::is_same_v<decltype(table), const MutableTensorView>);
  EXPECT_EQ(table.shape, (Shape{2, 3}));
  EXPECT_EQ(table.strides, (Shape{24, 8}));
  const TensorView read = table;
  EXPECT_EQ(read.data, data.data());
  EXPECT_EQ(read.dtype, DType::float64);
  const auto line = column(std::span<const double>(data));
  static_assert(std::is_same_v<decltype(line), const TensorView>);
  EXPECT_EQ(line.shape, Shape{6});
  EXPECT_EQ(contiguous(data.data(), {}).strides, Shape{});
}

TEST(Views, OfShapesThatAreTooLargeAreHarmless) {
  EXPECT_THAT(contiguous_strides({0, 2, 3}, DType::int16), (Shape{12, 6, 2}));
  EXPECT_EQ(contiguous_strides({0, largest, largest}, DType::float32)[2], 4);
  EXPECT_EQ(contiguous_strides({largest, -5}, DType::float32)[1], 4);
}

}  // namespace
TEST(TensorView, ContiguousRangesAreRowsAndColumns) {
  std::vector<float> values{1, 2, 3, 4, 5, 6};
  const TensorView table = exactnorm::rows(values, 3);
  EXPECT_EQ(table.data, values.data());
  EXPECT_EQ(table.shape, (Shape{2, 3}));
  EXPECT_EQ(exactnorm::column(std::span<const float>(values)).shape, (Shape{6}));
  EXPECT_THROW(exactnorm::rows(values, 4), std::invalid_argument);
  EXPECT_THROW(exactnorm::rows(values, 0), std::invalid_argument);
  static_assert(!exactnorm::ContiguousData<std::vector<float>>, "a temporary would dangle");
}

}  // namespace exactnorm
