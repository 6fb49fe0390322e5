// A 3x3 convolution with stride 1, channels last, by Winograd's F(2x2, 3x3): 16 products of matrices make 2x2 outputs of
// 36 multiplications each, less than half of what it takes directly. So are y, and x's gradient, which is the convolution of
// y's with the weights turned by 180 degrees.
//
// With the inputs d of 4x4 places, the weights g, and products over the input's channels,
//     y = A' ((G g G') * (B' d B)) A
//     B' = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1]   G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1]   A' = [1 1 1 0; 0 1 -1 -1]

#if defined(__AVX512F__) || defined(__FMA__)

namespace {

#ifdef __AVX512F__
inline R fma(R a, R b, R c) { return (R)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
#else
inline R fma(R a, R b, R c) { return (R)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
#endif

constexpr long WIDE = REGISTERS / PARTS / 8;  // vectors of outputs at once, times 6 places: 24 registers of 32, 12 of 16

struct Winograd {
  long n, rows, columns, inputs, height, width, outputs;  // [n, rows, columns, inputs] -> [n, height, width, outputs]
  long padding, input_step, output_step, threads;         // from one channel's weights to the next
  bool turned;
  long down() const { return (height + 1) / 2; }
  long across() const { return (width + 1) / 2; }
  long most() const { return inputs * outputs > 1 << 14 ? 96 : 48; }  // tiles of a task: what it makes stays near

  // The weights as [16][outputs / (16 WIDE)][inputs][16 WIDE]; the last block may be narrower.
  void arrange(const float* w, float* to) const {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (long input = 0; input < inputs; ++input)
      for (long o = 0; o < outputs; o += LANES) {
        V v[LANES], t[4][3];
        for (long k = 0; k < LANES; ++k) v[k] = load(w + input * input_step + (o + k) * output_step, 9);
        transpose(v);
        for (int j = 0; j < 3; ++j) {
          const V a = v[turned ? 8 - j : j], b = v[turned ? 5 - j : 3 + j], c = v[turned ? 2 - j : 6 + j];
          t[0][j] = a, t[1][j] = 0.5f * (a + b + c), t[2][j] = 0.5f * (a - b + c), t[3][j] = c;
        }
        const long block = o / (LANES * WIDE) * LANES * WIDE, wide = least(outputs - block, LANES * WIDE);
        float* at = to + block * inputs + input * wide + o - block;
        for (int i = 0; i < 4; ++i) {
          const V a = t[i][0], b = t[i][1], c = t[i][2], u[4] = {a, 0.5f * (a + b + c), 0.5f * (a - b + c), c};
          for (int j = 0; j < 4; ++j) *(V*)(at + (4 * i + j) * inputs * outputs) = u[j];
        }
      }
  }

  // What the tiles [from, end), counted from `first` on, need of x: [16][most][inputs].
  void spread(const float* x, long first, long from, long end, float* to) const {
    for (long p = from; p < end; ++p) {
      const long tile = first + p, row = tile / across(), step = most() * inputs;
      const long top = row % down() * 2 - padding, left = tile % across() * 2 - padding;
      const float* image = x + row / down() * rows * columns * inputs;
      for (long c = 0; c < inputs; c += LANES) {
        V d[4][4], t[4][4];
        UNROLL for (int i = 0; i < 4; ++i)
          UNROLL for (int j = 0; j < 4; ++j) {
            const bool in = top + i >= 0 && top + i < rows && left + j >= 0 && left + j < columns;
            d[i][j] = in ? *(const U*)(image + ((top + i) * columns + left + j) * inputs + c) : V{};
          }
        UNROLL for (int j = 0; j < 4; ++j)
          t[0][j] = d[0][j] - d[2][j], t[1][j] = d[1][j] + d[2][j], t[2][j] = d[2][j] - d[1][j], t[3][j] = d[1][j] - d[3][j];
        float* at = to + p * inputs + c;
        UNROLL for (int i = 0; i < 4; ++i, at += 4 * step) {
          *(V*)at = t[i][0] - t[i][2], *(V*)(at + step) = t[i][1] + t[i][2];
          *(V*)(at + 2 * step) = t[i][2] - t[i][1], *(V*)(at + 3 * step) = t[i][1] - t[i][3];
        }
      }
    }
  }

  // m[place][output] = sum over inputs of v[place][input] u[input][output], PLACES times NV vectors of outputs.
  template <int PLACES, int NV> void product(const float* v, const float* u, float* m) const {
    constexpr int N = NV * PARTS;
    R sum[PLACES][N] = {};
    for (long c = 0; c < inputs; ++c) {
      R b[N];
      UNROLL for (int j = 0; j < N; ++j) b[j] = ((const R*)(u + c * NV * LANES))[j];
      UNROLL for (int i = 0; i < PLACES; ++i) {
        const R a = v[i * inputs + c] - R{};
        UNROLL for (int j = 0; j < N; ++j) sum[i][j] = fma(a, b[j], sum[i][j]);
      }
    }
    UNROLL for (int i = 0; i < PLACES; ++i)
      UNROLL for (int j = 0; j < N; ++j) ((R*)(m + i * outputs))[j] = sum[i][j];
  }

  template <int NV> void products(const float* v, const float* u, float* m, long count) const {
    long p = 0;
    for (; p + 6 <= count; p += 6) product<6, NV>(v + p * inputs, u, m + p * outputs);
    for (; p < count; ++p) product<1, NV>(v + p * inputs, u, m + p * outputs);
  }

  // 2x2 outputs of each tile from its 16 products.
  void gather(const float* m, const float* bias, long first, long count, float* y) const {
    for (long p = 0; p < count; ++p) {
      const long tile = first + p, row = tile / across(), h = row % down() * 2, w = tile % across() * 2;
      float* image = y + row / down() * height * width * outputs;
      for (long o = 0; o < outputs; o += LANES) {
        const V offset = bias ? *(const U*)(bias + o) : V{};
        V t[2][4];
        UNROLL for (int j = 0; j < 4; ++j) {
          V q[4];
          UNROLL for (int i = 0; i < 4; ++i) q[i] = *(const V*)(m + ((4 * i + j) * most() + p) * outputs + o);
          t[0][j] = q[0] + q[1] + q[2], t[1][j] = q[1] - q[2] - q[3];
        }
        UNROLL for (int i = 0; i < 2; ++i) {
          float* at = image + ((h + i) * width + w) * outputs + o;
          if (h + i < height) *(U*)at = t[i][0] + t[i][1] + t[i][2] + offset;
          if (h + i < height && w + 1 < width) *(U*)(at + outputs) = t[i][1] - t[i][2] - t[i][3] + offset;
        }
      }
    }
  }

  void run(const float* w, const float* bias, const float* x, float* y) const {
    const long size = inputs * outputs, tiles = n * down() * across(), most = this->most();
    const Scratch<float> u(16 * size);
    arrange(w, u.data);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (long first = 0; first < tiles; first += most) {
      const long count = least(most, tiles - first);
      const Scratch<float> v(16 * most * inputs), m(16 * most * outputs);
      spread(x, first, 0, count, v.data);
      for (long k = 0; k < 16; ++k)
        for (long o = 0; o < outputs; o += WIDE * LANES) {
          const float *from = v.data + k * most * inputs, *by = u.data + k * size + o * inputs;
          float* to = m.data + k * most * outputs + o;
          const long wide = least(WIDE, (outputs - o) / LANES);
          if (wide == 4) products<WIDE>(from, by, to, count);
          else if (wide == 3) products<(WIDE < 3 ? WIDE : 3)>(from, by, to, count);
          else if (wide == 2) products<(WIDE < 2 ? WIDE : 2)>(from, by, to, count);
          else products<1>(from, by, to, count);
        }
      gather(m.data, bias, first, count, y);
    }
  }
};

}  // namespace

PUBLIC long multiplies() { return 1; }

PUBLIC void multiply(const Shape& s, const float* w, const float* bias, const float* x, float* y) {
  Winograd{s.n, s.height, s.width, s.channels, s.rows, s.columns, s.outputs, s.padding, 9, 9 * s.channels, s.threads, false}
      .run(w, bias, x, y);
}

PUBLIC void multiply_back(const Shape& s, const float* w, const float* gy, float* gx) {
  Winograd{s.n, s.rows, s.columns, s.outputs, s.height, s.width, s.channels, 2 - s.padding, 9 * s.channels, 9, s.threads, true}
      .run(w, nullptr, gy, gx);
}

#else

PUBLIC long multiplies() { return 0; }
PUBLIC void multiply(const Shape&, const float*, const float*, const float*, float*) {}
PUBLIC void multiply_back(const Shape&, const float*, const float*, float*) {}

#endif
