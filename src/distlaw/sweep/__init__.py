"""Studies: many runs from one file, on this machine or on a cluster, ending in a table that `fit` reads."""
