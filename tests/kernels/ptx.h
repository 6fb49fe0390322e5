// What the statements that ptx.py writes stand on: registers without a type, memory that is looked after.
#include <math.h>
#include <fenv.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#pragma GCC optimize("O1")

typedef uint16_t u16, b16;
typedef uint32_t u32, b32;
typedef uint64_t u64, b64;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef float f32;
typedef double f64;
typedef bool pred;

template <class U> struct Register {  // bits; each instruction says what it takes them for
  U bits;
  template <class T> explicit operator T() const {
    static_assert(sizeof(T) == sizeof(U), "an instruction of another width");
    T value;
    memcpy(&value, &bits, sizeof value);
    return value;
  }
  template <class T> void operator=(T value) {
    static_assert(sizeof(T) <= sizeof(U), "a result wider than its register");
    bits = 0;
    memcpy(&bits, &value, sizeof value);
  }
};
typedef Register<u16> r16;
typedef Register<u32> r32;
typedef Register<u64> r64;

struct Fault { const char* what; u64 address; int bytes; };
struct Range { u64 begin, end; };
static const Range* ranges;  // that a launch may touch
static s64 number_of_ranges;
static Range own[8];  // memory of the kernel itself: constants, and what is local to the thread
static int number_of_own;
static u32 ctaid, ntid, tid;

static inline char* at(u64 address, int bytes) {
  if (address % bytes) throw Fault{"misaligned", address, bytes};
  auto within = [=](const Range& range) { return address >= range.begin && address + bytes <= range.end; };
  for (int i = 0; i < number_of_own; ++i)
    if (within(own[i])) return (char*)address;
  for (s64 i = 0; i < number_of_ranges; ++i)
    if (within(ranges[i])) return (char*)address;
  throw Fault{"out of bounds", address, bytes};
}
template <class T, class... R> static inline void load(u64 address, R&... to) {
  const char* p = at(address, sizeof(T) * sizeof...(R));
  T value;
  ((memcpy(&value, p, sizeof value), to = value, p += sizeof value), ...);
}
template <class T, class... R> static inline void store(u64 address, const R&... from) {
  char* p = at(address, sizeof(T) * sizeof...(R));
  static_assert(((sizeof(T) <= sizeof from.bits) && ...), "a store wider than its register");
  ((memcpy(p, &from.bits, sizeof(T)), p += sizeof(T)), ...);
}

// The registers of one that is several wide, the lowest first.
template <class T, class... R> static inline void split(T value, R&... to) {
  static_assert((sizeof to.bits + ...) == sizeof(T), "parts of another width");
  const char* p = (const char*)&value;
  ((memcpy(&to.bits, p, sizeof to.bits), p += sizeof to.bits), ...);
}
template <class T, class... R> static inline T joined(const R&... from) {
  static_assert((sizeof from.bits + ...) == sizeof(T), "parts of another width");
  T value;
  char* p = (char*)&value;
  ((memcpy(p, &from.bits, sizeof from.bits), p += sizeof from.bits), ...);
  return value;
}

static inline f32 larger(f32 a, f32 b) { return a != a || a > b || (a == b && signbit(b)) ? a : b; }
static inline f32 ftz(f32 a) { return fabsf(a) < 0x1p-126f ? copysignf(0, a) : a; }
static inline f32 sat(f32 a) { return a > 0 ? a < 1 ? a : 1 : 0; }
static inline f32 rounded(int direction, f32 a, f32 b, f32 c) {  // a b + c
  volatile f32 x = a, y = b, z = c;
  fesetround(direction);
  volatile f32 result = fmaf(x, y, z);
  fesetround(FE_TONEAREST);
  return result;
}

// An instruction that is exact up to a number of units in the last place, anywhere in between: by a hash of its result.
static inline f32 off(f32 a, int units) {
  if (a != a || fabsf(a) < 0x1p-120f || fabsf(a) > 0x1p120f || a == rintf(a)) return a;
  u32 bits;
  memcpy(&bits, &a, 4);
  bits += (int)((bits * 2654435761u >> 16) % (2 * units + 1)) - units;
  memcpy(&a, &bits, 4);
  return a;
}

static inline s32 to_s32(f32 a) { return a != a ? 0 : a >= 0x1p31f ? 0x7fffffff : a < -0x1p31f ? -0x7fffffff - 1 : (s32)a; }
static inline b64 inserted(b64 a, b64 b, u32 at, u32 length) {
  const b64 ones = length < 64 ? ((b64)1 << length) - 1 : ~(b64)0;
  return at < 64 ? (b & ~(ones << at)) | (a & ones) << at : b;
}
static inline f32 f16_to_f32(u16 bits) { _Float16 h; memcpy(&h, &bits, 2); return (f32)h; }
static inline u16 f32_to_f16(f32 a) { _Float16 h = (_Float16)a; u16 bits; memcpy(&bits, &h, 2); return bits; }
static inline f32 bf16_to_f32(u16 bits) { u32 wide = (u32)bits << 16; f32 a; memcpy(&a, &wide, 4); return a; }
static inline u16 f32_to_bf16(f32 a) {
  u32 bits;
  memcpy(&bits, &a, 4);
  return a != a ? 0x7fff : (u16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
