#include "error.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace flashsampling {
namespace {

constexpr size_t kTextBytes = 1024;
thread_local char text[kTextBytes] = "";

// Path as it stands in the repository, wherever that was compiled.
const char* short_path(const char* file) {
  const char* inside = std::strstr(file, "csrc/");
  return inside != nullptr ? inside : file;
}

}  // namespace

const char* last_error() { return text; }

flashsampling_status fail(flashsampling_status status, const char* expression, const char* file, int line,
                          const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int used = std::vsnprintf(text, kTextBytes, format, arguments);
  va_end(arguments);
  if (used < 0) used = 0;
  if (static_cast<size_t>(used) < kTextBytes) {
    std::snprintf(text + used, kTextBytes - used, " [%s, %s:%d]", expression, short_path(file), line);
  }
  return status;
}

}  // namespace flashsampling
