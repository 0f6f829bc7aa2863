"""Recipes for small root file systems: a folder each, with recipe.toml and a script `build`.

recipe.toml: description; needs, a table from a command or file that the build uses to what brings it;
seconds and megabytes, about.  `build DIRECTORY` fills the empty DIRECTORY, says on stdout how far it
is in lines "PERCENT what is being done", and fails by its exit status.
"""
