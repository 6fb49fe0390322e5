// Maximum pools, and averages of 2x2 values: y [n, channels, rows, columns] of x [n, channels, height, width].
//
// A window's values are met in the order of its rows and columns, and windows give their gradients in theirs, which is
// PyTorch's. A task is a plane, or an image whose channels lie last: its order depends on no threads.

namespace {

typedef int I __attribute__((vector_size(64)));
typedef unsigned char Tap;  // which of its window's values a maximum is, along rows from where the window begins
typedef Tap Taps __attribute__((vector_size(LANES)));
constexpr float LOWEST = -__builtin_inff();

struct Pool {
  long n, channels, height, width, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, rows, columns, threads;
};

// What the window of a row or column of the output covers.
struct Side {
  long first, begin, end;
  Side(long at, long kernel, long stride, long padding, long length)
      : first(at * stride - padding), begin(std::max(first, 0L)), end(least(first + kernel, length)) {}
};

// One more value of a window: the first maximum stays, and a nan is above all.
inline void meet(V& best, I& tap, V v, long here) {
  const I above = (v > best) | (v != v);
  best = above ? v : best, tap = above ? (I{} + (int)here) : tap;
}

inline void meet(float& best, Tap& tap, float v, long here) {
  const bool above = (v > best) | (v != v);
  best = above ? v : best, tap = above ? here : tap;
}

inline I get(const Tap* p) {
  Taps small;
  __builtin_memcpy(&small, p, LANES);
  return __builtin_convertvector(small, I);
}

inline void put(Tap* p, I tap) {
  const Taps small = __builtin_convertvector(tap, Taps);
  __builtin_memcpy(p, &small, LANES);
}

// Every second of 31 numbers; and two vectors into 32 numbers, in turn.
#ifdef __AVX512F__
inline V second(const float* p) {
  const __m512i which = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 14, 12, 10, 8, 6, 4, 2, 0);
  return (V)_mm512_permutex2var_ps(_mm512_loadu_ps(p), which, _mm512_loadu_ps(p + LANES - 1));
}
inline void join(float* p, V even, V odd) {
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  _mm512_storeu_ps(p, _mm512_permutex2var_ps((__m512)even, low, (__m512)odd));
  _mm512_storeu_ps(p + LANES, _mm512_permutex2var_ps((__m512)even, _mm512_add_epi32(low, _mm512_set1_epi32(8)), (__m512)odd));
}
#else
inline V second(const float* p) {
  V v;
  for (long i = 0; i < LANES; ++i) v[i] = p[2 * i];
  return v;
}
inline void join(float* p, V even, V odd) {
  for (long i = 0; i < LANES; ++i) p[2 * i] = even[i], p[2 * i + 1] = odd[i];
}
#endif

// 16 NV channels of one output.
template <int NV> inline void maximum(const Pool& s, const Side& h, const Side& w, const float* x, float* y, Tap* taps) {
  V best[NV];
  I tap[NV];
  for (int k = 0; k < NV; ++k)
    best[k] = V{} + LOWEST, tap[k] = I{} + (int)((h.begin - h.first) * s.kernel_w + w.begin - w.first);
  for (long i = h.begin; i < h.end; ++i)
    for (long j = w.begin; j < w.end; ++j)
      for (int k = 0; k < NV; ++k)
        meet(best[k], tap[k], ((const U*)(x + (i * s.width + j) * s.channels))[k],
             (i - h.first) * s.kernel_w + j - w.first);
  for (int k = 0; k < NV; ++k) ((U*)y)[k] = best[k], put(taps + k * LANES, tap[k]);
}

