"""A box is made step by step, and looked at from outside between any two of them.

`live` runs it, `look` reads what /proc shows of a process, `record` is what is kept of it,
`timeline` takes the waiting out; `text`, `page`, `perfetto` and `compare` show it.
"""
