//# A template: source.py says how holes are marked, cuda.py fills them. This line does not appear in a kernel's text.
// A neuron's kernel on a GPU: one thread for VEC neighbouring neurons, states in registers, time inside.
//
// A thread takes the neurons i, i + lanes, i + 2 lanes, ...; `lanes` is a multiple of the period of the channel
// pattern, so a thread stays in its channel and adds up its part of the coefficients' gradients; torch.sum adds the
// parts. All of a segment is loaded before its first store. Where T x states would outgrow the registers, the backward keeps the states only at the start of each segment
// of timesteps, and goes through the segments from the last to the first, replaying each.
//
// x and s are input and spikes, r what is added to a norm's output, v<i> a state, c<i> a coefficient, n<i> a statement of the step; g stands before the name
// of a gradient. A pointer p to a tensor comes with its strides: p_t over time. A null pointer to a
// state means zeros, one to a result that it is not wanted.

//% macro lane()
  const I lane = ((I)blockIdx.x * blockDim.x + threadIdx.x) * VEC;
  if (lane >= lanes) return;
//% if channelled | select | list
  unsigned channel[VEC];
  EACH(j) channel[j] = (unsigned)(lane + j) / (unsigned)inner % (unsigned)channels;
//% endif
//% for i in coefficients if not program.per_step[i]
//%   if channelled[i]
  V b${i}[VEC];
  EACH(j) b${i}[j] = cp${i}[channel[j]];
//%   else
  const V b${i} = *cp${i};
//%   endif
//% endfor
//% endmacro

//% macro first_states()
//% if static
    const Pack in = get(xp + i);
//% endif
    V v[STATES + 1][VEC];
//% for i in states
    EACH(j) v[${i}][j] = first${i} ? first${i}[i + j] : 0.0f;
//% endfor
//% endmacro

//% macro input()
//% if not static
      const Pack in = get(xp + t * xp_t + i);
//% endif
//% if program.residual
      const Pack beside = get(rp + t * rp_t + i);
//% endif
//% endmacro

//% macro step(sweep, state, at="")
        const V x = from_io(in${at if not static}.at[j]);
//% if program.residual
        const V r = from_io(beside${at}.at[j]);
//% endif
//% for i in states
        const V v${i} = ${state}[${i}][j];
//% endfor
//% for i in sweep.coefficients
//%   if program.per_step[i]
        const V c${i} = cp${i}[t * cp${i}_t${" + channel[j]" if channelled[i]}];
//%   else
        const V c${i} = b${i}${"[j]" if channelled[i]};
//%   endif
//% endfor
//% for line in sweep.lines.neuron
        ${line}
//% endfor
//% endmacro

//% macro next_states(sweep)
//% for i in states
        v[${i}][j] = ${sweep.value(program.next_states[i])};
//% endfor
//% endmacro

//% macro copy(to, from)
//% for i in states
      EACH(j) ${to}[${i}][j] = ${from}[${i}][j];
//% endfor
//% endmacro

//% macro timesteps()
#pragma unroll
      for (int k = 0; k < SEGMENT; ++k) {
        const int t = part * SEGMENT + k;
//% if T % segment
        if (t >= T) break;
//% endif
//% endmacro

//% macro loads()
//% if not static
      Pack in[SEGMENT];
//% endif
//% if program.residual
      Pack beside[SEGMENT];
//% endif
      Pack gin[SEGMENT];
//% print timesteps()
//% if not static
        in[k] = get(xp + t * xp_t + i);
//% endif
//% if program.residual
        beside[k] = get(rp + t * rp_t + i);
//% endif
        gin[k] = get(gsp + t * gsp_t + i);
      }
//% endmacro

//% macro replayed(taped)
//% print timesteps()
//% if taped
//% print copy("tape[k]", "v") | deeper
        if (k == SEGMENT - 1) break;
//% else
//% print input() | deeper
//% endif
        EACH(j) {
//% print step(replay, "v", "[k]" if taped else "") | deeper
//% print next_states(replay) | deeper
        }
      }
//% endmacro

#define VEC ${vec}
//% if io != "float"
#define ${io | upper}
//% endif
#include "thread.h"

constexpr int T = ${T}, STATES = ${states | length}, SEGMENT = ${segment}, SEGMENTS = ${segments};

