"""`python -m distlaw`, as torchrun calls it."""

from distlaw.apps.cli import run

run()
