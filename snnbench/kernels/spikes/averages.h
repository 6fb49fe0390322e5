// Averages of windows that lie apart, without a border, of images whose channels lie last: a pixel at a time.

namespace {

template <class Task> void each_window(const Pool& s, const Task& task) {
#pragma omp parallel for num_threads(s.threads) if (s.threads > 1)
  for (long r = 0; r < s.n * s.rows; ++r) {
    const Side h(r % s.rows, s.kernel_h, s.stride_h, 0, s.height);
    for (long column = 0; column < s.columns; ++column) {
      const Side w(column, s.kernel_w, s.stride_w, 0, s.width);
      const float count = (h.end - h.begin) * (w.end - w.begin);
      task(h, w, r / s.rows * s.height * s.width * s.channels, (r * s.columns + column) * s.channels, count);
    }
  }
}

void average_apart(const Pool& s, const float* x, float* y) {
  each_window(s, [&](const Side& h, const Side& w, long image, long to, float count) {
    long c = 0;
    for (; c + LANES <= s.channels; c += LANES) {
      V sum = {};
      for (long i = h.begin; i < h.end; ++i)
        for (long j = w.begin; j < w.end; ++j) sum += *(const U*)(x + image + (i * s.width + j) * s.channels + c);
      *(U*)(y + to + c) = sum / count;
    }
    for (; c < s.channels; ++c) {
      float sum = 0.0f;
      for (long i = h.begin; i < h.end; ++i)
        for (long j = w.begin; j < w.end; ++j) sum += x[image + (i * s.width + j) * s.channels + c];
      y[to + c] = sum / count;
    }
  });
}

// `gx` holds zeros where no window covers all of it.
void average_apart_back(const Pool& s, const float* g, float* gx) {
  each_window(s, [&](const Side& h, const Side& w, long image, long from, float count) {
    long c = 0;
    for (; c + LANES <= s.channels; c += LANES) {
      const V share = *(const U*)(g + from + c) / count;
      for (long i = h.begin; i < h.end; ++i)
        for (long j = w.begin; j < w.end; ++j) *(U*)(gx + image + (i * s.width + j) * s.channels + c) = share;
    }
    for (; c < s.channels; ++c)
      for (long i = h.begin; i < h.end; ++i)
        for (long j = w.begin; j < w.end; ++j) gx[image + (i * s.width + j) * s.channels + c] = g[from + c] / count;
  });
}

}  // namespace

PUBLIC void average_pool(const Pool& s, const float* x, float* y, long last) {
  last ? average_apart(s, x, y) : average_pairs(s, x, y);
}

PUBLIC void average_unpool(const Pool& s, const float* g, float* gx, long last) {
  last ? average_apart_back(s, g, gx) : average_pairs_back(s, g, gx);
}
