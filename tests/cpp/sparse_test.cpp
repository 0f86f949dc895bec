// Compressed sparse columns give the state of the dense table, bit for bit.

#include <exactnorm/moments.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include "strided_array.hpp"
#include "support/list.hpp"
#include "support/oracle.hpp"

namespace exactnorm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// The same numbers twice: as a dense table and compressed.
struct Table {
  std::int64_t rows;
  std::int64_t columns;
  std::vector<std::byte> dense;
  std::vector<std::byte> values;
  std::vector<std::int64_t> row_indices;
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> short_row_indices;
  std::vector<std::int32_t> short_offsets;
  DType dtype;

  // Elements of `bits`, about `filled` of 1000 of them stored.
  Table(DType type, std::int64_t n_rows, std::int64_t n_columns, unsigned filled, std::uint64_t seed)
      : rows(n_rows), columns(n_columns), dtype(type) {
    const std::size_t item = size_of(dtype);
    dense.resize(static_cast<std::size_t>(rows * columns) * item);
    std::mt19937_64 random(seed);
    for (std::int64_t column = 0; column < columns; ++column) {
      for (std::int64_t row = 0; row < rows; ++row) {
        if (random() % 1000 < filled * static_cast<unsigned>(column % 3)) {  // some columns are empty
          const std::uint64_t bits = random() % 5 == 0 ? 0 : random();       // zeros may be stored
          const auto* bytes = reinterpret_cast<const std::byte*>(&bits);
          std::memcpy(dense.data() + static_cast<std::size_t>(row * columns + column) * item, bytes, item);
          values.insert(values.end(), bytes, bytes + item);
          row_indices.push_back(row);
        }
      }
      offsets.push_back(static_cast<std::int64_t>(row_indices.size()));
    }
    short_row_indices.assign(row_indices.begin(), row_indices.end());
    short_offsets.assign(offsets.begin(), offsets.end());
  }

  [[nodiscard]] TensorView whole() const {
    return {dense.data(), dtype, {rows, columns}, contiguous_strides({rows, columns}, dtype)};
  }
  [[nodiscard]] SparseColumns sparse() const {
    const Shape stored{static_cast<std::int64_t>(row_indices.size())};
    return {{values.data(), dtype, stored, contiguous_strides(stored, dtype)},
            contiguous(row_indices.data(), stored),
            column(offsets),
            rows};
  }
  [[nodiscard]] SparseColumns with_short_indices() const {
    SparseColumns x = sparse();
    x.row_indices = contiguous(short_row_indices.data(), x.row_indices.shape);
    x.offsets = column(short_offsets);
    return x;
  }
};

Moments learned(const SparseColumns& x, const UpdateOptions& options = {}) {
  Moments moments({x.offsets.shape[0] - 1});
  moments.update_sparse(x, options);
  return moments;
}

void expect_as_dense(const Table& table, const UpdateOptions& options = {}) {
  Moments dense({table.columns});
  dense.update(table.whole(), {}, options);
  EXPECT_TRUE(oracle::same(learned(table.sparse(), options), dense));
  EXPECT_TRUE(oracle::same(learned(table.with_short_indices(), options), dense));
}

// Floating-point bits of every kind: NaN, infinities, subnormals.
TEST(Sparse, EveryDtype) {
  for (const DType dtype : arrays::all_dtypes) {
    SCOPED_TRACE(name_of(dtype));
    expect_as_dense(Table(dtype, 300, 17, 300, 1));
    expect_as_dense(Table(dtype, 5000, 3, 500, 2));
    expect_as_dense(Table(dtype, 40, 200, 20, 3));
  }
}

