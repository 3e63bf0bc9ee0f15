/*
 * Uses the library as a C program would: compiled as strict C99, linked against libflashsampling.so.
 * Prints one line per call, "call: status: text", which abi.test.ts compares. Started with no device visible.
 */
#include <stdio.h>
#include <string.h>

#include "flashsampling.h"

static void report(const char* call, flashsampling_status status) {
  printf("%s: %s: %s\n", call, flashsampling_status_name(status),
         status == FLASHSAMPLING_OK ? "" : flashsampling_last_error());
}

int main(void) {
  flashsampling_context* context = NULL;
  flashsampling_stream stream = NULL;
  flashsampling_device_properties properties;
  flashsampling_sample_args sample;
  flashsampling_merge_args merge;
  flashsampling_logits_args logits;
  int32_t count = 7;
  uint64_t bytes = 7;
  void* pointer = &count;
  char host[16];
  int status;

  printf("last error before the first failure: \"%s\"\n", flashsampling_last_error());
  printf("abi version: %u, header %d\n", (unsigned)flashsampling_abi_version(), FLASHSAMPLING_ABI_VERSION);
  printf("version: %s\n", flashsampling_version());
  for (status = 0; status <= 8; status++) {
    printf("status %d: %s\n", status, flashsampling_status_name((flashsampling_status)status));
  }
  printf("sizes: %d %d %d %d\n", (int)sizeof(properties), (int)sizeof(sample), (int)sizeof(merge), (int)sizeof(logits));

  report("device_count(NULL)", flashsampling_device_count(NULL));
  report("device_count", flashsampling_device_count(&count));
  printf("count: %d\n", (int)count);

  memset(&properties, 0, sizeof(properties));
  report("device_properties_get(NULL)", flashsampling_device_properties_get(0, NULL));
  report("device_properties_get(struct_size 0)", flashsampling_device_properties_get(0, &properties));
  properties.struct_size = sizeof(properties);
  report("device_properties_get", flashsampling_device_properties_get(0, &properties));

  context = (flashsampling_context*)host;
  report("context_create(NULL)", flashsampling_context_create(0, NULL));
  report("context_create", flashsampling_context_create(0, &context));
  printf("context: %s\n", context == NULL ? "NULL" : "set");
  report("context_destroy(NULL)", flashsampling_context_destroy(NULL));
  report("context_destroy(never created)", flashsampling_context_destroy((flashsampling_context*)host));

  memset(&sample, 0, sizeof(sample));
  memset(&merge, 0, sizeof(merge));
  memset(&logits, 0, sizeof(logits));
  report("workspace_bytes(NULL, out NULL)", flashsampling_workspace_bytes(NULL, 1, 1, NULL));
  report("workspace_bytes(NULL)", flashsampling_workspace_bytes(NULL, 1, 1, &bytes));
  printf("bytes: %d\n", (int)bytes);
  report("workspace_init(NULL)", flashsampling_workspace_init(NULL, host, 16, NULL));
  report("sample(NULL)", flashsampling_sample(NULL, &sample, NULL));
  report("merge(NULL)", flashsampling_merge(NULL, &merge, NULL));
  report("sample_from_logits(NULL)", flashsampling_sample_from_logits(NULL, &logits, NULL));
  report("stream_create(NULL)", flashsampling_stream_create(NULL, &stream));
  report("stream_destroy(NULL)", flashsampling_stream_destroy(NULL, NULL));
  report("stream_synchronize(NULL)", flashsampling_stream_synchronize(NULL, NULL));
  report("memory_alloc(NULL)", flashsampling_memory_alloc(NULL, 16, &pointer));
  printf("pointer: %s\n", pointer == NULL ? "NULL" : "set");
  report("host_alloc(NULL)", flashsampling_host_alloc(NULL, 16, &pointer));
  report("memory_free(NULL)", flashsampling_memory_free(NULL, NULL));
  report("host_free(NULL)", flashsampling_host_free(NULL, NULL));
  report("copy_to_device(NULL)", flashsampling_copy_to_device(NULL, host, host, 16, NULL));
  report("copy_to_host(NULL)", flashsampling_copy_to_host(NULL, host, host, 16, NULL));

  /* A pointer that no context_create() returned is recognised without being read. */
  context = (flashsampling_context*)(uintptr_t)8;
  report("sample(never created)", flashsampling_sample(context, &sample, NULL));
  report("memory_alloc(never created)", flashsampling_memory_alloc(context, 16, &pointer));
  report("memory_alloc(0 bytes)", flashsampling_memory_alloc(context, 0, &pointer));
  report("stream_create(out NULL)", flashsampling_stream_create(context, NULL));
  return 0;
}
