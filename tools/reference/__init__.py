"""The pages of docs/reference that follow from code: ``make reference`` writes them.

Each page has a part by hand, and below MARK one that a function here makes. A test fails when the
two differ.
"""
