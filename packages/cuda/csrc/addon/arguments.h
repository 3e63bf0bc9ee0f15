// Reads arguments from JavaScript. The TypeScript layer has checked them already; these checks keep a wrong call from
// becoming a wrong memory access.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include <napi.h>

namespace flashsampling::addon {

inline Napi::TypeError wrong_type(Napi::Env env, const char* name, const char* expected) {
  return Napi::TypeError::New(env, std::string("\"") + name + "\" must be " + expected);
}

// A whole number from low to high; high <= 2^53.
inline uint64_t read_integer(Napi::Value value, const char* name, uint64_t low, uint64_t high) {
  if (!value.IsNumber()) throw wrong_type(value.Env(), name, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high)) || std::floor(number) != number) {
    throw Napi::RangeError::New(value.Env(), std::string("\"") + name + "\" must be a whole number from " +
                                                 std::to_string(low) + " to " + std::to_string(high));
  }
  return static_cast<uint64_t>(number);
}

inline uint32_t read_u32(Napi::Object options, const char* name, uint32_t low = 0, uint32_t high = UINT32_MAX) {
  return static_cast<uint32_t>(read_integer(options.Get(name), name, low, high));
}

inline Napi::Object read_object(Napi::Value value, const char* name) {
  if (!value.IsObject()) throw wrong_type(value.Env(), name, "an object");
  return value.As<Napi::Object>();
}

template <typename T>
struct ElementType;
template <>
struct ElementType<float> {
  static constexpr napi_typedarray_type kType = napi_float32_array;
  static constexpr const char* kName = "a Float32Array";
};
template <>
struct ElementType<int32_t> {
  static constexpr napi_typedarray_type kType = napi_int32_array;
  static constexpr const char* kName = "an Int32Array";
};
template <>
struct ElementType<uint32_t> {
  static constexpr napi_typedarray_type kType = napi_uint32_array;
  static constexpr const char* kName = "a Uint32Array";
};
template <>
struct ElementType<uint64_t> {
  static constexpr napi_typedarray_type kType = napi_biguint64_array;
  static constexpr const char* kName = "a BigUint64Array";
};
template <>
struct ElementType<uint8_t> {
  static constexpr napi_typedarray_type kType = napi_uint8_array;
  static constexpr const char* kName = "a Uint8Array";
};

// Elements of a typed array; valid on the JavaScript thread until it returns to script.
template <typename T>
struct View {
  const T* data = nullptr;
  size_t length = 0;
};

template <typename T>
View<T> read_array(Napi::Value value, const char* name) {
  if (!value.IsTypedArray()) throw wrong_type(value.Env(), name, ElementType<T>::kName);
  napi_typedarray_type type;
  size_t length;
  void* data;
  const napi_status status = napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr);
  if (status != napi_ok || type != ElementType<T>::kType) throw wrong_type(value.Env(), name, ElementType<T>::kName);
  return {static_cast<const T*>(data), data == nullptr ? 0 : length};
}

template <typename T>
View<T> read_array(Napi::Value value, const char* name, size_t length) {
  const View<T> view = read_array<T>(value, name);
  if (view.length != length) {
    throw Napi::RangeError::New(value.Env(), std::string("\"") + name + "\" must have " + std::to_string(length) +
                                                 " elements: current length is " + std::to_string(view.length));
  }
  return view;
}

}  // namespace flashsampling::addon
