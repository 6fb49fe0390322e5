// The weight's gradient: for each channel and tap, the sum of the output's gradient where there was a spike.

namespace {

// Some images' gradients of 16 outputs, with a border of zeros: an input position (h, w) meets through the tap (kh, kw)
// the output at ((h + padding) / stride - kh / stride, ...) if the remainders agree. So of inputs with equal remainders,
// their class, one list of places serves all of the class's taps, which shift it.
struct Bordered {
  const Shape& s;
  const long low, high, wide;
  Scratch<V> values;
  static long side(const Shape& s, long length) { return (length - 1 + s.padding) / s.stride + (s.kernel - 1) / s.stride + 1; }
  static long places_of(const Shape& s) { return side(s, s.height) * side(s, s.width); }  // of an image
  Bordered(const Shape& s, long images)
      : s(s), low((s.kernel - 1) / s.stride), high(side(s, s.height)), wide(side(s, s.width)),
        values(images * high * wide, V{}) {}
  void load(const float* g, long output, long from, long count) {
    const long rows = least(s.rows, high - low), columns = least(s.columns, wide - low), pixels = s.rows * s.columns;
    for (long image = 0; image < count; ++image) {
      const float* of = g + (from + image) * pixels * s.outputs;
      V* to = &values[(image * high + low) * wide + low];
      if (!s.last) {
        load_first(of + output * pixels, to, rows, columns);
        continue;
      }
      for (long row = 0; row < rows; ++row)
        for (long i = 0; i < columns; ++i) {
          const float* p = of + (row * s.columns + i) * s.outputs + output;
          to[row * wide + i] = *(const U*)p;
          for (long o = LANES; output == 0 && o < s.outputs; o += LANES) __builtin_prefetch(p + o);
        }
    }
  }
  void load_first(const float* of, V* to, long rows, long columns) {
    const long pixels = s.rows * s.columns;
    for (long pixel = 0, row = 0, column = 0; pixel < pixels; pixel += LANES) {
      V v[LANES];
      const long live = least(LANES, pixels - pixel);
      for (long o = 0; o < LANES; ++o) v[o] = ::load(of + o * pixels + pixel, live);
      transpose(v);
      for (long k = 0; k < live; ++k) {
        if (row < rows && column < columns) to[row * wide + column] = v[k];
        if (++column == s.columns) column = 0, ++row;
      }
    }
  }
};

// Of each channel of a word and class, the places of its spikes in a Bordered.
struct Places {
  const long room;
  Scratch<Entry> place;
  std::vector<long> count;
  Places(const Shape& s, long room) : room(room), place(s.stride * s.stride * WORD * room), count(s.stride * s.stride * WORD) {}
  void load(const Shape& s, const Word* bits, long word, long from, long images, const Bordered& to) {
    std::fill(count.begin(), count.end(), 0);
    for (long image = 0; image < images; ++image)
      for (long h = 0; h < s.height; ++h) {
        const long y = h + s.padding, row = (image * to.high + y / s.stride + to.low) * to.wide + to.low;
        const Word* of = bits + ((from + image) * s.height + h) * s.width * s.words() + word;
        if (y % s.stride >= s.kernel) continue;  // met by no tap
        for (long w = 0; w < s.width; ++w) {
          const long x = w + s.padding, kind = (y % s.stride * s.stride + x % s.stride) * WORD;
          const Entry at = row + x / s.stride;
          if (x % s.stride >= s.kernel) continue;
          for (Word m = of[w * s.words()]; m; m &= m - 1) {
            const long list = kind + __builtin_ctzl(m);
            place[list * room + count[list]++] = at;
          }
        }
      }
  }
};

// For each of ROWS x COLUMNS taps, a place apart in columns and `wide` in rows: sum += the values that `e` lists.
template <int ROWS, int COLUMNS> void add_taps(V* sum, const long* tap, const V* from, long wide, const Entry* e, long count) {
  constexpr int TAPS = ROWS * COLUMNS, N = TAPS * PARTS, WAYS = TAPS > 4 ? 1 : TAPS > 2 ? 2 : 4;
  R a[WAYS][N] = {};  // as many sums as hide the adder's delay
  const R* row[ROWS];
  UNROLL for (int i = 0; i < ROWS; ++i) row[i] = (const R*)(from - i * wide);
  for (; count >= WAYS; count -= WAYS, e += WAYS)
    UNROLL for (int way = 0; way < WAYS; ++way)
      UNROLL for (int k = 0; k < N; ++k)
        a[way][k] += row[k / PARTS / COLUMNS][((long)e[way] - k / PARTS % COLUMNS) * PARTS + k % PARTS];
  for (; count > 0; --count, ++e)
    UNROLL for (int k = 0; k < N; ++k)
      a[0][k] += row[k / PARTS / COLUMNS][((long)*e - k / PARTS % COLUMNS) * PARTS + k % PARTS];
  UNROLL for (int k = 0; k < N; ++k) {
    UNROLL for (int way = 1; way < WAYS; ++way) a[0][k] += a[way][k];
    ((R*)(sum + tap[k / PARTS]))[k % PARTS] += a[0][k];
  }
}

// sums[channel][tap] of a word += those of the places.
void add_word(const Shape& s, const Places& places, const Bordered& border, long word, V* sums) {
  constexpr long ROWS = REGISTERS / PARTS > 9 ? 3 : 1;  // of taps at once
  static constexpr decltype(&add_taps<1, 1>) ADD[3][3] = {{add_taps<1, 1>, add_taps<1, 2>, add_taps<1, 3>},
                                                          {add_taps<2, 1>, add_taps<2, 2>, add_taps<2, 3>},
                                                          {add_taps<3, 1>, add_taps<3, 2>, add_taps<3, 3>}};
  const long step = s.stride, channels = least(WORD, s.channels - word * WORD);
  for (long i = 0; i < s.kernel; i += i % step == step - 1 ? (ROWS - 1) * step + 1 : 1)
    for (long j = 0; j < s.kernel; j += j % step == step - 1 ? 2 * step + 1 : 1) {  // the first of up to ROWS x 3 taps
      const long rows = least(ROWS, (s.kernel - 1 - i) / step + 1), columns = least(3, (s.kernel - 1 - j) / step + 1);
      long tap[9];
      for (long k = 0; k < rows * columns; ++k) tap[k] = (i + k / columns * step) * s.kernel + j + k % columns * step;
      const V* from = &border.values[0] - (i / step * border.wide + j / step);
      for (long c = 0; c < channels; ++c) {
        const long list = (i % step * step + j % step) * WORD + c;
        ADD[rows - 1][columns - 1](sums + c * s.taps(), tap, from, border.wide, &places.place[list * places.room],
                                   places.count[list]);
      }
    }
}

// gw[output][channel][tap] of a word and block, from the sums [channel][tap] of each part, `step` apart.
void collect(const Shape& s, const V* sums, long parts, long step, long word, long block, float* gw) {
  const long taps = s.taps(), live = least(WORD, s.channels - word * WORD) * taps;
  for (long i = 0; i < live; i += LANES) {
    V v[LANES] = {};
    for (long k = 0; k < least(LANES, live - i); ++k)
      for (long part = 0; part < parts; ++part) v[k] += sums[part * step + i + k];
    transpose(v);
    for (long o = 0; o < LANES; ++o)
      store(gw + ((block * LANES + o) * s.channels + word * WORD) * taps + i, v[o], live - i);
  }
}

// gw[output][channel][tap] = sum over the positions with a spike of g[position][output]. Images are dealt to parts, whose
// sums are added up in order: how many there are depends on shapes alone. Where all images are near at once, sums need
// not wait for others.
void weight_gradient(const Shape& s, const Word* bits, const float* g, float* gw) {
  const long words = s.words(), blocks = s.outputs / LANES, size = s.taps() * WORD;
  const long images = std::max(1L, NEAR / Bordered::places_of(s)), chunks = (s.n + images - 1) / images;
  const long parts = std::max(1L, std::min(chunks, 8 / words)), step = words * blocks * size;
  const Scratch<V> sums(chunks > 1 ? parts * step : 0, V{});
#pragma omp parallel for schedule(dynamic) num_threads(s.threads) if (s.threads > 1)
  for (long task = 0; task < parts * words; ++task) {
    const long part = task / words, word = task % words;
    Bordered border(s, images);
    Places places(s, images * s.height * s.width);
    for (long chunk = part * chunks / parts; chunk < (part + 1) * chunks / parts; ++chunk) {
      const long from = chunk * images, count = least(images, s.n - from);
      places.load(s, bits, word, from, count, border);
      for (long block = 0; block < blocks; ++block) {
        border.load(g, block * LANES, from, count);
        if (chunks == 1) {
          const Scratch<V> own(size, V{});
          add_word(s, places, border, word, own.data);
          collect(s, own.data, 1, 0, word, block, gw);
        } else
          add_word(s, places, border, word, sums.data + (task * blocks + block) * size);
      }
    }
  }
  if (chunks == 1) return;
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long task = 0; task < words * blocks; ++task)
    collect(s, sums.data + task * size, parts, step, task / blocks, task % blocks, gw);
}

}  // namespace

PUBLIC void differentiate(const Shape& s, const Word* bits, const float* g, float* gw) {
  weight_gradient(s, bits, g, gw);
}
