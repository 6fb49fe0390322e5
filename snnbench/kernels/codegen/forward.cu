//# The forward of loop.cu.
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
  for (unsigned i = lane; i < (unsigned)size; i += (unsigned)lanes) {
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
