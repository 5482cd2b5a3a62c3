"""Claims of the study as experiments that anyone can run again: one module a lab."""
