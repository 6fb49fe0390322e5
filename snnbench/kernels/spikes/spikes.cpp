// Spikes as bits, and the convolution that adds weights where a bit is set.
//
// Bits are words of 64 channels: bits[position][word], position = (n, h, w) in order. What is called a position of the
// output is (n, ho, wo) in order. Sums are made in an order that depends on shapes alone, never on the threads.

#include <algorithm>
#include <new>
#include <vector>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define UNROLL _Pragma("GCC unroll 32")

namespace {

typedef unsigned long Word;
typedef float V __attribute__((vector_size(64), may_alias));  // aligned, in memory of our own
typedef float U __attribute__((vector_size(64), aligned(4), may_alias));
// What a register holds: compilers keep sums of larger vectors in memory.
#if defined(__AVX512F__)
typedef V R;
constexpr long REGISTERS = 32;
#elif defined(__AVX__)
typedef float R __attribute__((vector_size(32), may_alias));
constexpr long REGISTERS = 16;
#else
typedef float R __attribute__((vector_size(16), may_alias));
constexpr long REGISTERS = 16;
#endif
constexpr long PARTS = sizeof(V) / sizeof(R);
typedef unsigned short Entry;
constexpr long LANES = 16, WORD = 64;
constexpr long NEAR = 1024;     // so many gradients of 16 outputs stay near
constexpr long MANY = 1 << 18;  // so many weights do not

inline long least(long a, long b) { return a < b ? a : b; }

// Of a convolution: numbers as `convolution.py` names them.
struct Shape {
  long n, height, width, channels, outputs, kernel, stride, padding, rows, columns, threads, last, ones;
  long words() const { return (channels + WORD - 1) / WORD; }
  long taps() const { return kernel * kernel; }
  long positions() const { return n * rows * columns; }
  long tile() const { return threads > 1 && positions() < 2048 * threads ? 64 : 512; }  // positions of a task
};

// 16 numbers, or as many as are left.
inline V load(const float* p, long live) {
  if (live >= LANES) return *(const U*)p;
#ifdef __AVX512F__
  return (V)_mm512_maskz_loadu_ps((__mmask16)((1u << live) - 1), p);
#else
  V v = {};
  for (long i = 0; i < live; ++i) v[i] = p[i];
  return v;
#endif
}

inline void store(float* p, V v, long live) {
  if (live >= LANES) *(U*)p = v;
#ifdef __AVX512F__
  else _mm512_mask_storeu_ps(p, (__mmask16)((1u << live) - 1), (__m512)v);
#else
  else for (long i = 0; i < live; ++i) p[i] = v[i];
#endif
}

}  // namespace

#define PUBLIC extern "C" __attribute__((visibility("default")))

#include "scratch.h"
#include "bits.h"
#include "transpose.h"
#include "forward.h"
#include "gradient.h"
#include "winograd.h"
#include "winograd_weight.h"
#include "pools.h"
#include "averages.h"
