"""Conformance suites for authors of plug-ins: subclass the suite of your kind, write ``make``.

Needs pytest. Each test is a promise of a protocol; its docstring says what to check when it fails.
"""
