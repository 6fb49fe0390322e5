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
  const unsigned place = (unsigned)lane / (unsigned)inner;
//%   if period
  unsigned channel[VEC];
  channels_of(channel, place % (unsigned)channels, lane - place * inner, inner, channels);
//%   else
  const unsigned channel = place % (unsigned)channels;
//%   endif
//% endif
//% for i in coefficients if not program.per_step[i]
//%   if channelled[i] and period
  V b${i}[VEC];
  EACH(j) b${i}[j] = cp${i}[channel[j]];
//%   else
  const V b${i} = cp${i}[${"channel" if channelled[i] else "0"}];
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
        const V c${i} = cp${i}[t * cp${i}_t${(" + channel[j]" if period else " + channel") if channelled[i]}];
//%   else
        const V c${i} = b${i}${"[j]" if channelled[i] and period};
//%   endif
//% endfor
//% for line in sweep.lines.neuron
        ${line}
//% endfor
//% endmacro

//% macro total(i)
${"now%d[k]" % i if i in apart else "sum%d[%s]" % (i, "t" if program.per_step[i] else "0")}[j]
//%- endmacro

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

//% macro of_part()
#pragma unroll
      for (int at = 0; at < SEGMENTS; ++at) {
        if (at != part) continue;
//% endmacro

//% macro chosen(to, from)
//% if few and segments > 1
//% print of_part()
//% print copy(to % "at", from % "at") | deeper
      }
//% else
//% print copy(to % "part", from % "part")
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
//%   if not kept
        if (k == SEGMENT - 1) break;
//%   endif
//% endif
        EACH(j) {
//% print step(replay, "v") | deeper
//% for name in kept if taped
          ${name}_kept[k][j] = ${name};
//% endfor
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

//% include "backward.cu" if backward else "forward.cu"
