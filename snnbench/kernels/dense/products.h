// Products of matrices whose sums stay in registers.

namespace {

// Of `R` rows of v [inputs] and a panel of V registers: v u.
template <int R, int V>
inline void multiply(const float* v, const float* u, float* m, long inputs, long outputs) {
  L sums[R][V] = {};
  for (long i = 0; i < inputs; ++i) {
    L b[V];
    UNROLL for (int k = 0; k < V; ++k) b[k] = *(const L*)(u + (i * V + k) * LANES);
    UNROLL for (int r = 0; r < R; ++r)
      UNROLL for (int k = 0; k < V; ++k) sums[r][k] = fused(v[r * inputs + i], b[k], sums[r][k]);
  }
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int k = 0; k < V; ++k) *(L*)(m + r * outputs + k * LANES) = sums[r][k];
}

template <int V>
void multiply_all(const float* v, const float* u, float* m, long count, long inputs, long outputs) {
  constexpr int R = ROWS * (WIDE / V);
  long r = 0;
  for (; r + R <= count; r += R) multiply<R, V>(v + r * inputs, u, m + r * outputs, inputs, outputs);
  for (; r < count; ++r) multiply<1, V>(v + r * inputs, u, m + r * outputs, inputs, outputs);
}

// u[R rows][V registers] += v' z, over `count` tiles; a row of u is one of v's columns.
template <int R, int V>
inline void add_product(const float* v, const float* z, float* u, long count, long inputs, long outputs) {
  L sums[R][V] = {};
  for (long t = 0; t < count; ++t) {
    L b[V];
    UNROLL for (int k = 0; k < V; ++k) b[k] = *(const L*)(z + t * outputs + k * LANES);
    UNROLL for (int r = 0; r < R; ++r)
      UNROLL for (int k = 0; k < V; ++k) sums[r][k] = fused(v[t * inputs + r], b[k], sums[r][k]);
  }
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int k = 0; k < V; ++k) *(L*)(u + (r * V + k) * LANES) += sums[r][k];
}

template <int V>
void add_products(const float* v, const float* z, float* u, long count, long inputs, long outputs) {
  constexpr int R = ROWS * (WIDE / V);
  long r = 0;
  for (; r + R <= inputs; r += R) add_product<R, V>(v + r, z, u + r * V * LANES, count, inputs, outputs);
  for (; r < inputs; ++r) add_product<1, V>(v + r, z, u + r * V * LANES, count, inputs, outputs);
}

}  // namespace
