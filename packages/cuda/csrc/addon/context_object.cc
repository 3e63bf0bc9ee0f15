#include "arguments.h"
#include "objects.h"

namespace flashsampling::addon {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 52;
constexpr uint32_t kMaxVocabSize = 1u << 22;

SessionOptions read_session_options(Napi::Object options) {
  const Napi::Env env = options.Env();
  SessionOptions result;
  result.hidden_size = read_u32(options, "hiddenSize", 1, 1u << 24);
  result.padded_size = (result.hidden_size + 7) / 8 * 8;
  result.vocab_size = read_u32(options, "vocabSize", 1, kMaxVocabSize);
  result.dtype = static_cast<flashsampling_dtype>(read_u32(options, "dtype", 0, FLASHSAMPLING_DTYPE_F16));
  result.noise_scheme =
      static_cast<flashsampling_noise_scheme>(read_u32(options, "noiseScheme", 0, FLASHSAMPLING_NOISE_VLLM));
  result.kernel = static_cast<flashsampling_kernel>(read_u32(options, "kernel", 0, FLASHSAMPLING_KERNEL_SMXX));

  const Napi::Value list = options.Get("shards");
  if (!list.IsArray() || list.As<Napi::Array>().Length() == 0) {
    throw wrong_type(env, "shards", "an array of at least one shard");
  }
  const Napi::Array shards = list.As<Napi::Array>();
  for (uint32_t i = 0; i < shards.Length(); i++) {
    const Napi::Object entry = read_object(shards.Get(i), "shards[]");
    Shard shard;
    shard.weight = DeviceBufferObject::memory_of(entry.Get("buffer"), "shards[].buffer");
    shard.vocab_start = read_u32(entry, "vocabStart", 0, result.vocab_size - 1);
    shard.rows = read_u32(entry, "rows", 1, result.vocab_size - shard.vocab_start);
    const uint64_t bytes = uint64_t{shard.rows} * result.padded_size * sizeof(uint16_t);
    if (bytes > shard.weight->bytes()) {
      throw Napi::RangeError::New(env, "\"shards[].buffer\" must have at least " + std::to_string(bytes) +
                                           " bytes: current size is " + std::to_string(shard.weight->bytes()));
    }
    result.shards.push_back(std::move(shard));
  }
  return result;
}

}  // namespace

Napi::Function ContextObject::define(Napi::Env env) {
  return DefineClass(env, "Context",
                     {InstanceMethod<&ContextObject::allocate>("allocate"),
                      InstanceMethod<&ContextObject::create_session>("createSession"),
                      InstanceMethod<&ContextObject::release_staging>("releaseStaging"),
                      InstanceMethod<&ContextObject::dispose>("dispose")});
}

ContextObject::ContextObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ContextObject>(info) {
  const auto device_index = static_cast<int32_t>(read_integer(info[0], "deviceIndex", 0, INT32_MAX));
  flashsampling_context* handle = nullptr;
  throw_if_failed(info.Env(), to_failure(flashsampling_context_create(device_index, &handle), "open the CUDA device"));
  context_ = std::make_shared<Context>(handle);
  staging_ = std::make_shared<StagingPool>();
  upload_stream_ = std::make_shared<Stream>();
  throw_if_failed(info.Env(), upload_stream_->create(context_));
}

Napi::Value ContextObject::allocate(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const SharedContext context = checked_context(env);
  const uint64_t bytes = read_integer(info[0], "byteLength", 1, kMaxBytes);
  auto memory = std::make_shared<DeviceMemory>();
  throw_if_failed(env, memory->allocate(context, bytes, "reserve device memory"));
  DeviceBufferObject::Parts parts{context, memory, staging_, upload_stream_};
  return env.GetInstanceData<AddonData>()->device_buffer.New(
      {Napi::External<DeviceBufferObject::Parts>::New(env, &parts)});
}

Napi::Value ContextObject::create_session(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const SharedContext context = checked_context(env);
  auto state = std::make_shared<SessionState>(context, read_session_options(read_object(info[0], "options")));
  throw_if_failed(env, state->initialize());
  return env.GetInstanceData<AddonData>()->session.New(
      {Napi::External<std::shared_ptr<SessionState>>::New(env, &state)});
}

void ContextObject::release_staging(const Napi::CallbackInfo&) { staging_->clear(); }

void ContextObject::dispose(const Napi::CallbackInfo&) {
  staging_->clear();
  context_.reset();
}

SharedContext ContextObject::checked_context(Napi::Env env) const {
  if (context_ == nullptr) throw disposed_error(env, "CUDA backend");
  return context_;
}

}  // namespace flashsampling::addon
