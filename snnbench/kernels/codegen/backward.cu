//# The backward of loop.cu.
extern "C" __global__ void __launch_bounds__(256, 2) backward(
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
  V sum${i}[${"SEGMENTS * SEGMENT" if program.per_step[i] else 1}][VEC] = {};
//% endfor
  for (unsigned i = lane; i < (unsigned)size; i += (unsigned)lanes) {
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
//% print chosen("start[%s]", "v%.0s")
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
//% for i in apart
      V now${i}[SEGMENT][VEC] = {};
//% endfor
//% print loads(true)
//% print chosen("v%.0s", "start[%s]")
//% for name in kept
      V ${name}_kept[SEGMENT][VEC];
//% endfor
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
          const V a${i} = ${total(i)};
//% endfor
//% for name in kept
          const V ${name} = ${name}_kept[k][j];
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
          ${total(i)} = ${reverse.value(program.grad_coefficients[i])};
//% endfor
        }
//% if not static
        if (there(gxp)) put(gxp + t * gxp_t + i, gx);
//% endif
      }
//% if apart
//% print of_part()
//%   for i in apart
        for (int k = 0; k < SEGMENT; ++k) EACH(j) sum${i}[at * SEGMENT + k][j] += now${i}[k][j];
//%   endfor
      }
//% endif
    }
//% if static
    if (there(gxp)) put(gxp + i, all);
//% endif
//% for i in states
    put_state(gfirst${i}, g[${i}], i);
//% endfor
  }
//% for i, t in slots
  put_state(partial + ${loop.index0} * lanes, sum${i}[${t}], lane);
//% endfor
}