//% if not backward
extern "C" __global__ void __launch_bounds__(256) forward(
//% for i in coefficients
    const V* __restrict__ cp${i}, I cp${i}_t,
//% endfor
//% for i in states
    const V* __restrict__ first${i}, V* __restrict__ last${i},
//% endfor
    const IO* __restrict__ xp, I xp_t,
//% if program.residual
    const IO* __restrict__ rp, I rp_t,
//% endif
    IO* __restrict__ sp, I sp_t, I size, I lanes, I inner, I channels) {
//% print lane()
  for (I i = lane; i < size; i += lanes) {
//% print first_states()
#pragma unroll${"" if T <= registers else " 4"}
    for (int t = 0; t < T; ++t) {
//% print input()
      Pack out;
      EACH(j) {
//% print step(forward, "v")
        out.at[j] = to_io(${forward.value(program.spikes)});
//% print next_states(forward)
      }
      *(Pack*)(sp + t * sp_t + i) = out;
    }
//% for i in states
    if (last${i}) EACH(j) last${i}[i + j] = v[${i}][j];
//% endfor
  }
}
//% else
extern "C" __global__ void __launch_bounds__(256) backward(
//% for i in coefficients
    const V* __restrict__ cp${i}, I cp${i}_t,
//% endfor
//% for i in states
    const V* __restrict__ first${i}, const V* __restrict__ glast${i}, V* __restrict__ gfirst${i},
//% endfor
    const IO* __restrict__ xp, I xp_t,
//% if program.residual
    const IO* __restrict__ rp, I rp_t,
//% endif
    const IO* __restrict__ gsp, I gsp_t, IO* __restrict__ gxp, I gxp_t, V* __restrict__ partial,
    I size, I lanes, I inner, I channels) {
//% print lane()
//% for i in wanted
  V a${i}[${T if program.per_step[i] else 1}][VEC] = {};
//% endfor
  for (I i = lane; i < size; i += lanes) {
//% print first_states()
    V g[STATES + 1][VEC];
//% for i in states
    EACH(j) g[${i}][j] = glast${i} ? glast${i}[i + j] : 0.0f;
//% endfor
//% if static
    V all[VEC] = {};
//% endif
    V start[SEGMENTS][STATES + 1][VEC];
//% if segments > 1
    for (int part = 0; part < SEGMENTS; ++part) {
//% print copy("start[part]", "v")
      if (part == SEGMENTS - 1) break;
//% print replayed(false)
    }
//% else
//% for i in states
    EACH(j) start[0][${i}][j] = v[${i}][j];
//% endfor
//% endif
    for (int part = SEGMENTS - 1; part >= 0; --part) {
      V tape[SEGMENT][STATES + 1][VEC];
//% print loads()
//% print copy("v", "start[part]")
//% print replayed(true)
#pragma unroll
      for (int k = SEGMENT - 1; k >= 0; --k) {
        const int t = part * SEGMENT + k;
//% if T % segment
        if (t >= T) continue;
//% endif
        Pack out;
        EACH(j) {
          const V gs = from_io(gin[k].at[j]);
//% for i in states
          const V gv${i} = g[${i}][j];
//% endfor
//% print step(reverse, "tape[k]", "[k]") | deeper
//% if static
          all[j] += ${reverse.value(program.grad_x)};
//% else
          out.at[j] = to_io(${reverse.value(program.grad_x)});
//% endif
//% for i in states
          g[${i}][j] = ${reverse.value(program.grad_states[i])};
//% endfor
//% for i in wanted
          a${i}[${"t" if program.per_step[i] else "0"}][j] += ${reverse.value(program.grad_coefficients[i])};
//% endfor
        }
//% if not static
        if (gxp) *(Pack*)(gxp + t * gxp_t + i) = out;
//% endif
      }
    }
//% if static
    if (gxp) {
      Pack out;
      EACH(j) out.at[j] = to_io(all[j]);
      *(Pack*)(gxp + i) = out;
    }
//% endif
//% for i in states
    if (gfirst${i}) EACH(j) gfirst${i}[i + j] = g[${i}][j];
//% endfor
  }
//% for i, t in slots
  EACH(j) partial[${loop.index0} * lanes + lane + j] = a${i}[${t}][j];
//% endfor
}
//% endif
