"""Small attempts at what a box must hold: what each asks, and which answers mean that it holds.

The attempts are C, in one static program (csrc/probes), so that any runtime can run them; here is
what is known about each, one module for each group.
"""
