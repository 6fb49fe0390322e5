// What the generated statements stand on when V is a few floats (GCC and Clang vector extensions).
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
#define W (BYTES / 2)
#define NOT_A_NUMBER __builtin_nanf("")
#define INFINITE __builtin_inff()
#define INLINE static inline __attribute__((always_inline))
#define EACH(i) for (int i = 0; i < BYTES / 4; ++i)

typedef float F __attribute__((vector_size(BYTES)));
typedef int I __attribute__((vector_size(BYTES)));
typedef unsigned U __attribute__((vector_size(BYTES)));
typedef float Loose __attribute__((vector_size(BYTES), aligned(4), may_alias));

// Two registers side by side: a step is one long chain of operations, and what one register waits for, the other fills.
struct V { F a, b; };
struct M { I a, b; };

INLINE V K(float x) { return {x - F{}, x - F{}}; }
INLINE M truth(bool b) { return {I{} - int(b), I{} - int(b)}; }

#define BINARY(Result, Operand, op) \
  INLINE Result operator op(Operand x, Operand y) { return {x.a op y.a, x.b op y.b}; }
BINARY(V, V, +)
BINARY(V, V, -)
BINARY(V, V, *)
BINARY(V, V, /)
BINARY(M, V, <)
BINARY(M, V, <=)
BINARY(M, V, >)
BINARY(M, V, >=)
BINARY(M, V, ==)
BINARY(M, V, !=)
BINARY(M, M, &)
BINARY(M, M, |)
BINARY(M, M, ^)
INLINE V operator-(V x) { return {-x.a, -x.b}; }
INLINE V& operator+=(V& x, V y) { return x = x + y; }

INLINE V sel(M m, V x, V y) { return {m.a ? x.a : y.a, m.b ? x.b : y.b}; }
INLINE M both(M x, M y) { return x & y; }
INLINE M either(M x, M y) { return x | y; }
INLINE M differ(M x, M y) { return x ^ y; }
INLINE M no(M x) { return {~x.a, ~x.b}; }
INLINE V vmax(V x, V y) { return sel((x > y) | (x != x), x, y); }
INLINE V vmin(V x, V y) { return sel((x < y) | (x != x), x, y); }

// From one register to both.
#define UNARY(name) \
  INLINE V name(V x) { return {name(x.a), name(x.b)}; }

INLINE F vabs(F x) { return (F)((I)x & 0x7fffffff); }
UNARY(vabs)

INLINE F fma3(F a, F b, F c) {
#if defined(__FMA__) || defined(__aarch64__)
  F r;
  EACH(i) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return r;
#else
  return a * b + c;
#endif
}
INLINE V fma3(V x, V y, V z) { return {fma3(x.a, y.a, z.a), fma3(x.b, y.b, z.b)}; }

#define LANES(name, call) \
  INLINE F name(F a) { F r; EACH(i) r[i] = call(a[i]); return r; } \
  UNARY(name)
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
INLINE F vpow(F a, F b) { F r; EACH(i) r[i] = powf(a[i], b[i]); return r; }
INLINE V vpow(V x, V y) { return {vpow(x.a, y.a), vpow(x.b, y.b)}; }

#if defined(__AVX512F__) && !defined(__clang__)
INLINE F bound(F x, float limit) {
  const F high = limit - F{};
  return __builtin_ia32_maxps512_mask(-high, __builtin_ia32_minps512_mask(high, x, x, -1, 4), x, -1, 4);
}
// 2^(i / 16)
static const F ROOTS = {1.0f, 1.04427373f, 1.09050775f, 1.13878858f,
                        1.18920708f, 1.24185777f, 1.29683959f, 1.35425556f,
                        1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f,
                        1.68179286f, 1.75625217f, 1.8340081f, 1.91520655f};

// exp(x) = 2^n exp(r): n is the multiple of 1/16 nearest to x / ln 2, and 2^(n - floor(n)) stands in ROOTS. At most
// 1.1 ulp from the true value.
INLINE F vexp(F x) {
  x = bound(x, 104.0f);
  const F near = fma3(x, 1.44269504f - F{}, 786432.0f - F{}), n = near - 786432.0f;
  const F r = fma3(n, 2.12194440e-4f - F{}, fma3(n, -0.693359375f - F{}, x));
  const F p = fma3(fma3(r, 0.166666667f - F{}, 0.5f - F{}), r * r, r), root = __builtin_shuffle(ROOTS, (I)near);
  return __builtin_ia32_scalefps512_mask(fma3(root, p, root), n, x, -1, 4);
}
#else
INLINE F bound(F x, float limit) { return x > limit ? limit - F{} : (x < -limit ? -limit - F{} : x); }
// p 2^n in two halves, so that results beyond the normal range come out as subnormals, 0 or infinity.
INLINE F scale(F p, F n) {
  I whole = __builtin_convertvector(n, I), half = whole >> 1;
  return p * (F)((half + 127) << 23) * (F)((whole - half + 127) << 23);
}

