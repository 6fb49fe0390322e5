//# A template: source.py says how holes are marked, cuda.py fills them. This line does not appear in a kernel's text.
// A neuron's kernel on a GPU: one thread for VEC neighbouring neurons, states in registers, time inside.
//
// A thread takes the neurons i, i + lanes, i + 2 lanes, ...; `lanes` is a multiple of the period of the channel
// pattern, so a thread stays in its channel and adds up its part of the coefficients' gradients; torch.sum adds the
// parts. All of a segment of timesteps is loaded before its first store. Where T x states would outgrow the registers,
// the backward keeps the states only at the start of each segment, and goes through the segments from the last to the
// first, replaying each.
//
// x and s are input and spikes, r what is added to a norm's output, v<i> a state, c<i> a coefficient, a<i> the sum of
// its gradient, n<i> a statement of the step; g stands before the name of a gradient. A pointer p to a tensor comes
// with its strides: p_t over time. A null pointer to a state means zeros, one to a result that it is not wanted.

//% macro lane()
  const I lane = ((I)blockIdx.x * blockDim.x + threadIdx.x) * VEC;
  if (lane >= lanes) return;
//% if channelled | select | list
  unsigned channel[VEC];
  channel[0] = (unsigned)lane / (unsigned)inner;
  const unsigned beyond = (unsigned)lane - channel[0] * (unsigned)inner;
  channel[0] %= (unsigned)channels;
  following(channel, beyond, (unsigned)inner, (unsigned)channels);
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
    V v[STATES + 1][VEC];
//% for i in states
    get_state(v[${i}], first${i}, i);
//% endfor
//% if static
    V x0[VEC];
    numbers(x0, get(xp + i));
//% endif
//% endmacro

//% macro step(sweep, state)
        const V x = ${"x0[j]" if static else "xs[k][j]"};
//% if program.residual
        const V r = rs[k][j];
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

//% macro kept(to, from)
//% if segments > 1
#pragma unroll
      for (int at = 0; at < SEGMENTS; ++at) {
        if (at != part) continue;
//% print copy(to, from) | deeper
      }
//% else
//% print copy(to, from)
//% endif
//% endmacro

//% macro timesteps()
#pragma unroll
      for (int k = 0; k < SEGMENT; ++k) {
        const int t = part * SEGMENT + k;
//% if T % segment
        if (t >= T) break;
//% endif
//% endmacro

//% macro loads(gradients)
//% set read = [("xs", "xp")] if not static else []
//% set read = read + ([("rs", "rp")] if program.residual else []) + ([("gss", "gsp")] if gradients else [])
//% for name, _ in read
      Pack ${name}_in[SEGMENT];
      V ${name}[SEGMENT][VEC];
//% endfor
//% if read
//% print timesteps()
//%   for name, pointer in read
        ${name}_in[k] = get(${pointer} + t * ${pointer}_t + i);
//%   endfor
      }
//% print timesteps()
//%   for name, _ in read
        numbers(${name}[k], ${name}_in[k]);
//%   endfor
      }
//% endif
//% endmacro

//% macro replayed(taped)
//% print timesteps()
//% if taped
//% print copy("tape[k]", "v") | deeper
        if (k == SEGMENT - 1) break;
//% endif
        EACH(j) {
//% print step(replay, "v") | deeper
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
#pragma unroll 1
    for (int part = 0; part < SEGMENTS; ++part) {
//% print loads(false)
//% print timesteps()
        V s[VEC];
        EACH(j) {
//% print step(forward, "v") | deeper
          s[j] = ${forward.value(program.spikes)};
//% print next_states(forward) | deeper
        }
        put(sp + t * sp_t + i, s);
      }
    }
//% for i in states
    put_state(last${i}, v[${i}], i);
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
  V sum${i}[${T if program.per_step[i] else 1}][VEC] = {};
//% endfor
  for (I i = lane; i < size; i += lanes) {
//% print first_states()
    V g[STATES + 1][VEC];
//% for i in states
    get_state(g[${i}], glast${i}, i);
//% endfor
//% if static
    V all[VEC] = {};
//% endif
    V start[SEGMENTS][STATES + 1][VEC];
//% if segments > 1
#pragma unroll 1
    for (int part = 0; part < SEGMENTS; ++part) {
//% print kept("start[at]", "v")
      if (part == SEGMENTS - 1) break;
//% print loads(false)
//% print replayed(false)
    }
//% else
//% print copy("start[0]", "v")
//% endif
#pragma unroll 1
    for (int part = SEGMENTS - 1; part >= 0; --part) {
      V tape[SEGMENT][STATES + 1][VEC];
//% print loads(true)
//% print kept("v", "start[" ~ ("at" if segments > 1 else "0") ~ "]")
//% print replayed(true)
#pragma unroll
      for (int k = SEGMENT - 1; k >= 0; --k) {
        const int t = part * SEGMENT + k;
//% if T % segment
        if (t >= T) continue;
//% endif
//% if not static
        V gx[VEC];
//% endif
        EACH(j) {
          const V gs = gss[k][j];
//% for i in states
          const V gv${i} = g[${i}][j];
//% endfor
//% for i in wanted
          const V a${i} = sum${i}[${"t" if program.per_step[i] else "0"}][j];
//% endfor
//% print step(reverse, "tape[k]") | deeper
//% if static
          all[j] += ${reverse.value(program.grad_x)};
//% else
          gx[j] = ${reverse.value(program.grad_x)};
//% endif
//% for i in states
          g[${i}][j] = ${reverse.value(program.grad_states[i])};
//% endfor
//% for i in wanted
          sum${i}[${"t" if program.per_step[i] else "0"}][j] = ${reverse.value(program.grad_coefficients[i])};
//% endfor
        }
//% if not static
        if (wanted(gxp)) put(gxp + t * gxp_t + i, gx);
//% endif
      }
    }
//% if static
    if (gxp) put(gxp + i, all);
//% endif
//% for i in states
    put_state(gfirst${i}, g[${i}], i);
//% endfor
  }
//% for i, t in slots
  EACH(j) partial[${loop.index0} * lanes + lane + j] = sum${i}[${t}][j];
//% endfor
}
//% endif
