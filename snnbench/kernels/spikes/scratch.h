// Memory for the length of a call. It is a thread's own and stays when the call ends, up to a size: to have the system map
// fresh pages for each call would take longer than many a convolution.

#include <cstdlib>
#include <utility>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

struct Arena {
  static constexpr long PAGE = 1 << 21, KEPT = 1 << 26;
  struct Chunk {
    char* memory;
    long size;
  };
  std::vector<Chunk> chunks;
  unsigned long chunk = 0;  // what is given away ends in this one
  long used = 0;
  void* take(long bytes) {
    bytes = (bytes + 63) / 64 * 64;
    while (chunk < chunks.size() && used + bytes > chunks[chunk].size) ++chunk, used = 0;
    if (chunk == chunks.size()) {
      const long size = (bytes + PAGE - 1) / PAGE * PAGE;
      void* memory = aligned_alloc(PAGE, size);
      if (!memory) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
      madvise(memory, size, MADV_HUGEPAGE);
#endif
      chunks.push_back({(char*)memory, size});
    }
    used += bytes;
    return chunks[chunk].memory + used - bytes;
  }
  // Nothing is in use: what is beyond KEPT goes back.
  void trim() {
    long kept = 0;
    for (const Chunk& c : chunks) kept += c.size;
    for (; kept > KEPT; chunks.pop_back()) kept -= chunks.back().size, free(chunks.back().memory);
  }
  ~Arena() {
    for (const Chunk& c : chunks) free(c.memory);
  }
};

inline Arena& arena() {
  static thread_local Arena own;
  return own;
}

// `size` values without content. They are given back in reverse order, as scopes end.
template <class T> struct Scratch {
  const unsigned long chunk;
  const long used;
  T* const data;
  explicit Scratch(long size) : chunk(arena().chunk), used(arena().used), data((T*)arena().take((size + LANES) * sizeof(T))) {}
  Scratch(long size, T value) : Scratch(size) { std::fill_n(data, size, value); }
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    arena().chunk = chunk, arena().used = used;
    if (chunk == 0 && used == 0) arena().trim();
  }
  T& operator[](long i) { return data[i]; }
  const T& operator[](long i) const { return data[i]; }
};

}  // namespace
