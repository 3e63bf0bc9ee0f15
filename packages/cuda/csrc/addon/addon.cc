// Entry of flashsampling.node: what addon-types.ts of the package describes, over the C ABI of flashsampling.h and
// nothing else. Arguments are checked on the JavaScript thread, work runs on worker threads, errors are made on the way
// back.
#include <napi.h>

#include "arguments.h"
#include "objects.h"

namespace flashsampling::addon {
namespace {

Napi::Value device_count(const Napi::CallbackInfo& info) {
  int32_t count = 0;
  throw_if_failed(info.Env(), to_failure(flashsampling_device_count(&count), "count CUDA devices"));
  return Napi::Number::New(info.Env(), count);
}

Napi::Value device_properties(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  flashsampling_device_properties properties{};
  properties.struct_size = sizeof(properties);
  const auto device_index = static_cast<int32_t>(read_integer(info[0], "deviceIndex", 0, INT32_MAX));
  throw_if_failed(env, to_failure(flashsampling_device_properties_get(device_index, &properties),
                                  "read the properties of the CUDA device"));
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* name, double value) { object.Set(name, Napi::Number::New(env, value)); };
  set("deviceIndex", properties.device_index);
  object.Set("name", Napi::String::New(env, properties.name));
  set("computeMajor", properties.compute_major);
  set("computeMinor", properties.compute_minor);
  set("numMultiprocessors", properties.num_multiprocessors);
  set("l2Bytes", properties.l2_bytes);
  set("totalMemoryBytes", static_cast<double>(properties.total_memory_bytes));
  set("driverVersion", properties.driver_version);
  set("runtimeVersion", properties.runtime_version);
  object.Set("servesSm90a", Napi::Boolean::New(env, properties.serves_sm90a != 0));
  object.Set("servesSmxx", Napi::Boolean::New(env, properties.serves_smxx != 0));
  return object;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData;
  data->device_buffer = Napi::Persistent(DeviceBufferObject::define(env));
  data->session = Napi::Persistent(SessionObject::define(env));
  env.SetInstanceData(data);
  exports.Set("abiVersion", Napi::Number::New(env, flashsampling_abi_version()));
  exports.Set("builtForAbiVersion", Napi::Number::New(env, FLASHSAMPLING_ABI_VERSION));
  exports.Set("version", Napi::String::New(env, flashsampling_version()));
  exports.Set("deviceCount", Napi::Function::New<device_count>(env, "deviceCount"));
  exports.Set("deviceProperties", Napi::Function::New<device_properties>(env, "deviceProperties"));
  exports.Set("Context", ContextObject::define(env));
  return exports;
}

}  // namespace
}  // namespace flashsampling::addon

// NODE_API_MODULE wants a function at namespace scope.
static Napi::Object init_flashsampling(Napi::Env env, Napi::Object exports) {
  return flashsampling::addon::init(env, exports);
}
NODE_API_MODULE(flashsampling, init_flashsampling)
