// What the generated statements stand on in a CUDA thread, where V is one float. Needs no header of CUDA's.
// HALF or BFLOAT choose what x and the spikes are stored as; VEC is the number of neurons that a thread has side by side.
typedef float V;
typedef bool M;
typedef long long I;
#define INLINE static __device__ __forceinline__
#define NOT_A_NUMBER (0.0f / 0.0f)
#define INFINITE (1.0f / 0.0f)

// What a GPU has an instruction for: within 2 units in the last place, and 0 where that is below 1.2e-38.
#ifdef __CUDA_ARCH__
INLINE V inverse(V a) { V r; asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a)); return r; }
INLINE V two_to(V a) { V r; asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a)); return r; }
INLINE V quotient(V a, V b) { V r; asm("div.full.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return r; }
#else
INLINE V inverse(V a) { return 1.0f / a; }
INLINE V two_to(V a) { return exp2f(a); }
INLINE V quotient(V a, V b) { return a / b; }
#endif

INLINE V K(float x) { return x; }
INLINE M truth(bool b) { return b; }
INLINE V sel(M m, V a, V b) { return m ? a : b; }
INLINE M both(M a, M b) { return a && b; }
INLINE M either(M a, M b) { return a || b; }
INLINE M differ(M a, M b) { return a != b; }
INLINE M no(M a) { return !a; }
INLINE V fma3(V a, V b, V c) { return fmaf(a, b, c); }
#if __CUDA_ARCH__ >= 800
INLINE V vmax(V a, V b) { V r; asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return r; }
INLINE V vmin(V a, V b) { V r; asm("min.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return r; }
#else
INLINE V vmax(V a, V b) { return a > b || a != a ? a : b; }
INLINE V vmin(V a, V b) { return a < b || a != a ? a : b; }
#endif
INLINE V vabs(V a) { return fabsf(a); }
INLINE V vfloor(V a) { return floorf(a); }
INLINE V vceil(V a) { return ceilf(a); }
INLINE V vtrunc(V a) { return truncf(a); }
INLINE V vround(V a) { return rintf(a); }
INLINE V vsqrt(V a) { return sqrtf(a); }
INLINE V vexp(V a) { return expf(a); }
INLINE V vsigmoid(V a) { return inverse(1.0f + two_to(a * -1.44269504f)); }
INLINE V vexpm1(V a) { return expm1f(a); }
INLINE V vlog(V a) { return logf(a); }
INLINE V vlog1p(V a) { return log1pf(a); }
INLINE V vsin(V a) { return sinf(a); }
INLINE V vcos(V a) { return cosf(a); }
INLINE V near_tanh(V a) { return 1.0f - 2.0f * inverse(1.0f + two_to(a * 2.88539008f)); }
INLINE V vtanh(V a) { return tanhf(a); }
INLINE V verf(V a) { return erff(a); }
INLINE V vpow(V a, V b) { return powf(a, b); }

#if __CUDA_ARCH__ >= 800
#define PAIRS  // two numbers are converted by one instruction
#endif
#if defined(HALF)
typedef unsigned short IO;
INLINE V from_io(IO bits) {
#ifdef __CUDA_ARCH__
  V v;
  asm("cvt.f32.f16 %0, %1;" : "=f"(v) : "h"(bits));
  return v;
#else
  return half_to_float(bits);
#endif
}
INLINE IO to_io(V v) {
#ifdef __CUDA_ARCH__
  IO bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(v));
  return bits;
#else
  return float_to_half(v);
#endif
}
#define CONVERT "cvt.rn.f16x2.f32"
#elif defined(BFLOAT)
typedef unsigned short IO;
union Bits { V v; unsigned bits; };
INLINE V from_io(IO half) { Bits b; b.bits = (unsigned)half << 16; return b.v; }
INLINE IO to_io(V v) {
#if __CUDA_ARCH__ >= 800
  IO half;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(half) : "f"(v));
  return half;
#else
  Bits b;
  b.v = v;
  return v != v ? 0x7fc0 : (IO)((b.bits + 0x7fff + ((b.bits >> 16) & 1)) >> 16);
#endif
}
#define CONVERT "cvt.rn.bf16x2.f32"
#else
typedef float IO;
INLINE V from_io(IO v) { return v; }
INLINE IO to_io(V v) { return v; }
#endif

#define EACH(j) _Pragma("unroll") for (int j = 0; j < VEC; ++j)

// VEC neurons side by side, read or written in one access.
struct alignas(VEC * sizeof(IO)) Pack { IO at[VEC]; };
INLINE Pack get(const IO* p) { return *(const Pack*)p; }
INLINE void numbers(V* v, Pack in) { EACH(j) v[j] = from_io(in.at[j]); }
INLINE void put(IO* p, const V* v) {
#if defined(PAIRS) && defined(CONVERT) && VEC > 1
  struct alignas(VEC * sizeof(IO)) { unsigned at[VEC / 2]; } pairs;
  _Pragma("unroll") for (int j = 0; j < VEC; j += 2)
    asm(CONVERT " %0, %1, %2;" : "=r"(pairs.at[j / 2]) : "f"(v[j + 1]), "f"(v[j]));
  *(decltype(pairs)*)p = pairs;
#else
  Pack out;
  EACH(j) out.at[j] = to_io(v[j]);
  *(Pack*)p = out;
#endif
}

// Whether there is a tensor; asked anew each time, where the compiler would else write a loop once for either answer.
INLINE bool there(const void* p) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+l"(p));
#endif
  return p;
}

// The same for states; a null pointer means zeros, or a result that nobody wants.
constexpr int WIDE = VEC < 4 ? VEC : 4;
struct alignas(WIDE * sizeof(V)) Wide { V at[WIDE]; };
#define BLOCKS(j) _Pragma("unroll") for (int j = 0; j < VEC; j += WIDE)
INLINE void get_state(V* v, const V* p, unsigned i) {
  EACH(j) v[j] = 0.0f;
  if (there(p)) BLOCKS(j) {
    const Wide some = *(const Wide*)(p + i + j);
    _Pragma("unroll") for (int k = 0; k < WIDE; ++k) v[j + k] = some.at[k];
  }
}
INLINE void put_state(V* p, const V* v, unsigned i) {
  if (there(p)) BLOCKS(j) {
    Wide some;
    _Pragma("unroll") for (int k = 0; k < WIDE; ++k) some.at[k] = v[j + k];
    *(Wide*)(p + i + j) = some;
  }
}

// The channels of neurons side by side: the first's, and how many neurons of it stand before.
INLINE void channels_of(unsigned* channel, unsigned first, I before, I inner, I channels) {
  EACH(j) {
    channel[j] = first;
    if (++before < inner) continue;
    before = 0;
    first = first + 1 < channels ? first + 1 : 0;
  }
}
