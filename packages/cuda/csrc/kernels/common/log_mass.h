// Log-mass of a set of tokens: reference + ln(sum), where sum is the sum of exp(logit - reference). Host and device.
#pragma once

#include <cmath>

#include "macros.h"

namespace flashsampling {

// sum is 0 for a set without tokens; its reference is then without meaning.
struct LogMass {
  float reference, sum;
};

FS_HOST_DEVICE LogMass merge_log_mass(LogMass a, LogMass b) {
  if (b.sum == 0.f) return a;
  if (a.sum == 0.f) return b;
  const float reference = a.reference > b.reference ? a.reference : b.reference;
  return {reference, a.sum * expf(a.reference - reference) + b.sum * expf(b.reference - reference)};
}

// ln of the mass; -infinity for an empty set.
FS_HOST_DEVICE float log_sum_exp(LogMass mass) { return mass.sum == 0.f ? -INFINITY : mass.reference + logf(mass.sum); }

}  // namespace flashsampling
