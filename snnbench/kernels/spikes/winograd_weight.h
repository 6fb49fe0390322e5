// The gradient of the weight of a convolution as in winograd.h, by the transposed products: with the output's gradient e
// of 2x2 places and the inputs d of 4x4, G' (sum over tiles of (B' d B) * (A e A')) G.

#if defined(__AVX512F__) || defined(__FMA__)

namespace {

struct WeightGradient {
  static constexpr long FOLD = 64;  // so many tasks are added up before their sum is added to that of all
  const Winograd w;

  // A e A' of some tiles, [16][most][outputs].
  void spread(const float* g, long first, long from, long to, float* z) const {
    const long step = w.most() * w.outputs;
    for (long tile = first + from; tile < first + to; ++tile) {
      const long row = tile / w.across(), h = row % w.down() * 2, l = tile % w.across() * 2;
      const float* image = g + row / w.down() * w.height * w.width * w.outputs;
      for (long o = 0; o < w.outputs; o += LANES) {
        V e[2][2], t[4][2];
        UNROLL for (int i = 0; i < 2; ++i)
          UNROLL for (int j = 0; j < 2; ++j) {
            const bool in = h + i < w.height && l + j < w.width;
            e[i][j] = in ? *(const U*)(image + ((h + i) * w.width + l + j) * w.outputs + o) : V{};
          }
        UNROLL for (int j = 0; j < 2; ++j)
          t[0][j] = e[0][j], t[1][j] = e[0][j] + e[1][j], t[2][j] = e[0][j] - e[1][j], t[3][j] = -e[1][j];
        float* at = z + (tile - first) * w.outputs + o;
        UNROLL for (int i = 0; i < 4; ++i, at += 4 * step) {
          *(V*)at = t[i][0], *(V*)(at + step) = t[i][0] + t[i][1];
          *(V*)(at + 2 * step) = t[i][0] - t[i][1], *(V*)(at + 3 * step) = -t[i][1];
        }
      }
    }
  }

  // u[input][output] += sum over tiles of v[tile][input] z[tile][output], ROWS times NV vectors of outputs.
  template <int ROWS, int NV> void product(const float* v, const float* z, float* u, long count) const {
    constexpr int N = NV * PARTS;
    R sum[ROWS][N] = {};
    for (long t = 0; t < count; ++t) {
      R b[N];
      UNROLL for (int j = 0; j < N; ++j) b[j] = ((const R*)(z + t * w.outputs))[j];
      UNROLL for (int i = 0; i < ROWS; ++i) {
        const R a = v[t * w.inputs + i] - R{};
        UNROLL for (int j = 0; j < N; ++j) sum[i][j] = fma(a, b[j], sum[i][j]);
      }
    }
    UNROLL for (int i = 0; i < ROWS; ++i)
      UNROLL for (int j = 0; j < N; ++j) ((R*)(u + i * NV * LANES))[j] += sum[i][j];
  }

  template <int NV> void products(const float* v, const float* z, float* u, long count) const {
    long i = 0;
    for (; i + 6 <= w.inputs; i += 6) product<6, NV>(v + i, z, u + i * NV * LANES, count);
    for (; i < w.inputs; ++i) product<1, NV>(v + i, z, u + i * NV * LANES, count);
  }

  // Of the sums, which lie as Winograd::arrange lays weights: [outputs, inputs, 3, 3].
  void finish(const float* u, float* gw) const {
    const long size = w.inputs * w.outputs;
#pragma omp parallel for num_threads(w.threads) if (w.threads > 1)
    for (long input = 0; input < w.inputs; ++input)
      for (long o = 0; o < w.outputs; o += LANES) {
        const long block = o / (LANES * WIDE) * LANES * WIDE, wide = least(w.outputs - block, LANES * WIDE);
        const float* at = u + block * w.inputs + input * wide + o - block;
        V t[3][4], g[9];
        UNROLL for (int j = 0; j < 4; ++j) {
          V a[4];
          UNROLL for (int i = 0; i < 4; ++i) a[i] = *(const V*)(at + (4 * i + j) * size);
          const V half = 0.5f * (a[1] + a[2]);
          t[0][j] = a[0] + half, t[1][j] = 0.5f * (a[1] - a[2]), t[2][j] = half + a[3];
        }
        UNROLL for (int i = 0; i < 3; ++i) {
          const V half = 0.5f * (t[i][1] + t[i][2]);
          g[3 * i] = t[i][0] + half, g[3 * i + 1] = 0.5f * (t[i][1] - t[i][2]), g[3 * i + 2] = half + t[i][3];
        }
        for (long k = 0; k < LANES; ++k)
          for (int j = 0; j < 9; ++j) gw[((o + k) * w.inputs + input) * 9 + j] = g[j][k];
      }
  }

  void run(const float* x, const float* g, float* gw) const {
    const long size = w.inputs * w.outputs, tiles = w.n * w.down() * w.across(), most = w.most();
    const Scratch<float> part(16 * size), all(16 * size), v(16 * most * w.inputs), z(16 * most * w.outputs);
#pragma omp parallel num_threads(w.threads) if (w.threads > 1)
    {
#pragma omp for schedule(static)
      for (long i = 0; i < 16 * size; ++i) part.data[i] = all.data[i] = 0;
      for (long first = 0; first < tiles; first += most) {
        const long count = least(most, tiles - first);
#pragma omp for schedule(static)
        for (long t = 0; t < count; t += 4) {
          const long end = least(count, t + 4);
          w.spread(x, first, t, end, v.data);
          spread(g, first, t, end, z.data);
        }
#pragma omp for schedule(static)
        for (long k = 0; k < 16; ++k)
          for (long o = 0; o < w.outputs; o += WIDE * LANES) {
            const float *from = v.data + k * most * w.inputs, *by = z.data + k * most * w.outputs + o;
            float* to = part.data + k * size + o * w.inputs;
            const long wide = least(WIDE, (w.outputs - o) / LANES);
            if (wide == 4) products<WIDE>(from, by, to, count);
            else if (wide == 3) products<(WIDE < 3 ? WIDE : 3)>(from, by, to, count);
            else if (wide == 2) products<(WIDE < 2 ? WIDE : 2)>(from, by, to, count);
            else products<1>(from, by, to, count);
          }
        if ((first / most + 1) % FOLD && first + most < tiles) continue;
#pragma omp for schedule(static)
        for (long i = 0; i < 16 * size; ++i) all.data[i] += part.data[i], part.data[i] = 0;
      }
    }
    finish(all.data, gw);
  }
};

}  // namespace

PUBLIC void multiply_weight(const Shape& s, const float* x, const float* g, float* gw) {
  const Winograd w{s.n, s.height, s.width, s.channels, s.rows, s.columns, s.outputs, s.padding, 9, 9 * s.channels, s.threads, false};
  WeightGradient{w}.run(x, g, gw);
}

#else

PUBLIC void multiply_weight(const Shape&, const float*, const float*, float*) {}

#endif
