// Batch norm on a CPU: sums over channels, and maps that are affine in each channel. Over y [T, B, C, ...], float32,
// the channels of a frame last in memory or not, with the statistics of all timesteps or of one at a time.
//
// A part is what shares statistics: one timestep, or all of them. Sums are made of 16 numbers at a time in float32, of
// these in float64, in an order that depends on shapes alone, never on the threads.

#include <cmath>
#include <vector>

namespace {

typedef float F __attribute__((vector_size(64), aligned(4), may_alias));
typedef double D __attribute__((vector_size(128)));
constexpr long LANES = 16, PIECES = 16, CHUNK = 8192;

inline long least(long a, long b) { return a < b ? a : b; }

// Numbers as norm.py names them: pixels is H x W; frames are T x B.
struct Shape {
  long frames, channels, pixels, parts, last, threads;
  long rows() const { return frames * pixels / parts; }  // positions of a part
  long all() const { return parts * channels; }
};

// Two sums of a channel over one part: of y - about and its square; of a gradient g and of g (y - about).
template <bool GRADIENT, class N> inline void add(N y, N g, N about, N& first, N& second) {
  const N off = y - about;
  first += GRADIENT ? g : off;
  second += GRADIENT ? g * off : off * off;
}
inline double total(D v) { double r = 0; for (long i = 0; i < LANES; ++i) r += v[i]; return r; }

// V x 16 numbers, 16 times, in float32; into float64.
template <bool GRADIENT, int V>
inline void add_up(const float* y, const float* g, const F* about, long stride, long times, D* first, D* second) {
  F a[V] = {}, b[V] = {};
  for (long r = 0; r < times; ++r)
    for (int v = 0; v < V; ++v) {
      const long at = r * stride + v * LANES;
      if constexpr (GRADIENT) {
        add<true>(*(const F*)(y + at), *(const F*)(g + at), about[v], a[v], b[v]);
      } else {  // squares in float64: where `about` is far from the mean, most of them cancels
        const D off = __builtin_convertvector(*(const F*)(y + at) - about[v], D);
        first[v] += off, second[v] += off * off;
      }
    }
  if constexpr (GRADIENT) for (int v = 0; v < V; ++v) first[v] += __builtin_convertvector(a[v], D), second[v] += __builtin_convertvector(b[v], D);
}

template <bool GRADIENT>
void sum_row(const float* y, const float* g, float about, long n, double& first, double& second) {
  const F k[4] = {about - F{}, about - F{}, about - F{}, about - F{}};
  D a[4] = {}, b[4] = {};
  long i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES * least(16, (n - i) / (4 * LANES)))
    add_up<GRADIENT, 4>(y + i, g + i, k, 4 * LANES, least(16, (n - i) / (4 * LANES)), a, b);
  if (i + LANES <= n) add_up<GRADIENT, 1>(y + i, g + i, k, LANES, (n - i) / LANES, a, b), i += (n - i) / LANES * LANES;
  first += total(a[0] + a[1] + (a[2] + a[3])), second += total(b[0] + b[1] + (b[2] + b[3]));
  for (; i < n; ++i) add<GRADIENT>((double)y[i], GRADIENT ? (double)g[i] : 0.0, (double)about, first, second);
}

// Rows [begin, end) of `channels` numbers side by side, 16 V of them from c on.
template <bool GRADIENT, int V>
void sum_columns(const float* y, const float* g, const float* about, long channels, long c, long begin, long end,
                 double* first, double* second) {
  D a[V] = {}, b[V] = {};
  F k[V];
  for (int v = 0; v < V; ++v) k[v] = *(const F*)(about + c + v * LANES);
  for (long r = begin; r < end; r += 16)
    add_up<GRADIENT, V>(y + r * channels + c, g + r * channels + c, k, channels, least(16, end - r), a, b);
  for (int v = 0; v < V; ++v)
    for (long i = 0; i < LANES; ++i) first[c + v * LANES + i] = a[v][i], second[c + v * LANES + i] = b[v][i];
}

