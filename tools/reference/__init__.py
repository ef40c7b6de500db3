"""Generates pages of docs/reference from the code: ``make reference`` writes them.

Each page has a hand-written part and, below MARK, a generated one. A test fails if a generated part
differs from the code.
"""
