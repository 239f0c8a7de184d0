"""Convolution: `dispatch` is what layers call, `choice` names the algorithm; each algorithm has its loops beside it."""