// Both sums of each part and channel: [parts, channels], about a number for each.
template <bool GRADIENT>
void sums(const Shape& s, const float* y, const float* g, const float* about, double* first, double* second) {
  const long frames = s.frames / s.parts, C = s.channels;
  if (!s.last) {
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
    for (long i = 0; i < s.all(); ++i) {
      double a = 0, b = 0;
      for (long n = i / C * frames; n < (i / C + 1) * frames; ++n) {
        const long at = (n * C + i % C) * s.pixels;
        sum_row<GRADIENT>(y + at, g + at, about[i], s.pixels, a, b);
      }
      first[i] = a, second[i] = b;
    }
    return;
  }
  const long rows = s.rows(), per = (rows + PIECES - 1) / PIECES;
  std::vector<double> found(s.parts * PIECES * 2 * C);
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long i = 0; i < s.parts * PIECES; ++i) {
    const long part = i / PIECES, begin = part * rows + least(rows, i % PIECES * per);
    const long end = part * rows + least(rows, (i % PIECES + 1) * per);
    double *a = &found[i * 2 * C], *b = a + C;
    const float* k = about + part * C;
    long c = 0;
    for (; c + 4 * LANES <= C; c += 4 * LANES) sum_columns<GRADIENT, 4>(y, g, k, C, c, begin, end, a, b);
    for (; c + LANES <= C; c += LANES) sum_columns<GRADIENT, 1>(y, g, k, C, c, begin, end, a, b);
    for (long r = begin; r < end; ++r)
      for (long j = c; j < C; ++j)
        add<GRADIENT>((double)y[r * C + j], GRADIENT ? (double)g[r * C + j] : 0.0, (double)k[j], a[j], b[j]);
  }
  for (long i = 0; i < s.all(); ++i) first[i] = second[i] = 0;
  for (long i = 0; i < s.parts * PIECES; ++i)
    for (long c = 0; c < C; ++c) {
      first[i / PIECES * C + c] += found[i * 2 * C + c];
      second[i / PIECES * C + c] += found[i * 2 * C + C + c];
    }
}

// As the neurons' kernels round it (vector.h), so that a norm is the same alone and before a neuron.
inline float fused(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
inline F fused(F a, F b, F c) {
  F r;
  for (long i = 0; i < LANES; ++i) r[i] = fused(a[i], b[i], c[i]);
  return r;
}

// out = y a + b, or, of a backward, a g + ((y - b) p + q). Tables are [parts, channels]; out may be g.
template <bool GRADIENT, class N> inline N map(N y, N g, N a, N b, N p, N q) {
  return GRADIENT ? a * g + ((y - b) * p + q) : fused(y, a, b);
}

template <bool GRADIENT>
void apply(const Shape& s, const float* y, const float* g, float* out, const float* a, const float* b, const float* p,
           const float* q) {
  const long C = s.channels;
  if (!s.last) {
    const long frames = s.frames / s.parts;
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
    for (long i = 0; i < s.frames * C; ++i) {
      const long at = i * s.pixels, j = i / C / frames * C + i % C;
      const float a1 = a[j], b1 = b[j], p1 = GRADIENT ? p[j] : 0, q1 = GRADIENT ? q[j] : 0;
      const F av = a1 - F{}, bv = b1 - F{}, pv = p1 - F{}, qv = q1 - F{};
      long k = at;
      for (; k + LANES <= at + s.pixels; k += LANES)
        *(F*)(out + k) = map<GRADIENT>(*(const F*)(y + k), GRADIENT ? *(const F*)(g + k) : F{}, av, bv, pv, qv);
      for (; k < at + s.pixels; ++k) out[k] = map<GRADIENT>(y[k], GRADIENT ? g[k] : 0.0f, a1, b1, p1, q1);
    }
    return;
  }
  const long rows = s.rows(), per = CHUNK / C + 1, pieces = (rows + per - 1) / per;
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long i = 0; i < s.parts * pieces; ++i) {
    const long part = i / pieces, begin = part * rows + i % pieces * per, end = least(begin + per, (part + 1) * rows);
    const float *a1 = a + part * C, *b1 = b + part * C, *p1 = p + part * C, *q1 = q + part * C;
    long c = 0;
    for (; c + LANES <= C; c += LANES) {
      const F av = *(const F*)(a1 + c), bv = *(const F*)(b1 + c);
      const F pv = GRADIENT ? *(const F*)(p1 + c) : F{}, qv = GRADIENT ? *(const F*)(q1 + c) : F{};
      for (long k = begin * C + c; k < end * C; k += C)
        *(F*)(out + k) = map<GRADIENT>(*(const F*)(y + k), GRADIENT ? *(const F*)(g + k) : F{}, av, bv, pv, qv);
    }
    for (; c < C; ++c)
      for (long k = begin * C + c; k < end * C; k += C)
        out[k] = map<GRADIENT>(y[k], GRADIENT ? g[k] : 0.0f, a1[c], b1[c], GRADIENT ? p1[c] : 0, GRADIENT ? q1[c] : 0);
  }
}

