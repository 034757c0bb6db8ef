"""Tensors in, tensors out; has never heard of a network."""
