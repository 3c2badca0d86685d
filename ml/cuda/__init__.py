"""Exact training on an NVIDIA graphics card.

The kernels of ``kernels.cu`` are compiled at run time (`compiler`) and launched through the CUDA driver (`driver`) by
the same instruction records as the CPU's (`machine`, `launches`).

Nothing here needs a card to be checked: an ordinary C++ compiler turns the same source into host code for the tests,
whose bits the tests compare with the interpreter's, and NVRTC compiles for every architecture without one.
"""
