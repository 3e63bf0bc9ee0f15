// Inputs of the kernels' host tests: small integers, whose sums are exact, and matrices with NaN wherever they have no
// element.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "common/candidate.h"

namespace flashsampling {

using Random = std::mt19937;

inline int integer(Random& random, int low, int high) {
  return low + static_cast<int>(random() % static_cast<uint32_t>(high - low + 1));
}

// Rounds towards zero to bf16 (type 0) or f16; small integers and quarters, and what is not a number, are exact in
// both.
inline uint16_t to_16_bits(float value, uint32_t type) {
  if (type == 0) return static_cast<uint16_t>(float_bits(value) >> 16);
  if (value == 0.f) return 0;
  if (value != value) return 0x7E00;
  const uint32_t bits = float_bits(value);
  if (std::isinf(value)) return static_cast<uint16_t>((bits >> 16 & 0x8000) | 0x7C00);
  return static_cast<uint16_t>((bits >> 16 & 0x8000) | ((bits >> 23 & 0xFF) - 112) << 10 | (bits >> 13 & 0x3FF));
}

// A matrix of bf16 (type 0), f16 (1) or fp32 (2) elements with strides, NaN wherever it has no element, as what must
// not be read would make its row an error.
class Matrix {
 public:
  // offset: elements from an address that is aligned to 256 bytes to the first one.
  Matrix(uint32_t rows, int64_t stride, uint32_t type, size_t offset = 0)
      : stride_(stride), type_(type), width_(type == 2 ? 4 : 2) {
    constexpr size_t kMargin = 4096;
    bytes_.resize(rows * stride * width_ + 2 * kMargin + 256);
    begin_ = kMargin + (256 - (reinterpret_cast<uintptr_t>(bytes_.data()) + kMargin) % 256) % 256 + offset * width_;
    for (size_t at = begin_ % width_; at + width_ <= bytes_.size(); at += width_)
      put(at, NAN);
  }

  Matrix(const std::vector<float>& values, uint32_t rows, uint32_t columns, int64_t stride, uint32_t type)
      : Matrix(rows, stride, type) {
    for (uint32_t row = 0; row < rows; row++) {
      for (uint32_t column = 0; column < columns; column++)
        set(row, column, values[row * columns + column]);
    }
  }

  void set(uint32_t row, uint32_t column, float value) { put(begin_ + (row * stride_ + column) * width_, value); }
  const void* row(uint32_t row) const { return bytes_.data() + begin_ + row * stride_ * width_; }
  int64_t stride() const { return stride_; }

 private:
  void put(size_t at, float value) {
    if (type_ == 2) {
      std::memcpy(&bytes_[at], &value, 4);
    } else {
      const uint16_t word = to_16_bits(value, type_);
      std::memcpy(&bytes_[at], &word, 2);
    }
  }

  std::vector<uint8_t> bytes_;
  size_t begin_;
  int64_t stride_;
  uint32_t type_, width_;
};

// Hidden states and an LM head; the sums of their products are exact in any order.
struct HeadValues {
  uint32_t batch_size, vocab_size, hidden_size;
  std::vector<float> hidden, weight;  // [batch_size, hidden_size], [vocab_size, hidden_size]

  HeadValues(uint32_t batch_size_, uint32_t vocab_size_, uint32_t hidden_size_)
      : batch_size(batch_size_), vocab_size(vocab_size_), hidden_size(hidden_size_), hidden(batch_size * hidden_size),
        weight(vocab_size * hidden_size) {}

  void set_integers(Random& random) {
    for (std::vector<float>* values : {&hidden, &weight}) {
      for (float& value : *values)
        value = static_cast<float>(integer(random, -2, 2)) / 2;
    }
  }

  // Logits near the end of fp32: 2.5e38 and 3e38 for most tokens, which elsewhere differ by one rounding.
  void set_huge(Random& random) {
    set_single([&] {
      const uint32_t dice = random() % 64;
      return dice == 0 ? 3e38f : dice < 32 ? 2.5e38f : dice < 48 ? -2.5e38f : 0.f;
    });
  }

  // Logits of one sign in a row, of every magnitude from 2^40 to the end of fp32: at temperatures near 0 most of their
  // quotients lie beyond it.
  void set_wide(Random& random) {
    set_single([&] {
      return bits_float(static_cast<uint32_t>(integer(random, 127 + 40, 254)) << 23 | (random() & 0x7F0000u));
    });
  }

  // A row of hidden states, and for the rows with a nonzero factor a row of weight that overflows either way.
  void add_invalid() {
    if (batch_size > 2) hidden[2 * hidden_size + hidden_size / 2] = NAN;
    for (uint32_t row = 0; row < batch_size; row++)
      hidden[row * hidden_size] = row % 2 == 0 ? 1.f : -1.f;
    for (uint32_t i = 0; i < vocab_size; i++)
      weight[i * hidden_size] = 0.f;
    weight[(vocab_size / 2) * hidden_size] = INFINITY;
  }

  // [batch_size, vocab_size]
  std::vector<float> logits() const {
    std::vector<float> logits;
    for (uint32_t row = 0; row < batch_size; row++) {
      for (uint32_t i = 0; i < vocab_size; i++) {
        float sum = 0.f;
        for (uint32_t k = 0; k < hidden_size; k++)
          sum += hidden[row * hidden_size + k] * weight[i * hidden_size + k];
        logits.push_back(sum);
      }
    }
    return logits;
  }

 private:
  // One product a logit, so that there are no sums: weights of one column, negated by some rows.
  template <class Value>
  void set_single(Value value) {
    for (uint32_t row = 0; row < batch_size; row++)
      hidden[row * hidden_size] = row % 4 == 3 ? -1.f : 1.f;
    for (uint32_t i = 0; i < vocab_size; i++)
      weight[i * hidden_size] = bits_float(float_bits(value()) & 0xFFFF0000u);  // exact in bf16
  }
};

}  // namespace flashsampling
