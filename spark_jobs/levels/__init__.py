"""The five levels, in order, one file each."""
