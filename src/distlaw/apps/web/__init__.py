"""The page, `distlaw serve`: four tabs in a browser over the same functions that the commands call.

A tab is a question (all its inputs, as texts, which is also its address), pure functions from the question to what is
shown, and a thin layer of Dash callbacks. Users share nothing but what is computed from equal questions.
"""