// Rows of a norm's table, each [parts, channels]: y scale + shift is the norm.
struct Table {
  float *scale, *shift, *mean, *invstd;
  Table(float* p, long n) : scale(p), shift(p + n), mean(p + 2 * n), invstd(p + 3 * n) {}
  void set(long i, double weight, double bias, double m, double inverse) {
    scale[i] = weight * inverse, shift[i] = bias - m * weight * inverse, mean[i] = m, invstd[i] = inverse;
  }
};

}  // namespace

#define PUBLIC extern "C" __attribute__((visibility("default")))

// Fills the table from the statistics of y, which enter the running ones. `counted` is how many values of a channel
// the factor n / (n - 1) of the running variance counts.
PUBLIC void statistics(const Shape* s, const float* y, const float* weight, const float* bias, float* running_mean,
                       float* running_var, const double* numbers, float* table) {
  const double eps = numbers[0], momentum = numbers[1], gain = numbers[2], counted = numbers[3];
  const long n = s->all(), C = s->channels, frames = s->frames / s->parts;
  Table t(table, n);
  std::vector<double> first(n), second(n);
  for (long i = 0; i < n; ++i)  // about a value of the channel
    t.mean[i] = y[i / C * frames * C * s->pixels + i % C * (s->last ? 1 : s->pixels)];
  sums<false>(*s, y, y, t.mean, first.data(), second.data());
  for (long i = 0; i < n; ++i) {
    const long c = i % C;
    const double off = first[i] / s->rows(), square = second[i] / s->rows() - off * off;
    const double mean = t.mean[i] + off, var = square < 0 ? 0 : square;
    t.set(i, weight[c] * gain, bias[c], mean, 1 / std::sqrt(var + eps));
    running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean;
    running_var[c] = (1 - momentum) * running_var[c] + momentum * (var * (counted / (counted - 1)));
  }
}

// Fills the table from the running statistics.
PUBLIC void settle(const Shape* s, const float* weight, const float* bias, const float* running_mean,
                   const float* running_var, const double* numbers, float* table) {
  Table t(table, s->all());
  for (long c = 0; c < s->channels; ++c)
    t.set(c, weight[c] * numbers[2], bias[c], running_mean[c], 1 / std::sqrt(running_var[c] + numbers[0]));
}

PUBLIC void normalize(const Shape* s, const float* y, float* z, float* table) {
  const Table t(table, s->all());
  apply<false>(*s, y, nullptr, z, t.scale, t.shift, nullptr, nullptr);
}

// The sums of gz and of gz (y - mean) for each part and channel.
PUBLIC void gather(const Shape* s, const float* y, const float* gz, float* table, float* sum, float* moment) {
  const long n = s->all();
  std::vector<double> first(n), second(n);
  sums<true>(*s, y, gz, Table(table, n).mean, first.data(), second.data());
  for (long i = 0; i < n; ++i) sum[i] = first[i], moment[i] = second[i];
}

// From these the gradients of y (which may stand over gz, or be null), weight and bias; `moving` where the
// statistics are those of y, and so depend on it.
PUBLIC void differentiate(const Shape* s, const float* y, const float* gz, float* gy, float* table, const float* sum,
                          const float* moment, double gain, long moving, float* gweight, float* gbias) {
  const long n = s->all(), C = s->channels;
  const Table t(table, n);
  std::vector<float> p(n), q(n);
  std::vector<double> weight(C), bias(C);
  for (long i = 0; i < n; ++i) {
    const double over = moving ? -(double)t.scale[i] / s->rows() : 0.0;
    p[i] = over * t.invstd[i] * t.invstd[i] * moment[i], q[i] = over * sum[i];
    weight[i % C] += gain * t.invstd[i] * moment[i], bias[i % C] += sum[i];
  }
  for (long c = 0; c < C; ++c) gweight[c] = weight[c], gbias[c] = bias[c];
  if (gy) apply<true>(*s, y, gz, gy, t.scale, t.mean, p.data(), q.data());
}
