"""How fast a step of learning is, as a ratio (`python -m benchmarks`), and NumPy's SIMD level (`benchmarks.simd`)."""