TEST(Sparse, Weights) {
  std::mt19937_64 random(5);
  std::vector<double> weights(400);
  std::vector<std::uint64_t> large(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = i % 4 == 0 ? 0 : std::ldexp(static_cast<double>(random() % 1000), i % 9 == 0 ? -900 : -3);
    large[i] = i % 3 == 0 ? 0 : random();
  }
  UpdateOptions options;
  for (const DType dtype : arrays::all_dtypes) {
    SCOPED_TRACE(name_of(dtype));
    const Table table(dtype, 400, 70, 200, 6);
    options.weights = column(weights);
    expect_as_dense(table, options);
    options.weights = column(large);
    expect_as_dense(table, options);
    options.weights = TensorView{&weights[0], DType::float64, {400}, {0}};  // 0 for all
    expect_as_dense(table, options);
    EXPECT_TRUE(learned(table.sparse(), options).empty());
  }
}

TEST(Sparse, OnceMoreIsTwice) {
  const Table table(DType::float32, 500, 100, 100, 7);
  const std::vector<std::uint8_t> weights(500, 3);
  UpdateOptions weighted;
  weighted.weights = column(weights);
  for (const UpdateOptions& options : {UpdateOptions{}, weighted}) {
    Moments twice({100}, {});
    twice.update_sparse(table.sparse(), options);
    Moments both = twice;
    both.update_sparse(table.sparse(), options);
    EXPECT_EQ(both, twice + twice);
    EXPECT_EQ(both - twice, twice);
  }
}

TEST(Sparse, LongColumnsAndThreads) {
  for (const DType dtype : {DType::float16, DType::uint8, DType::int64}) {
    expect_as_dense(Table(dtype, 300000, 3, 480, 8));  // longer than a run of buckets
  }
  const Table wide(DType::float32, 30, 20000, 60, 9);
  UpdateOptions options;
  for (const int threads : {1, 3, 16}) {
    options.threads = threads;
    expect_as_dense(wide, options);
  }
}

TEST(Sparse, AnyLayout) {
  const Table table(DType::float64, 200, 9, 300, 10);
  const SparseColumns x = table.sparse();
  arrays::StridedArray values(DType::float64, x.values.shape, {{}, {-3}, 1});
  arrays::StridedArray row_indices(DType::int64, x.values.shape, {{}, {2}, 3});
  std::vector<std::uint64_t> bits(static_cast<std::size_t>(x.values.shape[0]));
  std::memcpy(bits.data(), table.values.data(), table.values.size());
  values.set_bits(bits);
  row_indices.set_bits({table.row_indices.begin(), table.row_indices.end()});
  EXPECT_EQ(learned({values.view(), row_indices.view(), x.offsets, x.rows}), learned(x));
}

TEST(Sparse, NoRowsNoColumnsNothingStored) {
  const std::vector<std::int64_t> offsets(4);
  const SparseColumns zeros{contiguous(static_cast<const float*>(nullptr), {0}),
                            contiguous(static_cast<const std::int32_t*>(nullptr), {0}), column(offsets), 5};
  const Moments moments = learned(zeros);
  EXPECT_THAT(moments.mean<double>(), ElementsAre(0, 0, 0));
  EXPECT_EQ(moments.features()[2].counts.finite, 5);
  SparseColumns x = zeros;
  x.rows = 0;
  EXPECT_TRUE(learned(x).empty());
  x.rows = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(learned(x).features()[0].counts.finite, x.rows);
  x.offsets = contiguous(offsets.data(), {1});
  EXPECT_EQ(learned(x).size(), 0U);
  x.offsets = contiguous(offsets.data(), {2});
  Moments one;
  one.update_sparse(x);
  EXPECT_EQ(one.features()[0].counts.finite, x.rows);
}

// ---- errors

class SparseErrors : public ::testing::Test {
 protected:
  // (rows, columns) = (4, 2): column 0 is 1 0 2 0, column 1 is 0 0 0 3.
  double values[3] = {1, 2, 3};
  std::int32_t row_indices[3] = {0, 2, 3};
  std::int64_t offsets[3] = {0, 2, 3};
  SparseColumns x{list(values), list(row_indices), list(offsets), 4};
  UpdateOptions options;
  Moments moments{{2}};

