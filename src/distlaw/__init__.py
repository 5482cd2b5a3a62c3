"""Distill a small language model or train it from scratch? Laws, costs and plans after arXiv 2502.08606.

Rooms: `laws` (scaling laws), `costs` (parameters, FLOPs, money), `runs` (tables), `plan` (optima and verdicts),
`report` (figures and tables), `apps` (the command). Importing this package imports none of them.
"""


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version  # reading the metadata takes longer than importing numpy's core

        return version("distlaw")
    raise AttributeError(f"module 'distlaw' has no attribute '{name}'")
