// A convolution 3x3 with a border of 1 and stride 1, channels last in memory, by Winograd's F(2x2, 3x3): 16 products of
// matrices make 2x2 outputs of 4x4 inputs, with 2.25 times fewer multiplications (Lavin and Gray 2016).
//
// Tiles are dealt in blocks that stay in the second-level cache: transformed, multiplied position by position, and
// transformed back. No sum depends on the threads.

#include <cstdlib>
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

// A register, and how many of them beside each other, times how many rows, a product keeps its sums in.
#ifdef __AVX512F__
constexpr int BYTES = 64, WIDE = 4;
#else
constexpr int BYTES = 32, WIDE = 2;
#endif
constexpr int ROWS = 6, PLACES = 16;
constexpr long LANES = BYTES / 4, BLOCK = 64;
constexpr long FOLD = 64;  // so many blocks are summed before their sum is added to that of all
typedef float F __attribute__((vector_size(BYTES), aligned(4), may_alias));
typedef float L __attribute__((vector_size(BYTES), may_alias));  // in memory of our own, aligned
#define UNROLL _Pragma("GCC unroll 16")

inline long least(long a, long b) { return a < b ? a : b; }

// Numbers as winograd.py names them: `inputs` are channels of what is read, `outputs` of what is written; `flipped`
// where the weight is that of the convolution whose input gradient this is.
struct Shape {
  long n, height, width, inputs, outputs, flipped, threads;
  long rows() const { return (height + 1) / 2; }
  long columns() const { return (width + 1) / 2; }
  long tiles() const { return n * rows() * columns(); }
  // Outputs are dealt in panels, the widest that registers hold; how wide the one from `begin` on is.
  long panel(long begin) const {
    long width = WIDE * LANES;
    while (begin + width > outputs) width /= 2;
    return width;
  }
};

inline L fused(float a, L b, L c) {
#if defined(__AVX512F__)
  return (L)_mm512_fmadd_ps(_mm512_set1_ps(a), (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (L)_mm256_fmadd_ps(_mm256_set1_ps(a), (__m256)b, (__m256)c);
#else
  for (long i = 0; i < LANES; ++i) c[i] = __builtin_fmaf(a, b[i], c[i]);
  return c;
#endif
}

float* memory(long numbers) { return (float*)aligned_alloc(64, (numbers * sizeof(float) + 63) / 64 * 64); }

}  // namespace

#include "transforms.h"
#include "products.h"

#define PUBLIC extern "C" __attribute__((visibility("default")))

// y [n, height, width, outputs] of x [n, height, width, inputs].
PUBLIC void convolve(const Shape* shape, const float* x, const float* weight, const float* bias, float* y) {
  const Shape& s = *shape;
  const long size = s.inputs * s.outputs, blocks = (s.tiles() + BLOCK - 1) / BLOCK;
  float* u = memory(PLACES * size);
  transform_weight(s, weight, u);
#pragma omp parallel num_threads(s.threads) if (s.threads > 1)
  {
    float *v = memory(PLACES * BLOCK * s.inputs), *m = memory(PLACES * BLOCK * s.outputs);
#pragma omp for schedule(static)
    for (long b = 0; b < blocks; ++b) {
      const long from = b * BLOCK, to = least(s.tiles(), from + BLOCK);
      transform_input(s, x, v, from, from, to);
      for (int p = 0; p < PLACES; ++p)
        for (long o = 0, width; o < s.outputs; o += width) {
          const float *vp = v + p * BLOCK * s.inputs, *up = u + p * size + o * s.inputs;
          float* mp = m + p * BLOCK * s.outputs + o;
          width = s.panel(o);
          if (width == WIDE * LANES) multiply_all<WIDE>(vp, up, mp, to - from, s.inputs, s.outputs);
          else if (width == 2 * LANES) multiply_all<2>(vp, up, mp, to - from, s.inputs, s.outputs);
          else multiply_all<1>(vp, up, mp, to - from, s.inputs, s.outputs);
        }
      transform_output(s, m, bias, y, from, to);
    }
    free(v), free(m);
  }
  free(u);
}

// The gradient of the weight [outputs, inputs, 3, 3] for that of y.
PUBLIC void differentiate(const Shape* shape, const float* x, const float* g, float* weight) {
  const Shape& s = *shape;
  const long size = s.inputs * s.outputs;
  float *v = memory(PLACES * BLOCK * s.inputs), *z = memory(PLACES * BLOCK * s.outputs);
  float *u = memory(PLACES * size), *all = memory(PLACES * size);
#pragma omp parallel num_threads(s.threads) if (s.threads > 1)
  {
#pragma omp for schedule(static)
    for (long i = 0; i < PLACES * size; ++i) u[i] = all[i] = 0;
    for (long first = 0; first < s.tiles(); first += BLOCK) {
      const long count = least(BLOCK, s.tiles() - first);
#pragma omp for schedule(static)
      for (long t = first; t < first + count; t += 4) {
        transform_input(s, x, v, first, t, least(t + 4, first + count));
        transform_gradient(s, g, z, first, t, least(t + 4, first + count));
      }
#pragma omp for schedule(static)
      for (int p = 0; p < PLACES; ++p)
        for (long o = 0, width; o < s.outputs; o += width) {
          const float *vp = v + p * BLOCK * s.inputs, *zp = z + p * BLOCK * s.outputs + o;
          float* up = u + p * size + o * s.inputs;
          width = s.panel(o);
          if (width == WIDE * LANES) add_products<WIDE>(vp, zp, up, count, s.inputs, s.outputs);
          else if (width == 2 * LANES) add_products<2>(vp, zp, up, count, s.inputs, s.outputs);
          else add_products<1>(vp, zp, up, count, s.inputs, s.outputs);
        }
      if ((first / BLOCK + 1) % FOLD && first + BLOCK < s.tiles()) continue;
#pragma omp for schedule(static)
      for (long i = 0; i < PLACES * size; ++i) all[i] += u[i], u[i] = 0;
    }
  }
  weight_gradient(s, all, weight);
  free(u), free(v), free(z), free(all);
}
