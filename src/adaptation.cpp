#include <stdexcept>
#include <utility>

#include <exactnorm/normalization.hpp>

namespace exactnorm {

Adaptation::Adaptation(Normalization& layer) : layer_(layer) { layer.require_learning("adapt"); }

// learn(state) adds a batch of that shape, or throws and changes nothing.
template <class Learn>
void Adaptation::learn(const Shape& batch_shape, Learn&& learn) {
  if (next_) {
    layer_.check_fit(*next_, batch_shape);
    learn(*next_);
    return;
  }
  std::vector<std::string> warnings;
  Normalization::State first = layer_.fresh_for(batch_shape, warnings);
  first.moments.set_names(names_);
  learn(first);
  next_ = std::move(first);
  warnings_ = std::move(warnings);
}

void Adaptation::update(const TensorView& batch, const UpdateOptions& options) {
  learn(batch.shape, [&](Normalization::State& state) { state.moments.update(batch, state.axes, options); });
}

void Adaptation::update(const Moments& moments) {
  Shape shape{-1};
  for (const std::int64_t extent : moments.shape()) {
    shape.push_back(extent);
  }
  if (next_ || layer_.state_) {
    shape = Normalization::built_shape(next_ ? *next_ : *layer_.state_);
  }
  learn(shape, [&](Normalization::State& state) { state.moments.merge(moments); });
}

void Adaptation::update_columns(std::span<const Column> columns, const UpdateOptions& options) {
  if (columns.empty() || options.valid) {
    throw std::invalid_argument(columns.empty() ? "a table needs at least one column"
                                                : "the columns of a table say themselves what is valid");
  }
  Shape table{0, 0};
  for (const Column& column : columns) {
    const Shape& shape = column.values.shape;
    if (shape.empty() || shape.size() > 2 || shape[0] != columns[0].values.shape[0]) {
      throw std::invalid_argument(
          "the columns of a table must have shape (rows,) or (rows, k), and the same rows; got " +
          to_string(columns[0].values.shape) + " and " + to_string(shape));
    }
    table[0] = shape[0];
    table[1] += shape.size() == 2 ? shape[1] : 1;
  }
  learn(table, [&](Normalization::State& state) {
    if (state.axes == Axes{1}) {
      state.moments.update_columns(columns, options);
    } else if (state.axes.empty()) {
      Moments batch;
      for (const Column& column : columns) {
        UpdateOptions of_column = options;
        of_column.valid = column.valid;
        batch.update(column.values, Axes{}, of_column);
      }
      state.moments.merge(batch);
    } else {
      throw std::invalid_argument("the features of a table are its columns: axis must be -1, 1 or None");
    }
  });
}

void Adaptation::set_names(std::vector<std::string> names) {
  if (next_) {
    next_->moments.set_names(std::move(names));
  } else {
    names_ = std::move(names);
  }
}

const Moments& Adaptation::moments() const {
  if (!next_) {
    throw std::invalid_argument(layer_.with_name("there is nothing to learn from: no batch came"));
  }
  return next_->moments;
}

void Adaptation::commit() {
  if (!next_ || next_->moments.empty()) {
    throw std::invalid_argument(layer_.with_name("there is nothing to learn from: the data have no values"));
  }
  if (layer_.state_) {  // it may have been built since
    layer_.check_fit(*layer_.state_, Normalization::built_shape(*next_));
  }
  std::vector<std::string> warnings = warnings_;
  layer_.finalize(*next_, warnings);
  next_->adapted = true;
  layer_.adopt(std::move(*next_), std::move(warnings));
  next_.reset();
}

}  // namespace exactnorm
