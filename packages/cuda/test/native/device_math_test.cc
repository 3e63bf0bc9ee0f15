// The device-math headers as a host program. One command a line on stdin, one answer a line on stdout; floats travel as
// the decimal value of their 32 bits, so that nothing is lost on the way. Driven by test/device-math.test.ts, which
// knows what the answers must be; only the sweeps, which are millions of values, compare with float64 here.
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "common/philox.h"
#include "common/score.h"
#include "common/workspace.h"
#include "epilogue/winner_store.cuh"
#include "merge_shards.cuh"

namespace flashsampling {
namespace {

// --- Commands' arguments ---

struct Reader {
  std::istringstream line;

  template <class T>
  T next() {
    T value{};
    if (!(line >> value)) {
      std::fprintf(stderr, "cannot read an argument of: %s\n", line.str().c_str());
      std::exit(1);
    }
    return value;
  }
  uint32_t u32() { return next<uint32_t>(); }
  uint64_t u64() { return next<uint64_t>(); }
  float f32() { return bits_float(next<uint32_t>()); }
  NoiseScheme scheme() { return static_cast<NoiseScheme>(next<uint32_t>()); }
};

// --- Float64 reference of the noise (docs/noise.md) ---

double reference_gumbel(NoiseScheme scheme, uint32_t bits) {
  if (scheme == NoiseScheme::kVllm) {
    const double magnitude = static_cast<int32_t>(bits) < 0 ? -static_cast<double>(static_cast<int32_t>(bits)) - 1.0
                                                            : static_cast<double>(bits);
    return -std::log(-std::log1p(-std::fmax(magnitude * 4.6566127342e-10, 4.6566127342e-10)));
  }
  return -std::log(-std::log1p(-(static_cast<double>(bits) + 0.5) * 0x1p-32));
}

struct Worst {
  double error = 0;
  uint64_t bits = 0;
};

// NaN counts as the worst error.
void keep_worst(Worst& worst, double error, uint64_t bits) {
  if (!(error <= worst.error)) worst = {error, bits};
}

// sweep <scheme> <begin> <end> <stride>: largest |fp32 - float64|, and where
void sweep(Reader& in) {
  const NoiseScheme scheme = in.scheme();
  const uint64_t begin = in.u64(), end = in.u64(), stride = in.u64();
  const unsigned num_threads = std::max(1u, std::thread::hardware_concurrency());
  std::vector<Worst> worst(num_threads);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < num_threads; t++) {
    threads.emplace_back([=, &worst] {
      Worst mine;
      for (uint64_t bits = begin + t * stride; bits < end; bits += num_threads * stride) {
        const uint32_t word = static_cast<uint32_t>(bits);
        keep_worst(mine, std::fabs(token_gumbel(scheme, word) - reference_gumbel(scheme, word)), bits);
      }
      worst[t] = mine;
    });
  }
  Worst all;
  for (unsigned t = 0; t < num_threads; t++) {
    threads[t].join();
    keep_worst(all, worst[t].error, worst[t].bits);
  }
  std::printf("%.17g %" PRIu64 "\n", all.error, all.bits);
}

// --- The filter ---

// Scores one token as the kernels do.
float score_of(NoiseScheme scheme, float logit, uint32_t bits) { return logit + token_gumbel(scheme, bits); }

// filter <scheme> <begin> <end> <stride> <logit> <temperature>: how many tokens that reach a best score equal to their
// own are held back (must be 0), and how many that lie a nat below it pass
void filter(Reader& in) {
  const NoiseScheme scheme = in.scheme();
  const uint64_t begin = in.u64(), end = in.u64(), stride = in.u64();
  const float logit = in.f32(), divisor = temperature_divisor(in.f32()), scale = WinnerFilter::scale(divisor);
  const float quotient = apply_temperature(logit, divisor);
  uint64_t num_checked = 0, num_wrong = 0, num_hopeless_passed = 0, num_rough_too_high = 0;
  for (uint64_t word = begin; word < end; word += stride) {
    const uint32_t bits = static_cast<uint32_t>(word);
    const float score = score_of(scheme, quotient, bits);
    const uint32_t integer = WinnerFilter::integer(scheme, bits);
    const auto passes = [&](float best) {
      return WinnerFilter::passes(static_cast<float>(integer),
                                  WinnerFilter::threshold(logit, scale, WinnerFilter::offset(best)));
    };
    num_checked++;
    if (!passes(score) || !passes(std::nextafter(score, -INFINITY)) || !passes(-INFINITY)) num_wrong++;
    // E <= 1.04 v where v is below 1/16, so that the filter is then sharp to 0.04 nats.
    if (integer < 1u << 28 && passes(score + 1.f + std::fabs(score) * 2e-6f)) num_hopeless_passed++;
    const double slack = 2e-5 + std::fabs(static_cast<double>(score)) * WinnerFilter::kSlack;
    if (!(WinnerFilter::rough_score(quotient, integer) <= static_cast<double>(score) + slack)) num_rough_too_high++;
  }
  std::printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", num_checked, num_wrong, num_hopeless_passed,
              num_rough_too_high);
}

