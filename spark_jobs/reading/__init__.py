"""Records out of files of every format, one reader per format."""
