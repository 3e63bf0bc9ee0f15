#include <algorithm>
#include <cstring>

#include "arguments.h"
#include "objects.h"

namespace flashsampling::addon {
namespace {

// Rows of one call: bounds every product of sizes below 2^63.
constexpr uint32_t kMaxBatchSize = 1u << 20;
constexpr uint32_t kMaxNumSamples = 1u << 16;

template <typename Array, typename T>
Napi::Value copy_array(Napi::Env env, const T* source, size_t length) {
  Array array = Array::New(env, length);
  if (length > 0) std::memcpy(array.Data(), source, length * sizeof(T));
  return array;
}

class SampleWorker : public Napi::AsyncWorker {
 public:
  SampleWorker(Napi::Env env, std::shared_ptr<SessionState> state, std::shared_ptr<bool> is_busy, SampleCall call)
      : Napi::AsyncWorker(env, "flashsampling.sample"), deferred_(Napi::Promise::Deferred::New(env)),
        state_(std::move(state)), is_busy_(std::move(is_busy)), call_(std::move(call)) {
    *is_busy_ = true;
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    failure_ = state_->run(call_);
    if (failure_) SetError(failure_.text);
  }

  void OnOK() override {
    *is_busy_ = false;
    const Napi::Env env = Env();
    const size_t rows = call_.batch_size;
    const size_t draws = rows * call_.max_num_samples;
    const SampleResults results = state_->results(call_);
    Napi::Object object = Napi::Object::New(env);
    object.Set("tokenIds", copy_array<Napi::Int32Array>(env, results.token_ids, draws));
    object.Set("logprobs", copy_array<Napi::Float32Array>(env, results.logprobs, draws));
    object.Set("logSumExp", copy_array<Napi::Float32Array>(env, results.log_sum_exp, rows));
    object.Set("rowStatus", copy_array<Napi::Int32Array>(env, results.row_status, rows));
    object.Set("workspaceBytes", Napi::Number::New(env, static_cast<double>(state_->workspace_bytes())));
    deferred_.Resolve(object);
  }

  void OnError(const Napi::Error& error) override {
    *is_busy_ = false;
    deferred_.Reject(failure_ ? to_error(Env(), failure_).Value() : error.Value());
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<SessionState> state_;
  std::shared_ptr<bool> is_busy_;
  SampleCall call_;
  Failure failure_;
};

// 0, 1 or batch_size rows of something that all rows may share.
uint32_t read_row_count(Napi::Object options, const char* name, uint32_t batch_size) {
  const uint32_t count = read_u32(options, name, 0, batch_size);
  if (count > 1 && count != batch_size) {
    throw Napi::RangeError::New(options.Env(),
                                std::string("\"") + name + "\" must be 0, 1 or " + std::to_string(batch_size));
  }
  return count;
}

void read_biases(Napi::Object options, uint32_t vocab_size, SampleCall* call) {
  call->num_biases = read_row_count(options, "numBiases", call->batch_size);
  if (call->num_biases == 0) return;
  const Napi::Env env = options.Env();
  const View<uint32_t> offsets =
      read_array<uint32_t>(options.Get("biasOffsets"), "biasOffsets", size_t{call->num_biases} + 1);
  call->bias_offsets.assign(offsets.data, offsets.data + offsets.length);
  const size_t count = call->bias_offsets.back();
  // Each array is copied before the next property is read: a getter could detach it.
  const View<uint32_t> token_ids = read_array<uint32_t>(options.Get("biasTokenIds"), "biasTokenIds", count);
  call->bias_token_ids.assign(token_ids.data, token_ids.data + count);
  const View<float> values = read_array<float>(options.Get("biasValues"), "biasValues", count);
  call->bias_values.assign(values.data, values.data + count);
  if (call->bias_offsets.front() != 0 || !std::is_sorted(call->bias_offsets.begin(), call->bias_offsets.end())) {
    throw Napi::RangeError::New(env, "\"biasOffsets\" must ascend from 0");
  }
  for (const uint32_t token_id : call->bias_token_ids) {
    if (token_id >= vocab_size) {
      throw Napi::RangeError::New(env, "\"biasTokenIds\" must be below " + std::to_string(vocab_size));
    }
  }
}

// Reads everything but keeps pointers into the caller's arrays: they are copied before script runs again.
SampleCall read_call(Napi::Object options, const SessionState& state) {
  const SessionOptions& session = state.options();
  SampleCall call;
  call.batch_size = read_u32(options, "batchSize", 1, kMaxBatchSize);
  call.max_num_samples = read_u32(options, "maxNumSamples", 1, kMaxNumSamples);
  call.logprobs_mode =
      static_cast<flashsampling_logprobs_mode>(read_u32(options, "logprobsMode", 0, FLASHSAMPLING_LOGPROBS_RAW));
  const size_t rows = call.batch_size;
  read_biases(options, session.vocab_size, &call);
  call.num_masks = read_row_count(options, "numMasks", call.batch_size);
  // NOTE: no call into script after the first pointer is taken: a getter could detach an array that was checked.
  const Napi::Value hidden_states = options.Get("hiddenStates");
  const Napi::Value temperature = options.Get("temperature");
  const Napi::Value seed = options.Get("seed");
  const Napi::Value position = options.Get("position");
  const Napi::Value draw_index = options.Get("drawIndex");
  const Napi::Value num_samples = options.Get("numSamples");
  const Napi::Value allowed_tokens = options.Get("allowedTokens");
  call.hidden_states = read_array<float>(hidden_states, "hiddenStates", rows * session.hidden_size).data;
  call.temperature = read_array<float>(temperature, "temperature", rows).data;
  call.seed = read_array<uint64_t>(seed, "seed", rows).data;
  call.position = read_array<uint64_t>(position, "position", rows).data;
  call.draw_index = read_array<uint32_t>(draw_index, "drawIndex", rows).data;
  call.num_samples = read_array<uint32_t>(num_samples, "numSamples", rows).data;
  if (call.num_masks > 0) {
    call.allowed_tokens =
        read_array<int32_t>(allowed_tokens, "allowedTokens", size_t{call.num_masks} * state.mask_words()).data;
  }
  return call;
}

}  // namespace

Napi::Function SessionObject::define(Napi::Env env) {
  return DefineClass(
      env, "Session",
      {InstanceMethod<&SessionObject::sample>("sample"), InstanceMethod<&SessionObject::dispose>("dispose")});
}

SessionObject::SessionObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<SessionObject>(info), is_busy_(std::make_shared<bool>(false)) {
  if (!info[0].IsExternal()) throw wrong_type(info.Env(), "Session", "made by Context.createSession()");
  state_ = *info[0].As<Napi::External<std::shared_ptr<SessionState>>>().Data();
}

Napi::Value SessionObject::sample(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (state_ == nullptr) throw disposed_error(env, "session");
  if (*is_busy_) {
    throw Napi::Error::New(env, "Cannot draw tokens as the session is still drawing: await the call before it");
  }
  SampleCall call = read_call(read_object(info[0], "call"), *state_);
  throw_if_failed(env, state_->prepare(call));
  auto* worker = new SampleWorker(env, state_, is_busy_, std::move(call));
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

// Work in flight holds the state as well: memory is freed when that is done.
void SessionObject::dispose(const Napi::CallbackInfo&) { state_.reset(); }

}  // namespace flashsampling::addon
