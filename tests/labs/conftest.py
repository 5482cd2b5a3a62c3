"""Labs train as runs do."""

from tests.train.conftest import _one_thread as _one_thread
