"""A plan in words: what each step does, why, what leaks without it, and by which system calls.

Pure, like the compiler: nothing here looks at this machine, so that any host's plan can be
explained.
"""
