// Faults that a sanitizer has to report; compiled into the sanitizer build only.
#include <cstdint>
#include <vector>

#pragma GCC visibility push(default)
extern "C" {

// Read the element behind `count` of them on the heap.
int32_t read_past_the_end(int64_t count) {
  const std::vector<int32_t> values(count, 1);
  const volatile int32_t* data = values.data();
  return data[count];
}

// Add 1 to `x`, which must be the greatest number of its type.
int32_t overflow(int32_t x) {
  volatile int32_t y = x;
  return y + 1;
}
}
#pragma GCC visibility pop
