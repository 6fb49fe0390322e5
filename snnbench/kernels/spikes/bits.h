// A tensor of zeros and ones, packed into words of 64 channels, and back.

namespace {

// The bits of 16 floats that are not 0; `odd` where one is neither 0 nor 1.
inline Word look(const float* p, bool& odd) {
#if defined(__AVX512F__)
  const __m512 v = _mm512_loadu_ps(p);
  const __mmask16 set = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  odd |= _mm512_mask_cmp_ps_mask(set, v, _mm512_set1_ps(1.0f), _CMP_NEQ_UQ) != 0;
  return set;
#elif defined(__AVX2__)
  Word bits = 0;
  for (int half = 0; half < 2; ++half) {
    const __m256 v = _mm256_loadu_ps(p + 8 * half);
    const __m256 set = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    odd |= _mm256_movemask_ps(_mm256_and_ps(set, _mm256_cmp_ps(v, _mm256_set1_ps(1.0f), _CMP_NEQ_UQ))) != 0;
    bits |= (Word)_mm256_movemask_ps(set) << (8 * half);
  }
  return bits;
#else
  Word bits = 0;
  for (long i = 0; i < LANES; ++i) bits |= (Word)(p[i] != 0.0f) << i, odd |= p[i] != 0.0f && p[i] != 1.0f;
  return bits;
#endif
}

// A position's channels lie side by side.
bool pack_last(const float* x, Word* bits, long channels, long words, long begin, long end) {
  bool odd = false;
  for (long r = begin; r < end && !odd; ++r)
    for (long b = 0; b < words; ++b) {
      const float* p = x + r * channels + b * WORD;
      const long n = least(channels - b * WORD, WORD);
      Word word = 0;
      long i = 0;
      for (; i + LANES <= n; i += LANES) word |= look(p + i, odd) << i;
      for (; i < n; ++i) word |= (Word)(p[i] != 0.0f) << i, odd |= p[i] != 0.0f && p[i] != 1.0f;
      bits[r * words + b] = word;
    }
  return odd;
}

// A channel's pixels lie side by side: 16 pixels of 64 channels at a time.
bool pack_first(const float* x, Word* bits, long channels, long words, long pixels, long begin, long end) {
  typedef int I __attribute__((vector_size(64)));
  bool odd = false;
  for (long n = begin; n < end && !odd; ++n)
    for (long b = 0; b < words; ++b)
      for (long first = 0; first < pixels; first += LANES) {
        const long live = least(pixels - first, LANES), count = least(channels - b * WORD, WORD);
        const float* p = x + (n * channels + b * WORD) * pixels + first;
        I low = {}, high = {}, wrong = {};
        for (long c = 0; c < count; ++c) {
          V v = {};
          if (live == LANES) v = *(const U*)(p + c * pixels);
          else for (long i = 0; i < live; ++i) v[i] = p[c * pixels + i];
          const I set = v != 0.0f;
          wrong |= set & (v != 1.0f);
          (c < 32 ? low : high) |= set & (int)(1u << (c & 31));
        }
        for (long i = 0; i < LANES; ++i) odd |= wrong[i] != 0;
        for (long i = 0; i < live; ++i)
          bits[(n * pixels + first + i) * words + b] = (Word)(unsigned)low[i] | (Word)(unsigned)high[i] << 32;
      }
  return odd;
}

}  // namespace

// x [n, channels, pixels], or [n, pixels, channels] where `last`. The number of ones; -1 where a value is neither 0 nor 1.
PUBLIC long pack(const float* x, Word* bits, long n, long channels, long pixels, long last, long threads) {
  const long words = (channels + WORD - 1) / WORD, items = last ? n * pixels : n, step = last ? 1024 : 1;
  bool odd = false;
  long ones = 0;
#pragma omp parallel for num_threads(threads) reduction(|| : odd) reduction(+ : ones) if (threads > 1)
  for (long begin = 0; begin < items; begin += step) {
    if (odd) continue;
    const long end = least(begin + step, items), size = last ? words : words * pixels;
    odd = last ? pack_last(x, bits, channels, words, begin, end) : pack_first(x, bits, channels, words, pixels, begin, end);
    for (long i = begin * size; i < end * size && !odd; ++i) ones += __builtin_popcountl(bits[i]);
  }
  return odd ? -1 : ones;
}

PUBLIC void unpack(const Word* bits, float* x, long n, long channels, long pixels, long last, long threads) {
  const long words = (channels + WORD - 1) / WORD;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (long i = 0; i < n; ++i)
    for (long b = 0; b < words; ++b)
      for (long first = 0; first < pixels; first += WORD) {
        const long live = least(pixels - first, WORD), count = least(channels - b * WORD, WORD);
        Word near[WORD];
        for (long p = 0; p < live; ++p) near[p] = bits[(i * pixels + first + p) * words + b];
        if (last)
          for (long p = 0; p < live; ++p) {
            float* to = x + (i * pixels + first + p) * channels + b * WORD;
            for (long c = 0; c < count; ++c) to[c] = (float)(int)(near[p] >> c & 1);
          }
        else
          for (long c = 0; c < count; ++c) {
            float* to = x + (i * channels + b * WORD + c) * pixels + first;
            for (long p = 0; p < live; ++p) to[p] = (float)(int)(near[p] >> c & 1);
          }
      }
}
