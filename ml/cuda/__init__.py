"""Exact training on an NVIDIA graphics card: the kernels of ``kernels.cu``, compiled at run time (`compiler`), launched through
the CUDA driver (`driver`) by the same instruction records as the CPU's (`machine`, `launches`).

Nothing here needs a graphics card to be checked: an ordinary C++ compiler turns the same source into host code
(``host.cpp``), whose bits the tests compare with the CPU kernels', and NVRTC compiles for every architecture without one.
"""
