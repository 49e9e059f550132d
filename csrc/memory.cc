// The pool behind memory.h: free buffers by size class, newest first.
#include "memory.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace rnnkit::memory {
namespace {

#if defined(RNNKIT_SANITIZE)  // every buffer its own allocation of its exact size, so that the sanitizer sees its ends
constexpr size_t kMostKept = 0, kRounding = 0;
#else
constexpr size_t kMostKept = size_t{512} << 20, kRounding = 8;
#endif
constexpr size_t kHuge = size_t{2} << 20, kHeader = 64;

struct Header {
  size_t bytes;  // of the whole block, header included
};

struct Pool {
  std::mutex mutex;
  std::map<size_t, std::vector<void*>> free;
  Usage usage{0, 0, 0};
  bool fill = false;
};

Pool& pool() {
  static Pool* const instance = new Pool;  // never destroyed: arrays may outlive the module
  return *instance;
}

// Sizes are rounded up to an eighth of their power of two, so that similar calls share buffers and little is wasted.
size_t size_class(size_t bytes) {
  if constexpr (kRounding == 0) return bytes;
  const size_t step = std::max<size_t>(256, std::bit_floor(bytes) / std::max<size_t>(1, kRounding));
  return (bytes + step - 1) / step * step;
}

}  // namespace

void* acquire(size_t bytes) {
  if (bytes > SIZE_MAX / 2) throw std::bad_alloc();
  const size_t size = size_class(bytes + kHeader);
  Pool& p = pool();
  void* block = nullptr;
  bool fill;
  {
    const std::lock_guard<std::mutex> lock(p.mutex);
    fill = p.fill;
    if (const auto found = p.free.find(size); found != p.free.end() && !found->second.empty()) {
      block = found->second.back();
      found->second.pop_back();
      p.usage.kept -= size;
    }
    p.usage.held += size;
    p.usage.peak = std::max(p.usage.peak, p.usage.held);
  }
  if (block == nullptr) {
    const size_t alignment = size >= 2 * kHuge ? kHuge : 64;
    if (posix_memalign(&block, alignment, size) != 0) {
      const std::lock_guard<std::mutex> lock(p.mutex);
      p.usage.held -= size;
      throw std::bad_alloc();
    }
#if defined(__linux__)
    if (alignment == kHuge) madvise(block, size, MADV_HUGEPAGE);  // rows of gates lie a page apart
#endif
    static_cast<Header*>(block)->bytes = size;
  }
  void* buffer = static_cast<char*>(block) + kHeader;
  if (fill) std::memset(buffer, 0xFF, size - kHeader);  // all ones is a NaN in float and in double
  return buffer;
}

void release(void* buffer) {
  if (buffer == nullptr) return;
  void* block = static_cast<char*>(buffer) - kHeader;
  const size_t size = static_cast<Header*>(block)->bytes;
  Pool& p = pool();
  {
    const std::lock_guard<std::mutex> lock(p.mutex);
    p.usage.held -= size;
    if (p.usage.kept + size <= kMostKept) {
      p.free[size].push_back(block);
      p.usage.kept += size;
      return;
    }
  }
  std::free(block);
}

void fill_with_nan(bool enabled) {
  const std::lock_guard<std::mutex> lock(pool().mutex);
  pool().fill = enabled;
}

Usage usage() {
  const std::lock_guard<std::mutex> lock(pool().mutex);
  return pool().usage;
}

void reset_peak() {
  const std::lock_guard<std::mutex> lock(pool().mutex);
  pool().usage.peak = pool().usage.held;
}

}  // namespace rnnkit::memory
