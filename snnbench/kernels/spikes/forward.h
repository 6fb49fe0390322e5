// The convolution: for each position of the output, the sum of the weights that spikes reach.

namespace {

// sum += the rows of B floats of `from` that `e` lists, in two interleaved halves where there are registers for it.
template <int NV> inline void add(V (&sum)[NV], const float* from, const Entry* e, const Entry* end) {
  constexpr long B = NV * LANES;
#ifdef __AVX512F__
  V odd[NV] = {};
  for (; e + 1 < end; e += 2) {
    const V *a = (const V*)(from + e[0] * B), *b = (const V*)(from + e[1] * B);
    for (int j = 0; j < NV; ++j) sum[j] += a[j], odd[j] += b[j];
  }
  for (int j = 0; j < NV; ++j) sum[j] += odd[j];
#endif
  for (; e < end; ++e) {
    const V* a = (const V*)(from + *e * B);
    for (int j = 0; j < NV; ++j) sum[j] += a[j];
  }
}

// Of some neighbouring positions of the output, the entries of `weights` that each adds up: (tap, channel) as
// tap * 64 + channel, slab after slab, of which each holds one word of channels.
struct Tile {
  long first, count;
  std::vector<Entry> entry;
  std::vector<unsigned> begin;
  Tile(const Shape& s, const Lists& lists, long from, long most) : first(from), count(least(most, s.positions() - from)) {
    const long words = s.words();
    begin.assign(words * s.kernel * count + 1, 0);
    entry.resize(4096);
    long at = 0;
    for (long slab = 0; slab < words * s.kernel; ++slab)
      for (long i = 0; i < count; ++i) {
        const long word = slab / s.kernel, kh = slab % s.kernel;
        const long p = first + i, row = p / s.columns, image = row / s.rows;
        const long h = row % s.rows * s.stride - s.padding + kh, left = p % s.columns * s.stride - s.padding;
        if ((long)entry.size() < at + s.kernel * WORD + LANES) entry.resize(2 * entry.size() + s.kernel * WORD);
        begin[slab * count + i] = at;
        if (h < 0 || h >= s.height) continue;
        for (long kw = 0; kw < s.kernel; ++kw) {
          if (left + kw < 0 || left + kw >= s.width) continue;
          const unsigned* of = &lists.begin[((image * s.height + h) * s.width + left + kw) * words + word];
          for (unsigned k = of[0]; k < of[1]; k += LANES)  // 16 at a time; what is too much is overwritten
            *(Entries*)(&entry[at + k - of[0]]) = *(const Entries*)(&lists.channel[k]) + (Entry)(kw * WORD);
          at += of[1] - of[0];
        }
      }
    begin[words * s.kernel * count] = at;
  }
};

// The sums of a block of outputs, at the tile's positions, into y.
template <int NV> void write(const Shape& s, const Tile& t, const std::vector<V>& sums, float* y, long block) {
  constexpr long B = NV * LANES;
  const float* from = (const float*)sums.data();
  if (s.last) {
    for (long i = 0; i < t.count; ++i)
      __builtin_memcpy(y + (t.first + i) * s.outputs + block * B, from + i * B, B * sizeof(float));
    return;
  }
  const long pixels = s.rows * s.columns;
  for (long i = 0; i < t.count;) {  // runs of one image
    const long image = (t.first + i) / pixels, pixel = (t.first + i) % pixels, run = least(t.count - i, pixels - pixel);
    float* to = y + (image * s.outputs + block * B) * pixels + pixel;
    for (long o = 0; o < B; ++o)
      for (long k = 0; k < run; ++k) to[o * pixels + k] = from[(i + k) * B + o];
    i += run;
  }
}

// y = bias + sum over taps and spikes of weights[block][word][tap][channel][output].
template <int NV> void forward(const Shape& s, const Word* bits, const float* weights, const float* bias, float* y) {
  constexpr long B = NV * LANES;
  const Lists lists(s, bits);
  const long most = s.positions() < 512 * s.threads ? 32 : 128, tiles = (s.positions() + most - 1) / most;
#pragma omp parallel for schedule(dynamic) num_threads(s.threads) if (s.threads > 1)
  for (long tile = 0; tile < tiles; ++tile) {
    const Tile t(s, lists, tile * most, most);
    std::vector<V> sums(t.count * NV);
    for (long block = 0; block < s.outputs / B; ++block) {
      for (long i = 0; i < t.count * NV; ++i) sums[i] = bias ? *(const U*)(bias + block * B + i % NV * LANES) : V{};
      for (long slab = 0; slab < s.words() * s.kernel; ++slab) {
        const float* rows = weights + (block * s.words() * s.kernel + slab) * s.kernel * WORD * B;
        for (long i = 0; i < t.count; ++i) {
          const unsigned* range = &t.begin[slab * t.count + i];
          V a[NV];
          for (int j = 0; j < NV; ++j) a[j] = sums[i * NV + j];
          add<NV>(a, rows, &t.entry[range[0]], &t.entry[range[1]]);
          for (int j = 0; j < NV; ++j) sums[i * NV + j] = a[j];
        }
      }
      write<NV>(s, t, sums, y, block);
    }
  }
}

}  // namespace

// weights [outputs, channels, taps] -> [outputs / block][words][taps][64][block]; channels beyond the last stay unset.
PUBLIC void arrange(const float* weights, float* to, long outputs, long channels, long taps, long block, long threads) {
  const long words = (channels + WORD - 1) / WORD;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (long b = 0; b < outputs / block; ++b)
    for (long c = 0; c < channels; ++c)
      for (long tap = 0; tap < taps; ++tap) {
        float* at = to + (((b * words + c / WORD) * taps + tap) * WORD + c % WORD) * block;
        const float* from = weights + (b * block * channels + c) * taps + tap;
        for (long o = 0; o < block; ++o) at[o] = from[o * channels * taps];
      }
}

PUBLIC void convolve(const Shape& s, const Word* bits, const float* weights, const float* bias, float* y) {
  s.block == 32 ? forward<2>(s, bits, weights, bias, y) : forward<1>(s, bits, weights, bias, y);
}
