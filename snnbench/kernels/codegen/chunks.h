// A call on a CPU: its frames cut into rows, chunks and blocks, dealt to threads, and what is summed over neurons added up.
//
// A frame is rows x length neurons: one row where no coefficient is per channel; else a row is a run of neurons that
// share a channel or, where such runs are short (PERIOD), some periods of the pattern of channels, and the coefficients
// are vectors along it. Rows are cut into chunks, chunks into blocks; `span`, of a Kernel in loop.cpp, goes through blocks.
// Sums over neurons are made per block, per chunk, then over the chunks in order, so that no thread count shows.
//
// T is Kernel::STEPS; where that is 0, T is a number of the call, and what grows with it is memory of the heap.

#ifdef __linux__
extern "C" int madvise(void*, unsigned long, int);
#endif

// No name may leave this file: the dynamic linker would merge equal names of different kernels.
namespace {

// States over time stay in the first-level cache up to T = 128.
constexpr int VECS = 2, B = VECS * W;
constexpr long CHUNK = 4096 / B * B;
#define EACH_VECTOR _Pragma("GCC unroll 2") for (int k = 0; k < VECS; ++k)

// Whatever is walked block by block is a stream; a coefficient that a chunk shares is uniform.
struct Stream { char* p; long stride; };
struct Uniform { float* p; long over_time, over_channels; };

// A stream is read, written, past the caches if it may; follows the period of the channels, and is a sum over periods.
enum { IN = 1, OUT = 2, PAST = 4, ALONG = 8, SUM = 16 };
struct Kind { int size, steps, is; };

struct Job {
  long rows, length, total, channels, inner, threads, past;
  const Stream* streams;
  const Uniform* uniforms;
  float* spread;
  long steps;
};

template <class Number> INLINE void put(bool past, Number* p, V v) { if (past) stream(p, v); else store(p, v); }
INLINE M first(int n) { M r; EACH(i) r.a[i] = i < n ? -1 : 0, r.b[i] = i + W / 2 < n ? -1 : 0; return r; }
INLINE double total(V v) { double r = 0; EACH(i) r += v.a[i] + v.b[i]; return r; }

template <class Kernel> constexpr int room() {
  int sum = 0;
  for (const Kind& kind : Kernel::STREAM) sum += kind.steps * kind.size;
  return sum;
}

template <class Kernel> INLINE Kind kind_of(const Job& job, int i) {
  Kind kind = Kernel::STREAM[i];
  if (!Kernel::STEPS && !kind.steps) kind.steps = job.steps;
  return kind;
}

// A slot is one sum over neurons; where T is a number of the call, also one for each timestep.
template <class Kernel> INLINE long width(const Job& job, int slot) {
  if constexpr (Kernel::STEPS) return 1;
  else return Kernel::WIDE[slot] ? job.steps : 1;
}
template <class Kernel> INLINE long sums_of(const Job& job) {
  long count = 0;
  for (int slot = 0; slot < Kernel::SLOTS; ++slot) count += width<Kernel>(job, slot);
  return count;
}

// Where T is a number of the call: memory for a block's values over time, then its sums, then copies.
template <class Kernel> struct Scratch {
  char *start = nullptr, *at = nullptr, *copies = nullptr;
  explicit Scratch(const Job& job) {
    if constexpr (!Kernel::STEPS) {
      long bytes = Kernel::TAPE * job.steps, copied = 0;
      if constexpr (!Kernel::PERIOD) bytes += sums_of<Kernel>(job) * sizeof(V);
      for (int i = 0; i < int(sizeof(Kernel::STREAM) / sizeof(Kind)); ++i)
        copied += (long)kind_of<Kernel>(job, i).steps * kind_of<Kernel>(job, i).size * B;
      start = (char*)malloc(bytes + copied + 128);
      at = start + (64 - (unsigned long)start % 64);
      copies = at + bytes;
      __builtin_memset(copies, 0, copied);
    }
  }
  ~Scratch() { if (!Kernel::STEPS) free(start); }
};

// `count` neurons of a row. The last, partial block goes through a copy, so that nobody reads or writes beyond.
template <class Kernel>
static void part(const Job& job, Stream* sums, long row, long from, double* totals) {
  constexpr int N = sizeof(Kernel::STREAM) / sizeof(Kind);
  const long at = row * job.length + from;
  long count = job.length - from < CHUNK ? job.length - from : CHUNK;
  if (job.total - at < count) count = job.total - at;
  if (count <= 0) return;
  Stream q[N + 1];
  Uniform u[Kernel::UNIFORMS + 1];
  bool past = job.past;
  for (int i = 0; i < N; ++i) {
    const Kind kind = kind_of<Kernel>(job, i);
    q[i] = kind.is & SUM ? *sums++ : job.streams[i];
    if (q[i].p) q[i].p += kind.size * (kind.is & ALONG ? from : at);
    if (kind.is & PAST) past = past && ((unsigned long)q[i].p | (unsigned long)(q[i].stride * kind.size)) % BYTES == 0;
  }
  for (int i = 0; i < Kernel::UNIFORMS; ++i) {
    u[i] = job.uniforms[i];
    u[i].p += row % job.channels * u[i].over_channels;
  }
  const Scratch<Kernel> scratch(job);
  if (!Kernel::STEPS) q[N] = {scratch.at, job.steps};
  const long blocks = count / B;
  const int rest = count % B;
  if (blocks) Kernel::span(q, u, blocks, B, past, totals);
  if (!rest) return;
  alignas(64) char copies[Kernel::STEPS ? room<Kernel>() * B + 64 : 64] = {};
  Stream c[N + 1];
  if (!Kernel::STEPS) c[N] = q[N];
  char* next = Kernel::STEPS ? copies : scratch.copies;
  for (int i = 0; i < N; ++i) {
    const Kind kind = kind_of<Kernel>(job, i);
    c[i] = {q[i].p ? next : nullptr, q[i].stride ? B : 0};
    if (!q[i].p) continue;
    q[i].p += blocks * B * kind.size;
    for (int t = 0; t < kind.steps && kind.is & IN; ++t)
      memcpy(next + t * c[i].stride * kind.size, q[i].p + t * q[i].stride * kind.size, rest * kind.size);
    next += (long)kind.steps * B * kind.size;
  }
  Kernel::span(c, u, 1, rest, false, totals);
  for (int i = 0; i < N; ++i) {
    const Kind kind = kind_of<Kernel>(job, i);
    for (int t = 0; t < kind.steps && kind.is & OUT && q[i].p; ++t)
      memcpy(q[i].p + t * q[i].stride * kind.size, c[i].p + t * c[i].stride * kind.size, rest * kind.size);
  }
}

// Large results are written for the first time here: 2 MiB pages save most of the page faults.
static void use_large_pages(const Stream& s, Kind kind, long neurons) {
#ifdef __linux__
  const unsigned long page = 1ul << 21, from = ((unsigned long)s.p + page - 1) / page * page;
  const unsigned long to = (unsigned long)s.p + neurons * kind.size * (s.stride ? kind.steps : 1);
  if (s.p && to > from + page) madvise((void*)from, (to - from) / page * page, 14);
#endif
}

// What `a` holds: the first members of Job, the streams, the uniforms. Of coefficients along a period, one value for each
// channel is given; they are written out here, into memory to be freed as job.spread.
template <class Kernel>
static Job read(const long* a, Stream* streams) {
  Job job = {a[0], a[1], a[2], a[3], a[4], a[5], a[6], streams, nullptr, nullptr, Kernel::STEPS ? Kernel::STEPS : a[7]};
  const Stream* given = (const Stream*)(a + (Kernel::STEPS ? 7 : 8));
  job.uniforms = (const Uniform*)(given + Kernel::GIVEN);
  long numbers = 0;
  for (int i = 0; i < Kernel::GIVEN; ++i) {
    const Kind kind = kind_of<Kernel>(job, i);
    streams[i] = given[i];
    if (kind.is & PAST) use_large_pages(streams[i], kind, job.total);
    if (kind.is & ALONG) numbers += kind.steps * job.length;
  }
  if (!numbers) return job;
  float* next = job.spread = (float*)malloc(numbers * sizeof(float));
  for (int i = 0; i < Kernel::GIVEN; ++i) {
    const Kind kind = kind_of<Kernel>(job, i);
    if (!(kind.is & ALONG)) continue;
    streams[i] = {(char*)next, job.length};
    for (int t = 0; t < kind.steps; ++t)
      for (const float* end = next + job.length; next < end;)
        for (long c = 0; c < job.channels; ++c)
          for (long k = 0; k < job.inner; ++k) *next++ = ((const float*)given[i].p)[t * given[i].stride + c];
  }
  return job;
}

template <class Kernel>
static void forward(const long* a) {
  Stream streams[Kernel::GIVEN];
  const Job job = read<Kernel>(a, streams);
  const long chunks = (job.length + CHUNK - 1) / CHUNK;
#pragma omp parallel for num_threads(job.threads) schedule(static) if (job.threads > 1)
  for (long i = 0; i < job.rows * chunks; ++i) part<Kernel>(job, nullptr, i / chunks, i % chunks * CHUNK, nullptr);
  free(job.spread);
}

// Adds up what the chunks have left for the coefficients, in their order.
template <class Kernel>
static void finish(const Job& job, const Uniform* out, long parts, const double* totals, const float* along) {
  double* sums = (double*)malloc(job.channels * sizeof(double));
  const long count = sums_of<Kernel>(job);
  int slot = 0;
  for (long sum = 0, t = 0; sum < count; ++sum, ++t) {
    if (t == width<Kernel>(job, slot)) ++slot, t = 0;
    for (long c = 0; c < job.channels; ++c) sums[c] = 0;
    const long chunks = (job.length + CHUNK - 1) / CHUNK;
    if (Kernel::PERIOD)
      for (long g = 0; g < parts; ++g) {
        const float *next = along + (g * count + sum) * job.length, *end = next + job.length;
        while (next < end)
          for (long c = 0; c < job.channels; ++c)
            for (long k = 0; k < job.inner; ++k) sums[c] += *next++;
      }
    else
      for (long i = 0; i < parts; ++i) sums[i / chunks % job.channels] += totals[i * count + sum];
    const Uniform& to = out[Kernel::OWNER[slot]];
    float* p = to.p + (Kernel::STEP[slot] + t) * to.over_time;
    double all = 0;
    for (long c = 0; c < job.channels; ++c) {
      all += sums[c];
      if (to.over_channels) p[c * to.over_channels] = sums[c];
    }
    if (!to.over_channels) *p = all;
  }
  free(sums);
}

template <class Kernel>
static void backward(const long* a) {
  constexpr int SLOTS = Kernel::SLOTS;
  Stream streams[Kernel::GIVEN];
  const Job job = read<Kernel>(a, streams);
  const long count = sums_of<Kernel>(job);
  const Uniform* out = job.uniforms + Kernel::UNIFORMS;
  const long chunks = (job.length + CHUNK - 1) / CHUNK;
  // A period's sums are vectors; rows that share them form a group, as many groups as keep 16 threads busy.
  long groups = (16 + chunks - 1) / chunks;
  if (groups < (job.rows + 63) / 64) groups = (job.rows + 63) / 64;
  if (groups > job.rows || !Kernel::PERIOD) groups = job.rows;
  const long per_group = groups ? (job.rows + groups - 1) / groups : 0;
  const unsigned long numbers = groups * (Kernel::PERIOD ? job.length : chunks) * count;
  double* totals = !Kernel::PERIOD && SLOTS ? (double*)calloc(numbers + 1, sizeof(double)) : nullptr;
  float* along = Kernel::PERIOD && SLOTS ? (float*)calloc(numbers + 1, sizeof(float)) : nullptr;
#pragma omp parallel for num_threads(job.threads) schedule(static) if (job.threads > 1)
  for (long i = 0; i < groups * chunks; ++i) {
    Stream sums[SLOTS + 1];
    float* mine = along + i / chunks * count * job.length;
    for (int j = 0; j < SLOTS; mine += width<Kernel>(job, j++) * job.length)
      sums[j] = {Kernel::PERIOD ? (char*)mine : nullptr, Kernel::STEPS ? 0 : job.length};
    for (long row = i / chunks * per_group; row < (i / chunks + 1) * per_group && row < job.rows; ++row)
      part<Kernel>(job, sums, row, i % chunks * CHUNK, totals + i * count);
  }
  if (SLOTS) finish<Kernel>(job, out, Kernel::PERIOD ? groups : groups * chunks, totals, along);
  free(totals);
  free(along);
  free(job.spread);
}

}  // namespace