// --- A whole draw, by the same steps as in a kernel ---

// draw <scheme> <seed> <position> <draw> <temperature> <mode> <vocab_start> <num_shards>
//      <n> <logit>... <num_bias> (<token> <bias>)... <num_allowed, or 0 for no mask> <token>...
// Splits the tokens over shards, draws in each, merges, and answers:
//   token_id status logprob log_sum_exp num_scored
void draw(Reader& in) {
  const NoiseScheme scheme = in.scheme();
  const uint64_t seed = in.u64(), position = in.u64();
  const uint32_t draw_index = in.u32();
  const float temperature = in.f32();
  const LogprobsMode mode = static_cast<LogprobsMode>(in.u32());
  const uint32_t vocab_start = in.u32(), num_shards = in.u32(), vocab_size = in.u32();
  std::vector<float> logits(vocab_size);
  for (float& logit : logits)
    logit = in.f32();
  std::vector<float> bias(vocab_start + vocab_size, 0.f);
  for (uint32_t i = in.u32(); i > 0; i--) {
    const uint32_t token_id = in.u32();
    bias[token_id] = in.f32();
  }
  const uint32_t num_allowed = in.u32();
  std::vector<bool> is_allowed(vocab_start + vocab_size, num_allowed == 0);
  for (uint32_t i = 0; i < num_allowed; i++)
    is_allowed[in.u32()] = true;

  RowParams rows = {};
  rows.temperature = &temperature;
  rows.seed = &seed;
  rows.position = &position;
  rows.draw_index = &draw_index;
  rows.logit_bias = bias.data();

  const float divisor = temperature_divisor(temperature);
  const RowKey key = row_key(rows, scheme, 0, 0);
  std::vector<uint64_t> candidates(num_shards);
  std::vector<float> shard_log_sum_exp(num_shards);
  std::vector<int32_t> shard_status(num_shards);
  uint32_t num_scored = 0;
  for (uint32_t shard = 0; shard < num_shards; shard++) {
    uint64_t best = kNoCandidate;
    LogMass mass = {0.f, 0.f};
    bool has_invalid_logit = false;
    for (uint32_t i = shard * vocab_size / num_shards; i < (shard + 1) * vocab_size / num_shards; i++) {
      const uint32_t token_id = vocab_start + i;
      const float biased = logits[i] + bias[token_id];
      if (is_invalid_logit(biased)) has_invalid_logit = true;
      const float logit = is_allowed[token_id] ? apply_temperature(biased, divisor) : -INFINITY;
      const float counted = mode == LogprobsMode::kRaw ? logits[i] : logit;
      if (counted > -INFINITY) mass = merge_log_mass(mass, {counted, 1.f});
      if (is_invalid_logit(logit) || logit == -INFINITY) continue;
      const uint32_t bits = token_bits(scheme, key, token_id);
      const float integer =
          temperature == 0.f ? WinnerFilter::kGreedyInteger : static_cast<float>(WinnerFilter::integer(scheme, bits));
      const float best_score = best == kNoCandidate ? -INFINITY : candidate_score(best);
      if (!WinnerFilter::passes(
              integer, WinnerFilter::threshold(biased, WinnerFilter::scale(divisor), WinnerFilter::offset(best_score))))
        continue;
      num_scored++;
      best = std::max(best, pack_candidate(temperature == 0.f ? logit : score_of(scheme, logit, bits), token_id));
    }
    RowResult result = {};
    result.draw_wanted = true;
    result.candidate = best;
    result.status = row_status(rows, 0, has_invalid_logit, true, best);
    result.log_sum_exp = log_sum_exp(mass);
    SampleOutputs out = {};
    out.candidates = &candidates[shard];
    out.log_sum_exp = &shard_log_sum_exp[shard];
    out.row_status = &shard_status[shard];
    store_winner(out, rows, scheme, mode, 1, result);
  }

  int64_t token_id;
  float logprob, merged_log_sum_exp;
  int32_t status;
  MergeParams merge = {};
  merge.num_shards = num_shards;
  merge.batch_size = merge.max_num_samples = 1;
  merge.noise_scheme = scheme;
  merge.logprobs_mode = mode;
  merge.candidates = candidates.data();
  merge.log_sum_exp = shard_log_sum_exp.data();
  merge.rows = rows;
  merge.out = {&token_id, true, &logprob, &merged_log_sum_exp, &status, nullptr};
  merge_slot(merge, 0, 0);
  std::printf("%" PRId64 " %d %u %u %u\n", token_id, status, float_bits(logprob), float_bits(merged_log_sum_exp),
              num_scored);
}

