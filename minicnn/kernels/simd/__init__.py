"""What loops over vectors of channels are made of: vectors in registers, their layout in memory, products of matrices."""
