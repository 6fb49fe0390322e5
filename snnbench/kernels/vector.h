// What the generated statements stand on when V is a vector of floats (GCC and Clang vector extensions).
#if defined(HALF) && defined(__F16C__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define W (BYTES / 4)
#define NOT_A_NUMBER __builtin_nanf("")
#define INFINITE __builtin_inff()
#define INLINE static inline __attribute__((always_inline))
#define EACH(i) for (int i = 0; i < W; ++i)

typedef float V __attribute__((vector_size(BYTES)));
typedef int M __attribute__((vector_size(BYTES)));
typedef unsigned U __attribute__((vector_size(BYTES)));
typedef float Loose __attribute__((vector_size(BYTES), aligned(4), may_alias));

INLINE V K(float x) { return x - V{}; }
INLINE M truth(bool b) { return M{} - int(b); }
INLINE V sel(M m, V a, V b) { return m ? a : b; }
INLINE M both(M a, M b) { return a & b; }
INLINE M either(M a, M b) { return a | b; }
INLINE M differ(M a, M b) { return a ^ b; }
INLINE M no(M a) { return ~a; }
INLINE V vabs(V a) { return (V)((M)a & 0x7fffffff); }
INLINE V vmax(V a, V b) { return (a > b) | (a != a) ? a : b; }
INLINE V vmin(V a, V b) { return (a < b) | (a != a) ? a : b; }

INLINE V fma3(V a, V b, V c) {
#if defined(__FMA__) || defined(__aarch64__)
  V r;
  EACH(i) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return r;
#else
  return a * b + c;
#endif
}

#define LANES(name, call) \
  INLINE V name(V a) { V r; EACH(i) r[i] = call(a[i]); return r; }
// Declared here, not included: the C++ headers would double the time to compile.
extern "C" {
float expm1f(float) noexcept;
float logf(float) noexcept;
float log1pf(float) noexcept;
float sinf(float) noexcept;
float cosf(float) noexcept;
float erff(float) noexcept;
float powf(float, float) noexcept;
void* malloc(unsigned long) noexcept;
void* calloc(unsigned long, unsigned long) noexcept;
void free(void*) noexcept;
void* memcpy(void*, const void*, unsigned long) noexcept;
}
LANES(vfloor, __builtin_floorf)
LANES(vceil, __builtin_ceilf)
LANES(vtrunc, __builtin_truncf)
LANES(vround, __builtin_rintf)
LANES(vsqrt, __builtin_sqrtf)
LANES(vexpm1, expm1f)
LANES(vlog, logf)
LANES(vlog1p, log1pf)
LANES(vsin, sinf)
LANES(vcos, cosf)
LANES(verf, erff)
INLINE V vpow(V a, V b) { V r; EACH(i) r[i] = powf(a[i], b[i]); return r; }

#if defined(__AVX512F__) && !defined(__clang__)
INLINE V bound(V x, float limit) {
  return __builtin_ia32_maxps512_mask(K(-limit), __builtin_ia32_minps512_mask(K(limit), x, x, -1, 4), x, -1, 4);
}
INLINE V scale(V p, V n) { return __builtin_ia32_scalefps512_mask(p, n, p, -1, 4); }
#else
INLINE V bound(V x, float limit) { return x > limit ? K(limit) : (x < -limit ? K(-limit) : x); }
// p 2^n in two halves, so that results beyond the normal range come out as subnormals, 0 or infinity.
INLINE V scale(V p, V n) {
  M whole = __builtin_convertvector(n, M), half = whole >> 1;
  return p * (V)((half + 127) << 23) * (V)((whole - half + 127) << 23);
}
#endif

// exp(x) = 2^n exp(r): n is the nearest integer to x / ln 2. Within 1 ulp of the true value where FMA exists.
INLINE V vexp(V x) {
  V bounded = bound(x, 104.0f);
  V n = fma3(bounded, K(1.44269504f), K(12582912.0f)) - 12582912.0f;
  V r = fma3(n, K(-0.693359375f), bounded);
  r = fma3(n, K(2.12194440e-4f), r);
  V p = fma3(K(1.9875691500e-4f), r, K(1.3981999507e-3f));
  p = fma3(p, r, K(8.3334519073e-3f));
  p = fma3(p, r, K(4.1665795894e-2f));
  p = fma3(p, r, K(1.6666665459e-1f));
  p = fma3(p, r, K(5.0000001201e-1f));
  return scale(fma3(p, r * r, r) + 1.0f, n);
}

// An odd polynomial near 0, 1 - 2 / (exp(2 |x|) + 1) elsewhere.
INLINE V vtanh(V x) {
  V a = vabs(x), z = x * x;
  V p = fma3(K(-5.70498872745e-3f), z, K(2.06390887954e-2f));
  p = fma3(p, z, K(-5.37397155531e-2f));
  p = fma3(p, z, K(1.33314422036e-1f));
  p = fma3(p, z, K(-3.33332819422e-1f));
  V near = fma3(p * z, x, x);
  V far = 1.0f - 2.0f / (vexp(a + a) + 1.0f);
  far = (V)((M)far | ((M)x & (M{} + (int)0x80000000)));
  return a < 0.625f ? near : far;
}

INLINE V load(const float* p) { return *(const Loose*)p; }
INLINE void store(float* p, V v) { *(Loose*)p = v; }

// A store that goes past the caches: for results larger than they are.
INLINE void stream(float* p, V v) {
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
  __builtin_ia32_movntps512(p, v);
#elif defined(__AVX__) && defined(__GNUC__) && !defined(__clang__)
  __builtin_ia32_movntps256(p, v);
#elif defined(__clang__)
  __builtin_nontemporal_store(v, (V*)p);
#else
  store(p, v);
#endif
}

typedef unsigned short Short __attribute__((vector_size(BYTES / 2), aligned(2), may_alias));
struct bfloat { unsigned short bits; };
struct half { unsigned short bits; };

INLINE V load(const bfloat* p) { return (V)(__builtin_convertvector(*(const Short*)p, U) << 16); }
INLINE void store(bfloat* p, V v) {
  U bits = (U)v;
  bits = v != v ? (U)(M{} + 0x7fc00000) : bits + 0x7fff + ((bits >> 16) & 1);
  *(Short*)p = __builtin_convertvector(bits >> 16, Short);
}
INLINE void stream(bfloat* p, V v) { store(p, v); }

#ifdef HALF
INLINE V load(const half* p) {
#if defined(__AVX512F__)
  return (V)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
#elif defined(__F16C__)
  return (V)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#else
  V r;
  EACH(i) r[i] = (float)((const _Float16*)p)[i];
  return r;
#endif
}
INLINE void store(half* p, V v) {
#if defined(__AVX512F__)
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)v, 0));
#elif defined(__F16C__)
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)v, 0));
#else
  EACH(i) ((_Float16*)p)[i] = (_Float16)v[i];
#endif
}
INLINE void stream(half* p, V v) { store(p, v); }
#endif
