// CUDA's words in C++, so that a kernel's text runs on a CPU.
#include <math.h>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct Dim { unsigned x, y, z; };
static thread_local Dim blockIdx, threadIdx, blockDim, gridDim;

static inline float half_to_float(unsigned short bits) { return (float)*(const _Float16*)&bits; }
static inline unsigned short float_to_half(float v) { _Float16 h = (_Float16)v; return *(unsigned short*)&h; }

// Calls a kernel with an array of 8 bytes for each parameter.
template <int... I> struct Places {};
template <int N, int... I> struct Count : Count<N - 1, N - 1, I...> {};
template <int... I> struct Count<0, I...> { typedef Places<I...> Up; };

template <class... P, int... I> static void call(void (*kernel)(P...), const long long* a, Places<I...>) {
  kernel((P)a[I]...);
}
template <class... P> static void call(void (*kernel)(P...), const long long* a) {
  call(kernel, a, typename Count<sizeof...(P)>::Up());
}
