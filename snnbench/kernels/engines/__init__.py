"""What runs a step: one module for each engine, and what they share.

The order below is the order in which engine="auto" tries the engines of a device.
"""

from snnbench.kernels.engines.cpu import CpuEngine
from snnbench.kernels.engines.cuda import CudaEngine
from snnbench.kernels.engines.registry import register

register(CpuEngine())
register(CudaEngine())
