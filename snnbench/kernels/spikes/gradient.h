// The weight's gradient: for each channel and tap, the sum of the output's gradient where there was a spike.

namespace {

// Some images' output gradients of up to GROUP times 16 outputs, with a border of zeros: an input position (h, w) meets
// through the tap (kh, kw) the output at ((h + padding) / stride - kh / stride, ...) if the remainders agree. So of inputs
// with equal remainders, their class, one list of places serves all of the class's taps, which shift it.
struct Bordered {
  const Shape& s;
  const long low, high, wide, images, places;
  std::vector<V> values;  // [GROUP][places], each of 16 outputs
  Bordered(const Shape& s)
      : s(s), low((s.kernel - 1) / s.stride), high((s.height - 1 + s.padding) / s.stride + low + 1),
        wide((s.width - 1 + s.padding) / s.stride + low + 1), images(std::max(1L, NEAR / (s.height * s.width))),
        places(images * high * wide), values(GROUP * places) {}
  void load(const float* g, long first, long groups, long from, long count) {
    const long rows = least(s.rows, high - low), columns = least(s.columns, wide - low), pixels = s.rows * s.columns;
    for (long image = 0; image < count; ++image)
      for (long row = 0; row < rows; ++row)
        for (long k = 0; k < groups; ++k) {
          V* to = &values[k * places + (image * high + row + low) * wide + low];
          const long pixel = row * s.columns, output = (first + k) * LANES;
          const float* of = g + (from + image) * pixels * s.outputs;
          if (s.last)
            for (long i = 0; i < columns; ++i) to[i] = *(const U*)(of + (pixel + i) * s.outputs + output);
          else
            for (long o = 0; o < LANES; ++o)
              for (long i = 0; i < columns; ++i) ((float*)&to[i])[o] = of[(output + o) * pixels + pixel + i];
        }
  }
};

// Of each channel of a word and class, the places of its spikes in a Bordered.
struct Places {
  const long room;
  std::vector<Entry> place;
  std::vector<long> count;
  Places(const Shape& s, long room) : room(room), place(s.stride * s.stride * WORD * room), count(s.stride * s.stride * WORD) {}
  void load(const Shape& s, const Lists& lists, long word, long from, long images, long high, long wide) {
    std::fill(count.begin(), count.end(), 0);
    for (long image = 0; image < images; ++image)
      for (long h = 0; h < s.height; ++h)
        for (long w = 0; w < s.width; ++w) {
          const long y = h + s.padding, x = w + s.padding, low = (s.kernel - 1) / s.stride;
          const long kind = (y % s.stride * s.stride + x % s.stride) * WORD;
          const Entry at = (image * high + y / s.stride + low) * wide + x / s.stride + low;
          const unsigned* of = &lists.begin[(((from + image) * s.height + h) * s.width + w) * s.words() + word];
          for (unsigned k = of[0]; k < of[1]; ++k) {
            const long list = kind + lists.channel[k];
            place[list * room + count[list]++] = at;
          }
        }
  }
};

// sum[k] += the values that `e` lists, each k places before.
template <int TAPS> inline void add_taps(V* sum, const V* from, const Entry* e, const Entry* end) {
  V a[TAPS] = {}, b[TAPS] = {};
  for (; e + 1 < end; e += 2) {
    const V *p = from + e[0], *q = from + e[1];
#pragma GCC unroll 8
    for (int k = 0; k < TAPS; ++k) a[k] += p[-k], b[k] += q[-k];
  }
  if (e < end)
    for (int k = 0; k < TAPS; ++k) a[k] += from[e[0] - k];
  for (int k = 0; k < TAPS; ++k) sum[k * WORD] += a[k] + b[k];
}

// sums[tap][channel] of a word += those of the places, of the k-th 16 outputs of the border.
void add_word(const Shape& s, const Places& places, const Bordered& border, long k, long word, V* sums) {
  const bool three = s.kernel == 3 && s.stride == 1;
  for (long tap = 0; tap < s.taps(); tap += three ? 3 : 1) {
    const long kh = tap / s.kernel, kw = tap % s.kernel;
    const long kind = (kh % s.stride * s.stride + kw % s.stride) * WORD;
    const V* from = &border.values[k * border.places] - (kh / s.stride * border.wide + kw / s.stride);
    for (long c = 0; c < least(WORD, s.channels - word * WORD); ++c) {
      const Entry *e = &places.place[(kind + c) * places.room], *end = e + places.count[kind + c];
      V* sum = sums + tap * WORD + c;
      three ? add_taps<3>(sum, from, e, end) : add_taps<1>(sum, from, e, end);
    }
  }
}

// gw[output][channel][tap] = sum over the positions with a spike of g[position][output]. Images are dealt to parts, whose
// sums are added up in order: how many there are depends on shapes alone.
void weight_gradient(const Shape& s, const Word* bits, const float* g, float* gw) {
  const Lists lists(s, bits);
  const long taps = s.taps(), words = s.words(), blocks = s.outputs / LANES, size = words * taps * WORD;
  const long groups = (blocks + GROUP - 1) / GROUP, images = Bordered(s).images, chunks = (s.n + images - 1) / images;
  const long parts = std::max(1L, std::min(chunks, 16 / groups));
  std::vector<V> sums(parts * blocks * size);
#pragma omp parallel for schedule(dynamic) num_threads(s.threads) if (s.threads > 1)
  for (long task = 0; task < parts * groups; ++task) {
    const long part = task / groups, first = task % groups * GROUP, group = least(GROUP, blocks - first);
    Bordered border(s);
    Places places(s, images * s.height * s.width);
    for (long chunk = part * chunks / parts; chunk < (part + 1) * chunks / parts; ++chunk) {
      const long from = chunk * images, count = least(images, s.n - from);
      border.load(g, first, group, from, count);
      for (long word = 0; word < words; ++word) {
        places.load(s, lists, word, from, count, border.high, border.wide);
        for (long k = 0; k < group; ++k)
          add_word(s, places, border, k, word, &sums[((part * blocks + first + k) * words + word) * taps * WORD]);
      }
    }
  }
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long o = 0; o < s.outputs; ++o)
    for (long c = 0; c < s.channels; ++c)
      for (long tap = 0; tap < taps; ++tap) {
        const long entry = (c / WORD * taps + tap) * WORD + c % WORD;
        float sum = 0;
        for (long part = 0; part < parts; ++part)
          sum += sums[(part * blocks + o / LANES) * size + entry][o % LANES];
        gw[(o * s.channels + c) * taps + tap] = sum;
      }
}

}  // namespace

PUBLIC void differentiate(const Shape& s, const Word* bits, const float* g, float* gw) {
  weight_gradient(s, bits, g, gw);
}
