// The JavaScript classes of the addon. Each wraps a shared owner, so that work in flight outlives the object.
#pragma once

#include <memory>

#include <napi.h>

#include "handles.h"
#include "session_state.h"

namespace flashsampling::addon {

// Classes of one environment: a worker thread of Node has its own.
struct AddonData {
  Napi::FunctionReference device_buffer;
  Napi::FunctionReference session;
};

// new Context(deviceIndex): one GPU.
class ContextObject : public Napi::ObjectWrap<ContextObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ContextObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value allocate(const Napi::CallbackInfo& info);        // (byteLength: number): DeviceBuffer
  Napi::Value create_session(const Napi::CallbackInfo& info);  // (options: NativeSessionOptions): Session
  void release_staging(const Napi::CallbackInfo& info);        // (): void
  void dispose(const Napi::CallbackInfo& info);                // (): void
  SharedContext checked_context(Napi::Env env) const;

  SharedContext context_;
  std::shared_ptr<StagingPool> staging_;
  std::shared_ptr<Stream> upload_stream_;
};

// Device memory; made by Context.allocate().
class DeviceBufferObject : public Napi::ObjectWrap<DeviceBufferObject> {
 public:
  // What Context.allocate() passes to the constructor.
  struct Parts {
    SharedContext context;
    std::shared_ptr<DeviceMemory> memory;
    std::shared_ptr<StagingPool> staging;
    std::shared_ptr<Stream> upload_stream;
  };

  static Napi::Function define(Napi::Env env);
  explicit DeviceBufferObject(const Napi::CallbackInfo& info);

  // The memory of a DeviceBuffer; throws for anything else and after disposal.
  static std::shared_ptr<DeviceMemory> memory_of(Napi::Value value, const char* name);

 private:
  // (source: Uint8Array, byteOffset: number, rowBytes: number, rowStrideBytes: number): Promise<void>
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value byte_length(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  Parts parts_;
  uint64_t byte_length_ = 0;
};

// A head ready to draw from; made by Context.createSession().
class SessionObject : public Napi::ObjectWrap<SessionObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit SessionObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value sample(const Napi::CallbackInfo& info);  // (call: NativeSampleCall): Promise<NativeSampleResult>
  void dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<SessionState> state_;
  std::shared_ptr<bool> is_busy_;
};

}  // namespace flashsampling::addon
