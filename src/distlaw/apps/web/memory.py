"""Results that are worked out once for equal questions, also when many ask at the same moment."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def remembered(most: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keep the results of a function of hashable arguments given by position, those asked for last.

    As `functools.lru_cache`, but who asks for what somebody is working out waits for it and does not work it out too.
    What is raised goes to all who wait, and is not kept.

    Args:
        most: Results that are kept.
    """

    def wrap(function: Callable[P, T]) -> Callable[P, T]:
        kept: OrderedDict[Hashable, Future[T]] = OrderedDict()
        lock = threading.Lock()

        @wraps(function)
        def ask(*arguments: P.args, **named: P.kwargs) -> T:
            assert not named
            with lock:
                mine = arguments not in kept
                future = kept.setdefault(arguments, Future())
                kept.move_to_end(arguments)
                while len(kept) > most:
                    kept.popitem(last=False)
            if mine:
                try:
                    future.set_result(function(*arguments, **named))
                except BaseException as error:
                    with lock:
                        kept.pop(arguments, None)
                    future.set_exception(error)
            return future.result()

        return ask

    return wrap
