#pragma once
/// \file
/// Reading hand-made Arrow streams into lists of values, with a check that all is released.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <exactnorm/arrow.hpp>

#include "arrow_arrays.hpp"

namespace arrays {

template <class T>
double element_of(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return static_cast<double>(value);
}

inline double element(const exactnorm::TensorView& view, std::int64_t row, std::int64_t feature) {
  const auto* at = static_cast<const std::byte*>(view.data) + row * view.strides[0];
  if (view.shape.size() == 2) {
    at += feature * view.strides[1];
  }
  switch (view.dtype) {
    case exactnorm::DType::float32:
      return element_of<float>(at);
    case exactnorm::DType::float64:
      return element_of<double>(at);
    case exactnorm::DType::int8:
      return element_of<std::int8_t>(at);
    case exactnorm::DType::int16:
      return element_of<std::int16_t>(at);
    case exactnorm::DType::int32:
      return element_of<std::int32_t>(at);
    case exactnorm::DType::int64:
      return element_of<std::int64_t>(at);
    case exactnorm::DType::uint32:
      return element_of<std::uint32_t>(at);
    case exactnorm::DType::uint64:
      return element_of<std::uint64_t>(at);
    case exactnorm::DType::boolean:
      return element_of<std::uint8_t>(at) != 0 ? 1 : 0;
    case exactnorm::DType::uint8:
      return element_of<std::uint8_t>(at);
    default:  // the bits, for float16
      return element_of<std::uint16_t>(at);
  }
}

using Cells = Values<double>;

/// What the current batch holds, a list for each feature.
inline std::vector<Cells> cells(const exactnorm::ArrowReader& reader) {
  std::vector<Cells> all;
  for (const exactnorm::Column& column : reader.columns()) {
    EXPECT_EQ(column.values.shape[0], reader.rows());
    if (column.valid) {
      EXPECT_EQ(column.valid->shape, column.values.shape);
    }
    const std::int64_t width = column.values.shape.size() == 2 ? column.values.shape[1] : 1;
    for (std::int64_t feature = 0; feature < width; ++feature) {
      Cells& cells = all.emplace_back();
      for (std::int64_t row = 0; row < reader.rows(); ++row) {
        const bool valid = !column.valid || element(*column.valid, row, feature) != 0;
        cells.push_back(valid ? std::optional(element(column.values, row, feature)) : std::nullopt);
      }
    }
  }
  return all;
}

/// The whole stream read; what was made has been released when this returns.
inline std::vector<Cells> read(std::vector<Node> batches, const std::vector<std::string>& select = {}) {
  Stream stream(std::move(batches));
  std::vector<Cells> all;
  {
    exactnorm::ArrowReader reader(stream.get());
    EXPECT_EQ(stream.get()->release, nullptr);
    if (!select.empty()) {
      reader.select(select);
    }
    while (reader.next()) {
      const auto batch = cells(reader);
      all.resize(batch.size());
      for (std::size_t i = 0; i < batch.size(); ++i) {
        all[i].insert(all[i].end(), batch[i].begin(), batch[i].end());
      }
    }
    EXPECT_EQ(reader.rows(), 0);
    EXPECT_THAT(reader.columns(), testing::IsEmpty());
  }
  EXPECT_EQ(stream.ledger().made, stream.ledger().released);
  return all;
}

/// The message of the Error that reading the stream throws; what was made has been released.
template <class Error>
std::string refusal(std::vector<Node> batches, const std::vector<std::string>& select = {}) {
  Stream stream(std::move(batches));
  std::string message = "nothing was thrown";
  try {
    exactnorm::ArrowReader reader(stream.get());
    if (!select.empty()) {
      reader.select(select);
    }
    while (reader.next()) {
    }
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_EQ(stream.ledger().made, stream.ledger().released);
  return message;
}

}  // namespace arrays
