// The convolution: for each position of the output, the sum of the weights that spikes reach.

namespace {

// The spikes of each row of the input and word of channels, as where their weights lie: row [n, height], word, column and
// channel in order. A tap's weights are 64 rows of `bytes`, and the taps of a row follow one another; so a spike's are
// at (column * 64 + channel) * bytes, less what lies left of the output's first tap, and an output's are a run.
struct Lists {
  Scratch<unsigned> begin, entry;
  Lists(const Shape& s, const Word* bits, long bytes) : begin(s.n * s.height * s.words() * s.width + 1), entry(s.ones) {
    const long words = s.words(), lines = s.n * s.height, step = 32, parts = (lines + step - 1) / step;
    std::vector<unsigned> before(parts + 1);
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
    for (long part = 0; part < parts; ++part) {
      const long size = words * s.width;
      unsigned count = 0;
      for (long i = part * step * size; i < least(lines, (part + 1) * step) * size; ++i) count += __builtin_popcountl(bits[i]);
      before[part + 1] = count;
    }
    for (long part = 0; part < parts; ++part) before[part + 1] += before[part];
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
    for (long part = 0; part < parts; ++part) {
      long at = before[part];
      for (long line = part * step; line < least(lines, (part + 1) * step); ++line)
        for (long word = 0; word < words; ++word)
          for (long w = 0; w < s.width; ++w) {
            begin[(line * words + word) * s.width + w] = at;
            at = list(bits[(line * s.width + w) * words + word], w * WORD, bytes, at, before[part + 1]);
          }
    }
    begin[lines * words * s.width] = s.ones;
  }
  // Where the list ends that begins at `at`. Nothing is written from `end` on: there begin another thread's lists.
  long list(Word word, unsigned first, unsigned bytes, long at, long end) {
#ifdef __AVX512F__
    if (!word) return at;
    __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    lane = _mm512_mullo_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(first)), _mm512_set1_epi32(bytes));
    for (long i = 0; i < WORD; i += LANES, word >>= LANES) {
      const unsigned count = __builtin_popcount(word & 0xffff);
      const __m512i packed = _mm512_maskz_compress_epi32((__mmask16)word, lane);
      if (at + LANES <= end) _mm512_storeu_si512(&entry[at], packed);
      else _mm512_mask_storeu_epi32(&entry[at], (__mmask16)((1u << count) - 1), packed);
      lane = _mm512_add_epi32(lane, _mm512_set1_epi32(LANES * bytes)), at += count;
    }
#else
    for (; word; word &= word - 1) entry[at++] = (first + __builtin_ctzl(word)) * bytes;
#endif
    return at;
  }
};

// sum += the rows of NV vectors that e lists, up to `last`, in two halves, so that one addition waits less for another.
template <int NV> inline void add(V* sum, const char* rows, const unsigned* e, const unsigned* last) {
  constexpr int N = NV * PARTS;
  R a[N], odd[N] = {};
  UNROLL for (int j = 0; j < N; ++j) a[j] = ((const R*)sum)[j];
  for (; e + 1 < last; e += 2) {
    const R *p = (const R*)(rows + e[0]), *q = (const R*)(rows + e[1]);
    UNROLL for (int j = 0; j < N; ++j) a[j] += p[j];
    UNROLL for (int j = 0; j < N; ++j) odd[j] += q[j];
  }
  if (e < last)
    UNROLL for (int j = 0; j < N; ++j) a[j] += ((const R*)(rows + *e))[j];
  UNROLL for (int j = 0; j < N; ++j) ((R*)sum)[j] = a[j] + odd[j];
}

// At `count` positions of the output, sums += what a word of channels reaches through the taps of row kh.
template <int NV>
void add_slab(const Shape& s, const Lists& lists, const float* slab, long word, long kh, long first, long count, V* sums) {
  constexpr long ROW = NV * LANES;
  long row = first / s.columns, column = first % s.columns;
  for (long i = 0; i < count; ++row, column = 0) {  // a row of the output, or what is left of it
    const long h = row % s.rows * s.stride - s.padding + kh, end = i + least(count - i, s.columns - column);
    if (h < 0 || h >= s.height) {
      i = end;
      continue;
    }
    const unsigned* of = &lists.begin[((row / s.rows * s.height + h) * s.words() + word) * s.width];
    for (; i < end; ++i, ++column) {
      const long left = column * s.stride - s.padding;
      const unsigned begin = of[std::max(left, 0L)], last = of[least(left + s.kernel, s.width)];
      add<NV>(sums + i * NV, (const char*)(slab - left * WORD * ROW), &lists.entry[begin], &lists.entry[last]);
    }
  }
}