// exp(x) = 2^n exp(r): n is the nearest integer to x / ln 2. Within 1 ulp of the true value where FMA exists.
INLINE F vexp(F x) {
  x = bound(x, 104.0f);
  const F n = fma3(x, 1.44269504f - F{}, 12582912.0f - F{}) - 12582912.0f;
  const F r = fma3(n, 2.12194440e-4f - F{}, fma3(n, -0.693359375f - F{}, x));
  F p = fma3(1.9875691500e-4f - F{}, r, 1.3981999507e-3f - F{});
  p = fma3(p, r, 8.3334519073e-3f - F{});
  p = fma3(p, r, 4.1665795894e-2f - F{});
  p = fma3(p, r, 1.6666665459e-1f - F{});
  p = fma3(p, r, 5.0000001201e-1f - F{});
  return scale(fma3(p, r * r, r) + 1.0f, n);
}
#endif

UNARY(vexp)
INLINE V vsigmoid(V x) { return K(1.0f) / (K(1.0f) + vexp(-x)); }

INLINE F signed_as(F size, F x) { return (F)((I)size | ((I)x & (I{} + (int)0x80000000))); }

// An odd polynomial near 0, 1 - 2 / (exp(2 |x|) + 1) elsewhere.
INLINE V vtanh(V x) {
  V size = vabs(x), z = x * x;
  V p = fma3(K(-5.70498872745e-3f), z, K(2.06390887954e-2f));
  p = fma3(p, z, K(-5.37397155531e-2f));
  p = fma3(p, z, K(1.33314422036e-1f));
  p = fma3(p, z, K(-3.33332819422e-1f));
  V near = fma3(p * z, x, x);
  V far = K(1.0f) - K(2.0f) / (vexp(size + size) + K(1.0f));
  return sel(size < K(0.625f), near, {signed_as(far.a, x.a), signed_as(far.b, x.b)});
}

INLINE F part(const float* p) { return *(const Loose*)p; }
INLINE void store(float* p, F v) { *(Loose*)p = v; }

// A store that goes past the caches: for results larger than they are.
INLINE void stream(float* p, F v) {
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
  __builtin_ia32_movntps512(p, v);
#elif defined(__AVX__) && defined(__GNUC__) && !defined(__clang__)
  __builtin_ia32_movntps256(p, v);
#elif defined(__clang__)
  __builtin_nontemporal_store(v, (F*)p);
#else
  store(p, v);
#endif
}

typedef unsigned short Short __attribute__((vector_size(BYTES / 2), aligned(2), may_alias));
struct bfloat { unsigned short bits; };
struct half { unsigned short bits; };

INLINE F part(const bfloat* p) { return (F)(__builtin_convertvector(*(const Short*)p, U) << 16); }
INLINE void store(bfloat* p, F v) {
  U bits = (U)v;
  bits = v != v ? (U)(I{} + 0x7fc00000) : bits + 0x7fff + ((bits >> 16) & 1);
  *(Short*)p = __builtin_convertvector(bits >> 16, Short);
}
INLINE void stream(bfloat* p, F v) { store(p, v); }

#ifdef HALF
INLINE F part(const half* p) {
#if defined(__AVX512F__)
  return (F)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
#elif defined(__F16C__)
  return (F)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#else
  F r;
  EACH(i) r[i] = (float)((const _Float16*)p)[i];
  return r;
#endif
}
INLINE void store(half* p, F v) {
#if defined(__AVX512F__)
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)v, 0));
#elif defined(__F16C__)
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)v, 0));
#else
  EACH(i) ((_Float16*)p)[i] = (_Float16)v[i];
#endif
}
INLINE void stream(half* p, F v) { store(p, v); }
#endif

template <class Number> INLINE V load(const Number* p) { return {part(p), part(p + BYTES / 4)}; }
template <class Number> INLINE void store(Number* p, V v) { store(p, v.a); store(p + BYTES / 4, v.b); }
template <class Number> INLINE void stream(Number* p, V v) { stream(p, v.a); stream(p + BYTES / 4, v.b); }
// Have the next block's input on its way while this one is worked on.
template <class Number> INLINE void fetch(const Number* p) {
  for (unsigned long line = 0; line < W * sizeof(Number); line += 64) __builtin_prefetch((const char*)p + line);
}