void maximum_last(const Pool& s, const float* x, float* y, Tap* taps) {
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long r = 0; r < s.n * s.rows; ++r) {
    const Side h(r % s.rows, s.kernel_h, s.stride_h, s.pad_h, s.height);
    const float* image = x + r / s.rows * s.height * s.width * s.channels;
    for (long column = 0; column < s.columns; ++column) {
      const Side w(column, s.kernel_w, s.stride_w, s.pad_w, s.width);
      const long to = (r * s.columns + column) * s.channels;
      long c = 0;
      for (; c + 4 * LANES <= s.channels; c += 4 * LANES) maximum<4>(s, h, w, image + c, y + to + c, taps + to + c);
      for (; c + LANES <= s.channels; c += LANES) maximum<1>(s, h, w, image + c, y + to + c, taps + to + c);
      for (; c < s.channels; ++c) {
        float best = LOWEST;
        Tap tap = (h.begin - h.first) * s.kernel_w + w.begin - w.first;
        for (long i = h.begin; i < h.end; ++i)
          for (long j = w.begin; j < w.end; ++j)
            meet(best, tap, image[(i * s.width + j) * s.channels + c], (i - h.first) * s.kernel_w + j - w.first);
        y[to + c] = best, taps[to + c] = tap;
      }
    }
  }
}

// 16 columns at a time, of rows with a border that no value is below.
void maximum_first(const Pool& s, const float* x, float* y, Tap* taps) {
  const long length = s.pad_w + std::max(s.width, (s.columns + LANES) * s.stride_w) + s.kernel_w + LANES;
#pragma omp parallel num_threads(s.threads) if (s.threads > 1)
  {
    std::vector<float> rows(s.kernel_h * length, LOWEST);
#pragma omp for
    for (long r = 0; r < s.n * s.channels * s.rows; ++r) {
      const Side h(r % s.rows, s.kernel_h, s.stride_h, s.pad_h, s.height);
      const float* plane = x + r / s.rows * s.height * s.width;
      for (long i = h.begin; i < h.end; ++i)
        std::copy_n(plane + i * s.width, s.width, &rows[(i - h.begin) * length + s.pad_w]);
      for (long column = 0; column < s.columns; column += LANES) {
        const long to = r * s.columns + column, live = least(LANES, s.columns - column);
        V best = V{} + LOWEST;
        I tap;
        for (long k = 0; k < LANES; ++k)  // the first that is no border
          tap[k] = (h.begin - h.first) * s.kernel_w + std::max(0L, s.pad_w - (column + k) * s.stride_w);
        for (long i = h.begin; i < h.end; ++i)
          for (long j = 0; j < s.kernel_w; ++j) {
            const float* from = &rows[(i - h.begin) * length + column * s.stride_w + j];
            V v;
            if (s.stride_w == 1) v = *(const U*)from;
            else if (s.stride_w == 2) v = second(from);
            else for (long k = 0; k < LANES; ++k) v[k] = from[k * s.stride_w];
            meet(best, tap, v, (i - h.first) * s.kernel_w + j);
          }
        const Taps small = __builtin_convertvector(tap, Taps);
        __builtin_memcpy(y + to, &best, live * sizeof(float)), __builtin_memcpy(taps + to, &small, live);
      }
    }
  }
}

// Of an image whose channels lie last, and whose windows do not overlap.
void maximum_apart(const Pool& s, const float* g, const Tap* taps, float* gx) {
  for (long at = 0; at < s.rows * s.columns; ++at) {
    const Side h(at / s.columns, s.kernel_h, s.stride_h, s.pad_h, s.height);
    const Side w(at % s.columns, s.kernel_w, s.stride_w, s.pad_w, s.width);
    for (long i = h.begin; i < h.end; ++i)
      for (long j = w.begin; j < w.end; ++j) {
        float* to = gx + (i * s.width + j) * s.channels;
        const long from = at * s.channels;
        const int here = (i - h.first) * s.kernel_w + j - w.first;
        long c = 0;
        for (; c + LANES <= s.channels; c += LANES)
          *(U*)(to + c) = get(taps + from + c) == here ? *(const U*)(g + from + c) : U{};
        for (; c < s.channels; ++c) to[c] = taps[from + c] == here ? g[from + c] : 0.0f;
      }
  }
}

