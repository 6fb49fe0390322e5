//# A template: source.py says how holes are marked, cpu.py fills them. This line does not appear in a kernel's text.
// A neuron's kernel on a CPU: time runs inside a block of VECS vectors of neighbouring neurons. chunks.h cuts a call
// into such blocks; `span` goes through some of them. Whatever is walked block by block is a stream: a pointer p, its
// stride over time p_t, a number of steps. A null pointer to a state means zeros, one to a result that it is not wanted.
// x and s are input and spikes, r what is added to a norm's output, v<i> a state, c<i> a coefficient, n<i> a statement; g stands before a gradient.

//% macro tables(streams)
  static constexpr int STEPS = T, GIVEN = ${streams | rejectattr("sum") | list | length}, UNIFORMS = ${uniform | length};
  static constexpr bool PERIOD = ${(period or not backward) | lower};
//% if not T
  static constexpr bool WIDE[] = {${wide | map("lower") | join(", ") or "false"}};
  static constexpr long TAPE = ${(taped | length or 1) + (kept | length or 1) if backward else 0} * sizeof(V) * VECS;
//% endif
  static constexpr Kind STREAM[] = {
//% for s in streams
      {sizeof(${s.type}), ${s.steps}, ${s.flags}},  // ${s.name}
//% endfor
  };
//% endmacro

//% macro pointers(streams)
//% for s in streams
    ${s.type}* __restrict ${s.name} = (${s.type}*)q[${loop.index0}].p; const long ${s.name}_t = q[${loop.index0}].stride;
//% endfor
//% if not T
    const int T = q[${streams | length}].stride;
//% endif
//% endmacro

//% macro next_block(streams)
//% for s in streams if not s.sum
      if (${s.name}) ${s.name} += B;
//% endfor
//% endmacro

//% macro first_states(sweep)
//% for i in uniform if not program.per_step[i]
      const V c${i} = K(*u[${uniform.index(i)}].p);
//% endfor
//% for line in sweep.lines.once
      ${line}
//% endfor
      V v[STATES + 1][VECS];
//% for i in states
      EACH_VECTOR v[${i}][k] = first${i} ? load(first${i} + k * W) : V{};
//% endfor
//% endmacro

//% macro unroll()
//% if 0 < T <= unrolled
#pragma GCC unroll ${unrolled}
//% endif
//% endmacro

//% macro timestep(sweep)
//% for i in uniform if program.per_step[i]
        const V c${i} = K(u[${uniform.index(i)}].p[t * u[${uniform.index(i)}].over_time]);
//% endfor
//% for line in sweep.lines.each
        ${line}
//% endfor
//% endmacro

//% macro input(pointer, name, moves)
//% set at = pointer ~ (" + t * " ~ pointer ~ "_t" if moves else "")
          const V ${name} = load(${at} + k * W); fetch(${at} + k * W + B);
//% endmacro

//% macro step(sweep)
//% for i in along
          const V c${i} = load(cp${i} + ${"t * cp%d_t + " % i if program.per_step[i]}k * W);
//% endfor
//% for line in sweep.lines.neuron
          ${line}
//% endfor
//% endmacro

//% macro states_of_timestep()
//% for i in states
          const V v${i} = v[${i}][k];
//% endfor
//% endmacro

//% macro next_states(sweep)
//% for i in states
          v[${i}][k] = ${sweep.value(program.next_states[i])};
//% endfor
//% endmacro

//% macro add(at, term, wide)
//% if period and wide and not T
store(sums[${at}] + t * sum${at}_t + k * W, load(sums[${at}] + t * sum${at}_t + k * W) + ${term});
//% elif period
store(sums[${at}] + k * W, load(sums[${at}] + k * W) + ${term});
//% else
sums[${at}] += sel(live_mask[k], ${term}, V{});
//% endif
//% endmacro

//% if io == "half"
#define HALF
//% endif
#include "vector.h"
#include "chunks.h"

