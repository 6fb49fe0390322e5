// What the generated statements stand on in a CUDA thread, where V is one float. Needs no header of CUDA's.
// HALF or BFLOAT choose what x and the spikes are stored as; VEC is the number of neurons that a thread has side by side.
typedef float V;
typedef bool M;
typedef long long I;
#define INLINE static __device__ __forceinline__
#define NOT_A_NUMBER (0.0f / 0.0f)
#define INFINITE (1.0f / 0.0f)

INLINE V K(float x) { return x; }
INLINE M truth(bool b) { return b; }
INLINE V sel(M m, V a, V b) { return m ? a : b; }
INLINE M both(M a, M b) { return a && b; }
INLINE M either(M a, M b) { return a || b; }
INLINE M differ(M a, M b) { return a != b; }
INLINE M no(M a) { return !a; }
INLINE V fma3(V a, V b, V c) { return fmaf(a, b, c); }
INLINE V vmax(V a, V b) { return a > b || a != a ? a : b; }
INLINE V vmin(V a, V b) { return a < b || a != a ? a : b; }
INLINE V vabs(V a) { return fabsf(a); }
INLINE V vfloor(V a) { return floorf(a); }
INLINE V vceil(V a) { return ceilf(a); }
INLINE V vtrunc(V a) { return truncf(a); }
INLINE V vround(V a) { return rintf(a); }
INLINE V vsqrt(V a) { return sqrtf(a); }
INLINE V vexp(V a) { return expf(a); }
INLINE V vsigmoid(V a) { return 1.0f / (1.0f + expf(-a)); }
INLINE V vexpm1(V a) { return expm1f(a); }
INLINE V vlog(V a) { return logf(a); }
INLINE V vlog1p(V a) { return log1pf(a); }
INLINE V vsin(V a) { return sinf(a); }
INLINE V vcos(V a) { return cosf(a); }
INLINE V vtanh(V a) { return tanhf(a); }
INLINE V verf(V a) { return erff(a); }
INLINE V vpow(V a, V b) { return powf(a, b); }

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
#elif defined(BFLOAT)
typedef unsigned short IO;
union Bits { V v; unsigned bits; };
INLINE V from_io(IO half) { Bits b; b.bits = (unsigned)half << 16; return b.v; }
INLINE IO to_io(V v) {
  Bits b;
  b.v = v;
  return v != v ? 0x7fc0 : (IO)((b.bits + 0x7fff + ((b.bits >> 16) & 1)) >> 16);
}
#else
typedef float IO;
INLINE V from_io(IO v) { return v; }
INLINE IO to_io(V v) { return v; }
#endif

// VEC neurons side by side, read or written in one access.
struct alignas(VEC * sizeof(IO)) Pack { IO at[VEC]; };
INLINE Pack get(const IO* p) { return *(const Pack*)p; }
#define EACH(j) _Pragma("unroll") for (int j = 0; j < VEC; ++j)
