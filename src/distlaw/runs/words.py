"""Text from outside in messages: see `distlaw.reading`."""

from distlaw.reading import one_line as one_line
