// Tiles and weights to the 16 places of F(2x2, 3x3), and back. With B', G and A' of Lavin and Gray:
// B' d B of 4x4 inputs, G g G' of a weight, A' m A to 2x2 outputs; and the transposes of the last two for gradients.

namespace {

// The weight as 16 matrices [inputs, outputs], panel by panel: G g G'.
void transform_weight(const Shape& s, const float* weight, float* u) {
  const long size = s.inputs * s.outputs;
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long i = 0; i < s.inputs; ++i)
    for (long j = 0, begin = 0; j < s.outputs; j += LANES) {
      if (j == begin + s.panel(begin)) begin = j;
      L g[3][3], h[4][3];
      for (long k = 0; k < 9; ++k)
        for (long lane = 0; lane < LANES; ++lane) {
          const long o = s.flipped ? i : j + lane, c = s.flipped ? j + lane : i;
          g[k / 3][k % 3][lane] = weight[(o * (s.flipped ? s.outputs : s.inputs) + c) * 9 + (s.flipped ? 8 - k : k)];
        }
      for (int k = 0; k < 3; ++k) {
        h[0][k] = g[0][k], h[3][k] = g[2][k];
        h[1][k] = (g[0][k] + g[2][k] + g[1][k]) * 0.5f, h[2][k] = (g[0][k] + g[2][k] - g[1][k]) * 0.5f;
      }
      float* to = u + begin * s.inputs + i * s.panel(begin) + (j - begin);
      for (int r = 0; r < 4; ++r) {
        *(L*)(to + (4 * r) * size) = h[r][0], *(L*)(to + (4 * r + 3) * size) = h[r][2];
        *(L*)(to + (4 * r + 1) * size) = (h[r][0] + h[r][2] + h[r][1]) * 0.5f;
        *(L*)(to + (4 * r + 2) * size) = (h[r][0] + h[r][2] - h[r][1]) * 0.5f;
      }
    }
}

// B' d B of the tiles [from, to): v[place][tile][input], tiles counted from `first` on.
void transform_input(const Shape& s, const float* x, float* v, long first, long from, long to) {
  const long per = s.rows() * s.columns(), C = s.inputs, size = BLOCK * C;
  for (long t = from; t < to; ++t) {
    const long n = t / per, h = t % per / s.columns() * 2 - 1, w = t % s.columns() * 2 - 1;
    for (long c = 0; c < C; c += LANES) {
      L d[4][4], e[4][4];
      UNROLL for (int i = 0; i < 4; ++i)
        UNROLL for (int j = 0; j < 4; ++j) {
          const bool inside = h + i >= 0 && h + i < s.height && w + j >= 0 && w + j < s.width;
          d[i][j] = inside ? (L)*(const F*)(x + ((n * s.height + h + i) * s.width + w + j) * C + c) : L{};
        }
      UNROLL for (int j = 0; j < 4; ++j) {
        e[0][j] = d[0][j] - d[2][j], e[1][j] = d[1][j] + d[2][j];
        e[2][j] = d[2][j] - d[1][j], e[3][j] = d[1][j] - d[3][j];
      }
      float* out = v + (t - first) * C + c;
      UNROLL for (int i = 0; i < 4; ++i) {
        *(L*)(out + (4 * i) * size) = e[i][0] - e[i][2], *(L*)(out + (4 * i + 1) * size) = e[i][1] + e[i][2];
        *(L*)(out + (4 * i + 2) * size) = e[i][2] - e[i][1], *(L*)(out + (4 * i + 3) * size) = e[i][1] - e[i][3];
      }
    }
  }
}