namespace {

constexpr int T = ${T}, STATES = ${states | length};
typedef ${io} IO;

//% if not backward
struct Forward {
//% print tables(streams)
  static void span(const Stream* q, const Uniform* u, long blocks, int live, bool past, double* totals) {
//% print pointers(streams)
    for (long b = 0; b < blocks; ++b) {
//% print first_states(forward)
//% print unroll()
      for (int t = 0; t < T; ++t) {
//% print timestep(forward)
        EACH_VECTOR {
//% print input("xp", "x", not static)
//% if program.residual
//% print input("rp", "r", true)
//% endif
//% print states_of_timestep()
//% print step(forward)
          put(past, sp + t * sp_t + k * W, ${forward.value(program.spikes)});
//% print next_states(forward)
        }
      }
//% for i in states
      if (last${i}) EACH_VECTOR store(last${i} + k * W, v[${i}][k]);
//% endfor
//% print next_block(streams)
    }
  }
};

//% else
struct Backward {
//% print tables(streams)
  // Sums over neurons; of each, the coefficient (among those wanted) and the timestep.
  static constexpr int SLOTS = ${slots | length};
  static constexpr int OWNER[] = {${owners | join(", ")}};
  static constexpr int STEP[] = {${slots | map("last") | join(", ") or 0}};
  static void span(const Stream* q, const Uniform* u, long blocks, int live, bool past, double* totals) {
//% print pointers(streams)
//% if slots and period
    float* sums[] = {${streams | selectattr("sum") | map(attribute="name") | join(", ")}};
//% elif slots and T
    V sums[SLOTS] = {};
//% elif slots
    V* sums = (V*)(q[${streams | length}].p + TAPE * T);
    const long all_sums = ${plain_sums} + ${wide_sums} * (long)T;
    for (long j = 0; j < all_sums; ++j) sums[j] = V{};
//% endif
//% if slots and not period
    M live_mask[VECS];
    EACH_VECTOR live_mask[k] = first(live - k * W);
//% endif
    for (long b = 0; b < blocks; ++b) {
//% print first_states(start)
      V g[STATES + 1][VECS];
//% if T
      V tape[T][${taped | length + 1}][VECS], kept[T][${kept | length + 1}][VECS];
//% else
      typedef V Taped[${taped | length or 1}][VECS], Kept[${kept | length or 1}][VECS];
      Taped* const tape = (Taped*)q[${streams | length}].p; Kept* const kept = (Kept*)(tape + T);
//% endif
//% print unroll()
      for (int t = 0; t < T; ++t) {
//% print timestep(replay)
        EACH_VECTOR {
//% for i in taped
          tape[t][${loop.index0}][k] = v[${i}][k];
//% endfor
//% if not kept
          if (t == T - 1) continue;
//% endif
//% print input("xp", "x", not static)
//% if program.residual
//% print input("rp", "r", true)
//% endif
//% print states_of_timestep()
//% print step(replay)
//% for node in kept
          kept[t][${loop.index0}][k] = ${replay.value(node)};
//% endfor
//% print next_states(replay)
        }
      }
//% for i in states
      EACH_VECTOR g[${i}][k] = glast${i} ? load(glast${i} + k * W) : V{};
//% endfor
//% for i in wanted if not program.per_step[i]
      V a${i}[VECS] = {};
//% endfor
//% if static
      V all[VECS] = {};
//% endif
//% print unroll()
      for (int t = T - 1; t >= 0; --t) {
//% print timestep(reverse)
        EACH_VECTOR {
//% print input("gsp", "gs", true)
//% for i in states
          const V gv${i} = g[${i}][k];
//% endfor
//% print input("xp", "x", not static)
//% if program.residual
//% print input("rp", "r", true)
//% endif
//% for i in taped
          const V v${i} = tape[t][${loop.index0}][k];
//% endfor
//% print step(reverse)
//% if static
          all[k] += ${reverse.value(program.grad_x)};
//% else
          if (gxp) put(past, gxp + t * gxp_t + k * W, ${reverse.value(program.grad_x)});
//% endif
//% for i in states
          g[${i}][k] = ${reverse.value(program.grad_states[i])};
//% endfor
//% for i in wanted
//% set term = reverse.value(program.grad_coefficients[i])
          ${add(place[i] ~ (" + t" if T or not period else ""), term, true) | trim if program.per_step[i] else "a%d[k] += %s;" % (i, term)}
//% endfor
        }
      }
//% if static
      if (gxp) EACH_VECTOR put(past, gxp + k * W, all[k]);
//% endif
//% for i in states
      if (gfirst${i}) EACH_VECTOR store(gfirst${i} + k * W, g[${i}][k]);
//% endfor
//% for i in wanted if not program.per_step[i]
      EACH_VECTOR ${add(place[i], "a%d[k]" % i, false) | trim}
//% endfor
//% print next_block(streams)
//% if slots and period
//% for slot in slots
      sums[${loop.index0}] += B;
//% endfor
//% endif
    }
//% if slots and not period
    for (long j = 0; j < ${"SLOTS" if T else "all_sums"}; ++j) totals[j] += total(sums[j]);
//% endif
  }
};

//% endif
}  // namespace

extern "C" __attribute__((visibility("default"))) void run(const long* a) {
  ${"backward<Backward>" if backward else "forward<Forward>"}(a);
}