// A plane's, or an image's, gradient: each output's goes to the input that it was.
void maximum_back(const Pool& s, const float* g, const Tap* taps, float* gx, bool last) {
  const long tasks = last ? s.n : s.n * s.channels, side = last ? s.channels : 1, size = s.height * s.width * side;
  const bool apart = last && s.stride_h >= s.kernel_h && s.stride_w >= s.kernel_w;
  std::vector<long> offset(s.kernel_h * s.kernel_w);
  for (long tap = 0; tap < (long)offset.size(); ++tap) offset[tap] = (tap / s.kernel_w * s.width + tap % s.kernel_w) * side;
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long task = 0; task < tasks; ++task) {
    float* to = gx + task * size;
    std::fill_n(to, size, 0.0f);
    if (apart) {
      maximum_apart(s, g + task * s.rows * s.columns * side, taps + task * s.rows * s.columns * side, to);
      continue;
    }
    for (long at = 0; at < s.rows * s.columns; ++at) {
      float* window = to + ((at / s.columns * s.stride_h - s.pad_h) * s.width + at % s.columns * s.stride_w - s.pad_w) * side;
      const long from = (task * s.rows * s.columns + at) * side;
      for (long c = 0; c < side; ++c) window[c + offset[taps[from + c]]] += g[from + c];
    }
  }
}

// Windows of 2x2 values that do not overlap; at the end of a side of odd length they may be smaller.
void average_pairs(const Pool& s, const float* x, float* y) {
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long r = 0; r < s.n * s.channels * s.rows; ++r) {
    const Side h(r % s.rows, 2, 2, 0, s.height);
    const float* plane = x + r / s.rows * s.height * s.width;
    float* to = y + r * s.columns;
    long column = 0;
    for (; column + LANES <= s.width / 2; column += LANES) {
      V sum = {};
      for (long i = h.begin; i < h.end; ++i)
        for (long j = 0; j < 2; ++j) sum += second(plane + i * s.width + 2 * column + j);
      *(U*)(to + column) = sum / (float)(2 * (h.end - h.begin));
    }
    for (; column < s.columns; ++column) {
      const Side w(column, 2, 2, 0, s.width);
      float sum = 0.0f;
      for (long i = h.begin; i < h.end; ++i)
        for (long j = w.begin; j < w.end; ++j) sum += plane[i * s.width + j];
      to[column] = sum / (float)((h.end - h.begin) * (w.end - w.begin));
    }
  }
}

void average_pairs_back(const Pool& s, const float* g, float* gx) {
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long r = 0; r < s.n * s.channels * s.height; ++r) {
    const long row = r % s.height / 2;
    const Side h(row, 2, 2, 0, s.height);
    float* to = gx + r * s.width;
    const float* from = g + (r / s.height * s.rows + row) * s.columns;
    long column = 0;
    for (; row < s.rows && column + LANES <= s.width / 2; column += LANES) {
      const V share = *(const U*)(from + column) / (float)(2 * (h.end - h.begin));
      join(to + 2 * column, share, share);
    }
    for (column *= 2; column < s.width; ++column) {
      const Side w(column / 2, 2, 2, 0, s.width);
      const bool met = row < s.rows && column / 2 < s.columns;
      to[column] = met ? from[column / 2] / (float)((h.end - h.begin) * (w.end - w.begin)) : 0.0f;
    }
  }
}

}  // namespace

PUBLIC void maximum_pool(const Pool& s, const float* x, float* y, Tap* taps, long last) {
  last ? maximum_last(s, x, y, taps) : maximum_first(s, x, y, taps);
}

PUBLIC void maximum_unpool(const Pool& s, const float* g, const Tap* taps, float* gx, long last) {
  maximum_back(s, g, taps, gx, last);
}
