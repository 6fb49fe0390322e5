// Spikes as bits, and the convolution that adds weights where a bit is set.
//
// Bits are words of 64 channels: bits[position][word], position = (n, h, w) in order. What is called a position of the
// output is (n, ho, wo) in order. Sums are made in an order that depends on shapes alone, never on the threads.

#include <algorithm>
#include <vector>
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

typedef unsigned long Word;
typedef float V __attribute__((vector_size(64), may_alias));  // aligned, in memory of our own
typedef float U __attribute__((vector_size(64), aligned(4), may_alias));
typedef unsigned short Entry;
typedef Entry Entries __attribute__((vector_size(32), aligned(2), may_alias));
constexpr long LANES = 16, WORD = 64, GROUP = 4;
constexpr long NEAR = 1024;  // so many gradients of 16 outputs stay in the first-level cache

inline long least(long a, long b) { return a < b ? a : b; }

// Of a convolution: numbers as `convolution.py` names them.
struct Shape {
  long n, height, width, channels, outputs, kernel, stride, padding, rows, columns, block, threads, last, ones;
  long words() const { return (channels + WORD - 1) / WORD; }
  long taps() const { return kernel * kernel; }
  long positions() const { return n * rows * columns; }
};

// Which channels spike at each position of the input, by words: of word i of `bits` they are channel[begin[i]], up to
// channel[begin[i + 1]], each below 64. 16 more entries may be read at the end.
struct Lists {
  std::vector<unsigned> begin;
  std::vector<Entry> channel;
  Lists(const Shape& s, const Word* bits) : begin(s.n * s.height * s.width * s.words() + 1), channel(s.ones + LANES) {
    const long all = begin.size() - 1, step = 4096, parts = (all + step - 1) / step;
    std::vector<unsigned> before(parts + 1);
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
    for (long part = 0; part < parts; ++part) {
      unsigned count = 0;
      for (long i = part * step; i < least(all, (part + 1) * step); ++i) count += __builtin_popcountl(bits[i]);
      before[part + 1] = count;
    }
    for (long part = 0; part < parts; ++part) before[part + 1] += before[part];
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
    for (long part = 0; part < parts; ++part) {
      unsigned at = before[part];
      for (long i = part * step; i < least(all, (part + 1) * step); ++i) {
        begin[i] = at;
        for (Word m = bits[i]; m; m &= m - 1) channel[at++] = __builtin_ctzl(m);
      }
    }
    begin[all] = s.ones;
  }
};

}  // namespace

#define PUBLIC extern "C" __attribute__((visibility("default")))

#include "bits.h"
#include "forward.h"
#include "gradient.h"
#include "pools.h"
