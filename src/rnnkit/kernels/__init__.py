"""The native core seen from Python: arrays in, arrays out."""
