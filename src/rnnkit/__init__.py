"""Recurrent networks on an ordinary machine: train, judge, explain, export, serve."""
