from hypothesis import settings

# The same examples on every machine and every run; time limits belong to benchmarks.
settings.register_profile("distlaw", derandomize=True, deadline=None, database=None)
settings.load_profile("distlaw")
