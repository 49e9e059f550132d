// Buffers that are used again: fresh memory costs more than the kernels at small sizes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <memory>

namespace rnnkit::memory {

// At least `bytes` bytes at a 64-byte boundary (never null; throws std::bad_alloc). The contents are whatever they
// were.
void* acquire(size_t bytes);
template <class T>
__attribute__((always_inline)) inline T* acquire(int64_t count) {
  return static_cast<T*>(acquire(static_cast<size_t>(count) * sizeof(T)));
}
// Gives a buffer back: kept for the next acquire up to a total of 512 MiB, freed beyond that. Null is allowed.
void release(void* buffer);

// Tests only: fill every buffer with NaN on acquire, so that an element read before it is written shows.
void fill_with_nan(bool enabled);
// Bytes held by callers now, the most there ever were, and bytes kept for use again.
struct Usage {
  size_t held, peak, kept;
};
Usage usage();
// Forgets the peak: it counts from what is held now.
void reset_peak();

}  // namespace rnnkit::memory

namespace rnnkit {

// A block of memory from the pool, given back when the last owner goes.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count)
      : data_(static_cast<T*>(memory::acquire(static_cast<size_t>(count) * sizeof(T))), &memory::release) {}
  T* get() const { return data_.get(); }
  const std::shared_ptr<T>& owner() const { return data_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  std::shared_ptr<T> data_;
};

}  // namespace rnnkit