// merge <num_samples> <max_num_samples> <with_status> <num_shards> (<candidate>... <log_sum_exp> <status>)...
// One row. Answers: status log_sum_exp (token_id)...
void merge(Reader& in) {
  const uint32_t num_samples = in.u32(), max_num_samples = in.u32();
  const bool with_status = in.u32() != 0;
  const uint32_t num_shards = in.u32();
  std::vector<uint64_t> candidates;
  std::vector<float> masses;
  std::vector<int32_t> statuses;
  for (uint32_t shard = 0; shard < num_shards; shard++) {
    for (uint32_t i = 0; i < max_num_samples; i++)
      candidates.push_back(in.u64());
    masses.push_back(in.f32());
    statuses.push_back(static_cast<int32_t>(in.u32()));
  }
  MergeParams args = {};
  args.num_shards = num_shards;
  args.batch_size = 1;
  args.max_num_samples = max_num_samples;
  args.candidates = candidates.data();
  args.log_sum_exp = masses.data();
  if (with_status) args.row_status = statuses.data();
  args.rows.num_samples = &num_samples;
  std::vector<int32_t> token_ids(max_num_samples, -2);
  float mass;
  int32_t status;
  args.out.token_ids = token_ids.data();
  args.out.log_sum_exp = &mass;
  args.out.row_status = &status;
  for (uint32_t i = 0; i < max_num_samples; i++)
    merge_slot(args, 0, i);
  std::printf("%d %u", status, float_bits(mass));
  for (const int32_t token_id : token_ids)
    std::printf(" %d", token_id);
  std::printf("\n");
}

// --- Dispatch ---

bool answer(const std::string& command, Reader& in) {
  if (command == "philox4x32") {
    const Philox4 counter = {in.u32(), in.u32(), in.u32(), in.u32()};
    const uint32_t key0 = in.u32(), key1 = in.u32();
    const Philox4 words = philox4x32(counter, key0, key1);
    std::printf("%u %u %u %u\n", words.x, words.y, words.z, words.w);
  } else if (command == "philox2x32") {
    const Philox2 counter = {in.u32(), in.u32()};
    const Philox2 words = philox2x32(counter, in.u32());
    std::printf("%u %u\n", words.x, words.y);
  } else if (command == "row_key") {  // scheme seed position draw -> words
    const NoiseScheme scheme = in.scheme();
    const uint64_t seed = in.u64(), position = in.u64();
    const RowKey key = make_row_key(scheme, seed, position, in.u32());
    std::printf("%u %u\n", key.low, key.high);
  } else if (command == "noise") {  // scheme seed position draw token -> bits gumbel
    const NoiseScheme scheme = in.scheme();
    const uint64_t seed = in.u64(), position = in.u64();
    const RowKey key = make_row_key(scheme, seed, position, in.u32());
    const uint32_t bits = token_bits(scheme, key, in.u32());
    std::printf("%u %u\n", bits, float_bits(token_gumbel(scheme, bits)));
  } else if (command == "pair") {  // scheme-flash key token -> words of the token's call and of a single look-up
    const RowKey key = {in.u32(), in.u32()};
    const uint32_t token_id = in.u32();
    const Philox2 words = flash_pair_bits(key, noise_pair(token_id));
    std::printf("%u %u %u\n", words.x, words.y, flash_bits(key, token_id));
  } else if (command == "gumbel") {  // scheme bits -> gumbel
    const NoiseScheme scheme = in.scheme();
    std::printf("%u\n", float_bits(token_gumbel(scheme, in.u32())));
  } else if (command == "pack") {  // score token -> candidate, score and token read back
    const float score = in.f32();
    const uint64_t candidate = pack_candidate(score, in.u32());
    std::printf("%" PRIu64 " %u %u\n", candidate, float_bits(candidate_score(candidate)),
                candidate_token_id(candidate));
  } else if (command == "row_error") {  // status -> candidate, status read back
    const uint64_t candidate = pack_row_error(static_cast<int32_t>(in.u32()));
    std::printf("%" PRIu64 " %d %d\n", candidate, is_row_error(candidate), candidate_row_error(candidate));
  } else if (command == "log_mass") {  // n (reference sum)... -> log-sum-exp of all, merged in this order
    LogMass mass = {0.f, 0.f};
    for (uint32_t i = in.u32(); i > 0; i--) {
      const float reference = in.f32();
      mass = merge_log_mass(mass, {reference, in.f32()});
    }
    std::printf("%u\n", float_bits(log_sum_exp(mass)));
  } else if (command == "temperature") {  // temperature, logit -> valid, divisor, quotient, logit taken back
    const float temperature = in.f32();
    const float divisor = temperature_divisor(temperature);
    const float quotient = apply_temperature(in.f32(), divisor);
    std::printf("%d %u %u %u\n", is_valid_temperature(temperature), float_bits(divisor), float_bits(quotient),
                float_bits(undo_temperature(quotient, divisor)));
  } else if (command == "workspace") {
    std::printf("%zu %" PRIu64 " %zu\n", sizeof(Workspace), kZeroedBytes, offsetof(Workspace, log_sum_exp));
  } else if (command == "sweep") {
    sweep(in);
  } else if (command == "filter") {
    filter(in);
  } else if (command == "draw") {
    draw(in);
  } else if (command == "merge") {
    merge(in);
  } else {
    return false;
  }
  return true;
}

}  // namespace
}  // namespace flashsampling

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    flashsampling::Reader reader{std::istringstream(line)};
    const std::string command = reader.next<std::string>();
    if (!flashsampling::answer(command, reader)) {
      std::fprintf(stderr, "unknown command: %s\n", command.c_str());
      return 1;
    }
  }
  return 0;
}
