// 16x16 floats, rows to columns: weights are read as [outputs][...], and added up as vectors of outputs.

namespace {

// v[i][j] becomes v[j][i].
inline void transpose(V (&v)[LANES]) {
#ifdef __AVX512F__
  __m512 a[LANES], b[LANES];
  for (int i = 0; i < LANES; i += 2) {
    a[i] = _mm512_unpacklo_ps((__m512)v[i], (__m512)v[i + 1]);
    a[i + 1] = _mm512_unpackhi_ps((__m512)v[i], (__m512)v[i + 1]);
  }
  for (int i = 0; i < LANES; i += 4)
    for (int k = 0; k < 2; ++k) {
      const __m512d low = _mm512_castps_pd(a[i + k]), high = _mm512_castps_pd(a[i + k + 2]);
      b[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      b[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  for (int k = 0; k < 4; ++k)  // quarters of rows i, i + 4, i + 8, i + 12
    for (int half = 0; half < 2; ++half) {
      const __m512 low = b[8 * half + k], high = b[8 * half + 4 + k];
      a[8 * half + k] = _mm512_shuffle_f32x4(low, high, 0x88), a[8 * half + 4 + k] = _mm512_shuffle_f32x4(low, high, 0xdd);
    }
  for (int k = 0; k < 8; ++k) {
    const int to = k % 4 + k / 4 * 4;
    v[to] = (V)_mm512_shuffle_f32x4(a[k], a[8 + k], 0x88), v[8 + to] = (V)_mm512_shuffle_f32x4(a[k], a[8 + k], 0xdd);
  }
#else
  for (int i = 0; i < LANES; ++i)
    for (int j = 0; j < i; ++j) {
      const float kept = v[i][j];
      v[i][j] = v[j][i], v[j][i] = kept;
    }
#endif
}

}  // namespace