// A' m A of tiles [from, to) into y.
void transform_output(const Shape& s, const float* m, const float* bias, float* y, long from, long to) {
  const long per = s.rows() * s.columns(), O = s.outputs, size = BLOCK * O;
  for (long t = from; t < to; ++t) {
    const long n = t / per, h = t % per / s.columns() * 2, w = t % s.columns() * 2;
    for (long o = 0; o < O; o += LANES) {
      L a[4][4], b[2][4];
      UNROLL for (int i = 0; i < PLACES; ++i) a[i / 4][i % 4] = *(const L*)(m + i * size + (t - from) * O + o);
      UNROLL for (int j = 0; j < 4; ++j) {
        b[0][j] = a[0][j] + a[1][j] + a[2][j], b[1][j] = a[1][j] - a[2][j] - a[3][j];
      }
      const L shift = bias ? (L)*(const F*)(bias + o) : L{};
      UNROLL for (int i = 0; i < 2; ++i) {
        if (h + i >= s.height) break;
        float* out = y + ((n * s.height + h + i) * s.width + w) * O + o;
        *(F*)out = b[i][0] + b[i][1] + b[i][2] + shift;
        if (w + 1 < s.width) *(F*)(out + O) = b[i][1] - b[i][2] - b[i][3] + shift;
      }
    }
  }
}

// A g A' of the tiles [from, to) of a gradient of y: z[place][tile][output].
void transform_gradient(const Shape& s, const float* g, float* z, long first, long from, long to) {
  const long per = s.rows() * s.columns(), O = s.outputs, size = BLOCK * O;
  for (long t = from; t < to; ++t) {
    const long n = t / per, h = t % per / s.columns() * 2, w = t % s.columns() * 2;
    for (long o = 0; o < O; o += LANES) {
      L d[2][2], e[4][2];
      UNROLL for (int i = 0; i < 2; ++i)
        UNROLL for (int j = 0; j < 2; ++j) {
          const bool inside = h + i < s.height && w + j < s.width;
          d[i][j] = inside ? (L)*(const F*)(g + ((n * s.height + h + i) * s.width + w + j) * O + o) : L{};
        }
      UNROLL for (int j = 0; j < 2; ++j) {
        e[0][j] = d[0][j], e[1][j] = d[0][j] + d[1][j], e[2][j] = d[0][j] - d[1][j], e[3][j] = -d[1][j];
      }
      float* to_ = z + (t - first) * O + o;
      UNROLL for (int i = 0; i < 4; ++i) {
        *(L*)(to_ + (4 * i) * size) = e[i][0], *(L*)(to_ + (4 * i + 1) * size) = e[i][0] + e[i][1];
        *(L*)(to_ + (4 * i + 2) * size) = e[i][0] - e[i][1], *(L*)(to_ + (4 * i + 3) * size) = -e[i][1];
      }
    }
  }
}

// G' u G: the gradient of the weight from that of its 16 matrices, which lie as transform_weight lays them.
void weight_gradient(const Shape& s, const float* u, float* weight) {
  const long size = s.inputs * s.outputs;
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long i = 0; i < s.inputs; ++i)
    for (long j = 0, begin = 0; j < s.outputs; j += LANES) {
      if (j == begin + s.panel(begin)) begin = j;
      const float* from = u + begin * s.inputs + i * s.panel(begin) + (j - begin);
      L a[4][4], h[3][4], g[3][3];
      UNROLL for (int p = 0; p < PLACES; ++p) a[p / 4][p % 4] = *(const L*)(from + p * size);
      UNROLL for (int k = 0; k < 4; ++k) {
        const L sum = (a[1][k] + a[2][k]) * 0.5f;
        h[0][k] = a[0][k] + sum, h[1][k] = (a[1][k] - a[2][k]) * 0.5f, h[2][k] = sum + a[3][k];
      }
      UNROLL for (int r = 0; r < 3; ++r) {
        const L sum = (h[r][1] + h[r][2]) * 0.5f;
        g[r][0] = h[r][0] + sum, g[r][1] = (h[r][1] - h[r][2]) * 0.5f, g[r][2] = sum + h[r][3];
      }
      for (long k = 0; k < 9; ++k)
        for (long lane = 0; lane < LANES; ++lane) weight[((j + lane) * s.inputs + i) * 9 + k] = g[k / 3][k % 3][lane];
    }
}

}  // namespace
