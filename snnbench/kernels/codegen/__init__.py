"""From a step to the text of its kernels: traced, cut into passes, printed into the frames of a target."""
