"""Recipes for small root file systems: a folder each, with `recipe.toml` and a program `build`.

recipe.toml: description; seconds and megabytes, about; ids = true if without root a range of ids is
needed; needs, a table from a command or a file of the host's to what brings it.

`build DIRECTORY` fills the empty DIRECTORY, says on stdout how far it is, in lines such as
"40 copying", on stderr what went wrong, and fails by its exit status.  It may be killed any time.
"""