// The sums of a block of outputs, at the tile's positions, into y.
template <int NV> void write(const Shape& s, const V* sums, float* y, long block, long first, long count) {
  constexpr long B = NV * LANES;
  const long pixels = s.rows * s.columns;
  for (long i = 0; i < count;) {  // runs of one image
    const long image = (first + i) / pixels, pixel = (first + i) % pixels, run = least(count - i, pixels - pixel);
    if (s.last)
      for (long k = 0; k < run; ++k)
        __builtin_memcpy(y + (first + i + k) * s.outputs + block * B, sums + (i + k) * NV, B * sizeof(float));
    else
      for (long k = 0; k < run; k += LANES)
        for (long j = 0; j < NV; ++j) {
          V v[LANES];
          const long live = least(LANES, run - k);
          for (long p = 0; p < live; ++p) v[p] = sums[(i + k + p) * NV + j];
          transpose(v);
          float* to = y + (image * s.outputs + block * B + j * LANES) * pixels + pixel + k;
          for (long o = 0; o < LANES; ++o) store(to + o * pixels, v[o], live);
        }
    i += run;
  }
}

// A block's weights [outputs, channels, taps] -> [words][taps][64][B]; channels beyond the last stay unset.
template <int NV> void arrange(const Shape& s, const float* weights, long block, float* to) {
  constexpr long B = NV * LANES;
  const long taps = s.taps(), size = s.channels * taps;
  for (long i = 0, c = 0, tap = 0; i < size; i += LANES) {
    const long live = least(LANES, size - i);
    long place[LANES];
    for (long k = 0; k < live; ++k) {
      place[k] = ((c / WORD * taps + tap) * WORD + c % WORD) * B;
      if (++tap == taps) tap = 0, ++c;
    }
    for (long j = 0; j < NV; ++j) {
      V v[LANES];
      const float* from = weights + (block * B + j * LANES) * size + i;
      for (long k = 0; k < LANES; ++k) v[k] = load(from + k * size, live), __builtin_prefetch(from + k * size + 4 * LANES);
      transpose(v);
      for (long k = 0; k < live; ++k) *(V*)(to + place[k] + j * LANES) = v[k];
    }
  }
}

// A block of outputs at the positions of a tile. A slab of the weights, 64 channels and a row of taps, stays near.
template <int NV>
void add_tile(const Shape& s, const Lists& lists, const float* weights, const float* bias, float* y, long block, long tile) {
  constexpr long B = NV * LANES;
  const long first = tile * s.tile(), count = least(s.tile(), s.positions() - first);
  const Scratch<V> sums(count * NV);
  for (long i = 0; i < count * NV; ++i) sums.data[i] = bias ? *(const U*)(bias + block * B + i % NV * LANES) : V{};
  for (long slab = 0; slab < s.words() * s.kernel; ++slab)
    add_slab<NV>(s, lists, weights + slab * s.kernel * WORD * B, slab / s.kernel, slab % s.kernel, first, count, sums.data);
  write<NV>(s, sums.data, y, block, first, count);
}

// y = bias + sum over taps and spikes of weights. Many weights are arranged block by block, each by who needs it.
template <int NV> void forward(const Shape& s, const Word* bits, const float* weights, const float* bias, float* y) {
  const long blocks = s.outputs / (NV * LANES), size = s.words() * s.taps() * WORD * NV * LANES;
  const long tiles = (s.positions() + s.tile() - 1) / s.tile();
  const Lists lists(s, bits, NV * sizeof(V));
  if (blocks * size > MANY && blocks >= s.threads) {
#pragma omp parallel for schedule(dynamic) num_threads(s.threads) if (s.threads > 1)
    for (long block = 0; block < blocks; ++block) {
      const Scratch<float> own(size);
      arrange<NV>(s, weights, block, own.data);
      for (long tile = 0; tile < tiles; ++tile) add_tile<NV>(s, lists, own.data, bias, y, block, tile);
    }
    return;
  }
  const Scratch<float> all(blocks * size);
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long block = 0; block < blocks; ++block) arrange<NV>(s, weights, block, all.data + block * size);
#pragma omp parallel for schedule(dynamic) num_threads(s.threads) if (s.threads > 1)
  for (long tile = 0; tile < tiles; ++tile)
    for (long block = 0; block < blocks; ++block) add_tile<NV>(s, lists, all.data + block * size, bias, y, block, tile);
}

}  // namespace

PUBLIC void convolve(const Shape& s, const Word* bits, const float* weights, const float* bias, float* y) {
  constexpr int MOST = REGISTERS / PARTS / 4, FOUR = MOST < 4 ? MOST : 4, TWO = MOST < 2 ? MOST : 2;
  s.outputs % (FOUR * LANES) == 0  ? forward<FOUR>(s, bits, weights, bias, y)
  : s.outputs % (TWO * LANES) == 0 ? forward<TWO>(s, bits, weights, bias, y)
                                   : forward<1>(s, bits, weights, bias, y);
}