  void SetUp() override {
    moments.update_sparse(x);
    EXPECT_THAT(moments.mean<double>(), ElementsAre(0.75, 0.75));
  }

  // Neither what has learned something nor what is empty changes.
  void expect_refused(const std::string& what, const std::string& more = "") {
    for (const Moments& before : {moments, Moments(Shape{2})}) {
      Moments after = before;
      EXPECT_THAT([&] { after.update_sparse(x, options); },
                  ThrowsMessage<std::invalid_argument>(AllOf(HasSubstr(what), HasSubstr(more))));
      EXPECT_EQ(after, before);
    }
  }
};

TEST_F(SparseErrors, RowIndices) {
  row_indices[1] = 0;
  expect_refused("got 0 after 0 in column 0", "from 0 to 3");
  row_indices[1] = -1;
  expect_refused("got -1 after 0 in column 0");
  row_indices[1] = 4;
  expect_refused("got 4 after 0 in column 0");
  row_indices[1] = 1;
  row_indices[2] = -7;
  expect_refused("got -7 in column 1");
  x.rows = 0;
  expect_refused("got 0 in column 0");
}

TEST_F(SparseErrors, Offsets) {
  for (const std::vector<std::int64_t>& wrong :
       {std::vector<std::int64_t>{1, 2, 3}, {-1, 2, 3}, {0, 2, 2}, {0, 2, 4}, {0, 4, 3}, {0, -1, 3}}) {
    std::copy(wrong.begin(), wrong.end(), offsets);
    expect_refused("offsets must ascend from 0 to the number of stored values, 3");
  }
}

TEST_F(SparseErrors, ShapesAndDtypes) {
  const SparseColumns right = x;
  x.values = contiguous(values, {2});
  expect_refused("got shapes (2,) and (3,)");
  x.values = contiguous(values, {3, 1});
  x.row_indices = contiguous(row_indices, {3, 1});
  expect_refused("row indices must be int32 or int64 of rank 1, got int32 of shape (3, 1)");
  x = right;
  x.row_indices = list(values);
  expect_refused("got float64 of shape (3,)");
  x = right;
  x.offsets = contiguous(offsets, {2});
  expect_refused("expected features of shape (2,), got a sparse table with 1 column");
  x.offsets = contiguous(offsets, {0});
  expect_refused("one more offset than columns");
  x = right;
  x.rows = -1;
  expect_refused("-1 rows");
  x = right;
  Moments square({1, 2});
  EXPECT_THROW(square.update_sparse(x), std::invalid_argument);
}

TEST_F(SparseErrors, Weights) {
  double weights[4] = {1, 1, 1, 1};
  options.weights = list(weights);
  EXPECT_THAT([&] { moments.update_sparse(x, options); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("weighted and unweighted")));
  for (const double wrong : {-1.0, std::nan(""), HUGE_VAL}) {
    weights[1] = wrong;  // of a row without stored values
    expect_refused("weights must be non-negative and finite");
  }
  options.weights = contiguous(weights, {3});
  expect_refused("weights must have the shape of the rows, (4,); got (3,)");
}

TEST_F(SparseErrors, OptionsThatASparseTableDoesNotTake) {
  const bool mask[4] = {true, true, true, true};
  options.where = list(mask);
  expect_refused("must be absent");
  options.where.reset();
  options.valid = list(mask);
  expect_refused("must be absent");
  options.valid.reset();
  options.threads = -1;
  expect_refused("threads");
}

TEST_F(SparseErrors, Interrupted) {
  std::stop_source source;
  source.request_stop();
  options.stop = source.get_token();
  const Moments before = moments;
  EXPECT_THROW(moments.update_sparse(x, options), Interrupted);
  EXPECT_EQ(moments, before);
}

}  // namespace
}  // namespace exactnorm
