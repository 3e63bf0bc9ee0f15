#include <cstring>

#include "arguments.h"
#include "objects.h"

namespace flashsampling::addon {
namespace {

constexpr napi_type_tag kDeviceBufferTag = {0x8d1f0c35a6b94e27, 0xb4de31f2a9c85d06};

// Sends one page-locked block to the device.
class WriteWorker : public Napi::AsyncWorker {
 public:
  WriteWorker(Napi::Env env, DeviceBufferObject::Parts parts, std::unique_ptr<HostMemory> block, uint64_t byte_offset,
              uint64_t bytes)
      : Napi::AsyncWorker(env, "flashsampling.write"), deferred_(Napi::Promise::Deferred::New(env)),
        parts_(std::move(parts)), block_(std::move(block)), byte_offset_(byte_offset), bytes_(bytes) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    constexpr const char* kOperation = "upload the weights";
    failure_ = to_failure(flashsampling_copy_to_device(parts_.context->get(), parts_.memory->get() + byte_offset_,
                                                       block_->get(), bytes_, parts_.upload_stream->get()),
                          kOperation);
    const Failure late_failure = parts_.upload_stream->synchronize(kOperation);
    if (!failure_) failure_ = late_failure;
    parts_.staging->give_back(std::move(block_));
    if (failure_) SetError(failure_.text);
  }

  void OnOK() override { deferred_.Resolve(Env().Undefined()); }
  void OnError(const Napi::Error& error) override {
    deferred_.Reject(failure_ ? to_error(Env(), failure_).Value() : error.Value());
  }

 private:
  Napi::Promise::Deferred deferred_;
  DeviceBufferObject::Parts parts_;
  std::unique_ptr<HostMemory> block_;
  uint64_t byte_offset_, bytes_;
  Failure failure_;
};

// Rows of row_bytes become rows of stride bytes, filled up with zeros.
void copy_rows(uint8_t* target, const uint8_t* source, uint64_t num_rows, uint64_t row_bytes, uint64_t stride) {
  if (row_bytes == stride) {
    std::memcpy(target, source, num_rows * row_bytes);
    return;
  }
  for (uint64_t row_idx = 0; row_idx < num_rows; row_idx++) {
    std::memcpy(target + row_idx * stride, source + row_idx * row_bytes, row_bytes);
    std::memset(target + row_idx * stride + row_bytes, 0, stride - row_bytes);
  }
}

}  // namespace

Napi::Function DeviceBufferObject::define(Napi::Env env) {
  return DefineClass(env, "DeviceBuffer",
                     {InstanceMethod<&DeviceBufferObject::write>("write"),
                      InstanceAccessor<&DeviceBufferObject::byte_length>("byteLength"),
                      InstanceMethod<&DeviceBufferObject::dispose>("dispose")});
}

DeviceBufferObject::DeviceBufferObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DeviceBufferObject>(info) {
  // Script never sees the class, but could reach it as `buffer.constructor`.
  if (!info[0].IsExternal()) throw wrong_type(info.Env(), "DeviceBuffer", "made by Context.allocate()");
  parts_ = *info[0].As<Napi::External<Parts>>().Data();
  byte_length_ = parts_.memory->bytes();
  info.This().As<Napi::Object>().TypeTag(&kDeviceBufferTag);
}

std::shared_ptr<DeviceMemory> DeviceBufferObject::memory_of(Napi::Value value, const char* name) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kDeviceBufferTag)) {
    throw wrong_type(value.Env(), name, "a DeviceBuffer");
  }
  const DeviceBufferObject* buffer = Unwrap(value.As<Napi::Object>());
  if (buffer->parts_.memory == nullptr) throw disposed_error(value.Env(), "device buffer");
  return buffer->parts_.memory;
}

Napi::Value DeviceBufferObject::write(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (parts_.memory == nullptr) throw disposed_error(env, "device buffer");
  const View<uint8_t> source = read_array<uint8_t>(info[0], "source");
  const uint64_t byte_offset = read_integer(info[1], "byteOffset", 0, byte_length_);
  const uint64_t row_bytes = read_integer(info[2], "rowBytes", 1, byte_length_);
  const uint64_t stride = read_integer(info[3], "rowStrideBytes", row_bytes, byte_length_);
  const uint64_t num_rows = source.length / row_bytes;
  if (source.length == 0 || source.length % row_bytes != 0 || num_rows > (byte_length_ - byte_offset) / stride) {
    throw Napi::RangeError::New(
        env, "\"source\" must hold whole rows that fit the buffer: " + std::to_string(source.length) +
                 " bytes in rows of " + std::to_string(row_bytes) + " at offset " + std::to_string(byte_offset) +
                 " of " + std::to_string(byte_length_));
  }
  const uint64_t bytes = num_rows * stride;
  Failure failure;
  std::unique_ptr<HostMemory> block = parts_.staging->take(parts_.context, bytes, &failure);
  throw_if_failed(env, failure);
  copy_rows(block->get(), source.data, num_rows, row_bytes, stride);
  auto* worker = new WriteWorker(env, parts_, std::move(block), byte_offset, bytes);
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

Napi::Value DeviceBufferObject::byte_length(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(byte_length_));
}

void DeviceBufferObject::dispose(const Napi::CallbackInfo&) { parts_ = {}; }

}  // namespace flashsampling::addon
